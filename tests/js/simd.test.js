// simd: the probes say of the two modules what the engine says.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';
import { hasRelaxedSimd, hasSimd } from '../../js/internal/simd.js';

const wasm = (/** @type {string} */ name) => readFile(new URL(`../../build/wasm/${name}`, import.meta.url));

test('the probe of vectors says whether bb.wasm is valid', async () => {
  assert.equal(hasSimd(), true); // every Node that the package supports has them
  assert.equal(WebAssembly.validate(await wasm('bb.wasm')), true);
});

test('the probe of relaxed vectors says whether bb-relaxed.wasm is valid', async () => {
  assert.equal(hasRelaxedSimd(), WebAssembly.validate(await wasm('bb-relaxed.wasm')));
  assert.equal(hasRelaxedSimd(), Number(process.versions.node.split('.')[0]) >= 22);
});

test('bb.wasm does not hold what only relaxed engines know', async () => {
  // f32x4.relaxed_madd, as it stands in code. A constant may look the same, so a few are none; an engine without relaxed vectors refuses a module with one.
  const count = (/** @type {Uint8Array} */ bytes) => Buffer.from(bytes).toString('latin1').split('\xfd\x85\x02').length - 1;
  const relaxed = count(await wasm('bb-relaxed.wasm')), plain = count(await wasm('bb.wasm'));
  assert.ok(relaxed > 50 && plain < relaxed / 10, `${relaxed} and ${plain}`);
});
