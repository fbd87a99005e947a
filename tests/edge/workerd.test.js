// The package inside the real workerd, where nothing may be compiled from bytes: a precompiled module is installed and polled.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { startWorkerd } from './workerd.js';

test('workerd installs and polls a node from a precompiled module', { timeout: 60_000 }, async () => {
  const { url, close } = await startWorkerd({ name: 'node', worker: 'tests/edge/worker.js', data: { 'artifact.pb': readFileSync('tests/vectors/artifacts/pass_one.compiled.pb') } });
  try {
    const ask = async (text) => (await fetch(url, { method: 'POST', body: text })).json();
    const answer = await ask('hello');
    assert.equal(answer.y, 'hello');
    assert.match(answer.modules[0], /^PassOne#/);
    assert.equal(answer.inFlight, 0);
    assert.equal((await ask('again')).y, 'again');
  } finally {
    await close();
  }
});
