// Writes the seeds of the fuzz targets from tests/vectors: every hex text and every binary file of a set becomes one file.
// usage: node scripts/make-fuzz-seeds.js OUTPUT_FOLDER
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { gradientSeeds } from './gradient-seeds.js';

/**
 * Fuzz target (tests/fuzz/fuzz_NAME.c) -> where its seeds are: [set, keys of a case that hold hex or text | '*.ext' files].
 * `a+b` is the number a as eight little-endian bytes, then the bytes of b.
 * A target that is missing here simply starts from nothing; one that is named here but has no program is harmless.
 * @type {Record<string, [string, string[]][]>}
 */
const SEEDS = {
  peer_id: [['peer_ids', ['bytes', 'payload', 'text']]],
  address: [['addresses', ['binary', 'input', 'payload', 'input_payload']]],
  address_text: [['addresses', ['text', 'input_text']]],
  envelope: [['envelopes', ['*.bin', 'bytes', 'hex']]],
  value: [['values', ['type_hash+payload']]],
  values: [['values', ['payload']]],
  proto: [['artifacts', ['*.pb']], ['values', ['proto']]],
  bincode: [['values', ['payload']]],
  tensor_proto: [['values', ['proto', 'bytes']]],
  artifact: [['artifacts', ['*.pb']]],
  install: [['artifacts', ['*.pb']]],
  compiler: [['artifacts', ['*.recorded.pb']]],
  compile: [['artifacts', ['*.recorded.pb']]],
};

const [out] = process.argv.slice(2);
if (!out) throw new Error('usage: make-fuzz-seeds.js OUTPUT_FOLDER');

/** @param {string} target @param {Uint8Array} bytes */
const write = (target, bytes) => {
  mkdirSync(join(out, target), { recursive: true });
  writeFileSync(join(out, target, createHash('sha1').update(bytes).digest('hex').slice(0, 16)), bytes);
};

// Scripts of host calls by a fixed generator: no set holds such.
let state = 1;
for (let i = 0; i < 64; i++) {
  write('node', Uint8Array.from({ length: 40 + 4 * i }, (_, at) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const byte = state >>> 24;
    return at === 0 ? i : byte & 1 ? byte : byte >>> 5;
  }));
}
for (let i = 0; i < 64; i++) {
  write('snapshot', Uint8Array.from({ length: 60 + 4 * i }, (_, at) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return at === 0 ? 4 * i + (i & 1) : at === 1 ? 0 : state >>> 24;
  }));
}
// Small models of the ONNX backend tests, where Debian's package of them is installed.
const models = '/usr/share/libonnx-testdata/data/node';
if (existsSync(models)) {
  for (const name of readdirSync(models)) {
    const file = join(models, name, 'model.onnx');
    if (existsSync(file)) write('session', readFileSync(file));
  }
}
for (const seed of gradientSeeds()) write('session', seed);
for (const name of existsSync('tests/vectors/snapshots') ? readdirSync('tests/vectors/snapshots') : []) {
  if (!name.endsWith('.bin')) continue;
  for (let node = 0; node < 6; node++) write('import', Uint8Array.from([node, ...readFileSync(join('tests/vectors/snapshots', name))]));
}
for (const [target, sources] of Object.entries(SEEDS)) {
  for (const [set, keys] of sources) {
    const folder = join('tests/vectors', set);
    if (!existsSync(folder)) continue;
    /** @type {Uint8Array[]} */
    const seeds = [];
    for (const key of keys) {
      if (key.startsWith('*')) {
        for (const name of readdirSync(folder)) if (name.endsWith(key.slice(1))) seeds.push(readFileSync(join(folder, name)));
        continue;
      }
      if (!existsSync(join(folder, 'index.json'))) continue;
      for (const line of readFileSync(join(folder, 'index.json'), 'utf8').split('\n')) {
        const json = line.replace(/,\s*$/, '');
        if (!json.startsWith('{"id"')) continue;
        const [number, bytes] = key.includes('+') ? key.split('+') : [undefined, key];
        const one = JSON.parse(json);
        const text = one[bytes];
        if (typeof text !== 'string' || (number && typeof one[number] !== 'string')) continue;
        const head = Buffer.alloc(number ? 8 : 0);
        if (number) head.writeBigUInt64LE(BigInt(one[number]));
        seeds.push(Buffer.concat([head, /^([0-9a-f]{2})*$/.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'utf8')]));
      }
    }
    for (const bytes of seeds) write(target, bytes);
  }
}
