// The demo without a browser: real sockets, real data, real training. What goes wrong on the way is in bad-input.test.js.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import test from 'node:test';
import { dealDigits, packSamples, TEST_COUNT } from '../../demo/digits.js';
import { compileFederation } from '../../demo/federation.js';
import { digitSource } from '../../demo/participant.js';
import { denseNetwork, install, PeerId } from '../../js/index.js';
import { all, federationOf } from './federation-of.js';

test('the digits are dealt without loss: 1,500 for the test, the rest in skewed shares', () => {
  const { test: held, shares, shareOf } = dealDigits(all, 8);
  assert.deepEqual([all.count, held.count, TEST_COUNT], [10_000, 1500, 1500]);
  assert.equal(shares.reduce((n, s) => n + s.count, 0), 8500);
  for (const share of shares) assert.ok(new Set(share.labels).size <= 6, 'a share has few of the ten digits');
  assert.deepEqual(shareOf(3), shareOf(3));
  assert.equal(new Set(shareOf(3).labels).size, 3);
});

test('clients learn together, and every ledger is zero afterwards', { timeout: 60_000 }, async () => {
  const { federation, clients, failed, close } = await federationOf(3);
  try {
    const results = [];
    for (let i = 0; i < 6; i++) results.push(await federation.runRound());
    assert.deepEqual(failed, []);
    assert.deepEqual(results.map((r) => r.updates), Array(6).fill(3));
    assert.ok(results[5].accuracy > 0.8, `accuracy ${results[5].accuracy}`);
    assert.ok(results[5].loss < results[0].loss);
    for (const { node, losses } of [{ node: federation.node, losses: Array(6) }, ...clients]) {
      assert.equal(losses.length, 6);
      const { ingressBytesInFlight, slotTableOccupied, executions, pendingAsync, unresolvedOps } = node.stats();
      assert.deepEqual({ ingressBytesInFlight, slotTableOccupied, executions, pendingAsync, unresolvedOps },
        { ingressBytesInFlight: 0, slotTableOccupied: 0, executions: 0, pendingAsync: 0, unresolvedOps: 0 });
    }
  } finally {
    await close();
  }
});

test('a round that nobody contributed to fails at its average, not later', { timeout: 30_000 }, async () => {
  const artifact = await compileFederation();
  const node = await install({
    peerId: PeerId.fromU64(1), artifact, targets: ['Server'], config: { model: denseNetwork([784, 8, 10]) },
    components: [digitSource(packSamples(dealDigits(all, 8).shareOf(0)))],
  });
  node.deliverEvent('Server', 'finish', Uint8Array.of(1));
  const [failed, more] = node.poll().filter((step) => step.type === 'OpFailed');
  assert.match(`${failed.reason} ${failed.detail}`, /empty/i);
  assert.equal(more, undefined);
  assert.equal(node.stats().executions, 0);
  node.dispose();
});

test('MODEL=cnn: clients learn LeNet-5 together, each with a trainer as its model', { timeout: 120_000 }, async () => {
  const { federation, failed, close } = await federationOf(3, { model: 'cnn' });
  try {
    const results = [];
    for (let i = 0; i < 3; i++) results.push(await federation.runRound());
    assert.deepEqual(failed, []);
    assert.deepEqual(results.map((r) => r.updates), Array(3).fill(3));
    assert.ok(results[2].accuracy > 0.85, `accuracy ${results[2].accuracy}`);
    const { ingressBytesInFlight, executions, pendingAsync } = federation.node.stats();
    assert.deepEqual({ ingressBytesInFlight, executions, pendingAsync }, { ingressBytesInFlight: 0, executions: 0, pendingAsync: 0 });
  } finally {
    await close();
  }
});

test('a model that the demo does not have is refused', async () => {
  const child = spawn(process.execPath, ['demo/main.js'], { env: { ...process.env, ONCE: '1', MODEL: 'toString', NODE_TEST_CONTEXT: '' }, stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk) => { errors += chunk; });
  assert.equal(await new Promise((resolve) => child.once('exit', resolve)), 2);
  assert.match(errors, /MODEL must be one of mlp, cnn/);
});

test('make demo ONCE=1: trains to at least 93 % and its last line is one JSON object', { timeout: 90_000 }, async () => {
  const child = spawn(process.execPath, ['demo/main.js'], { env: { ...process.env, ONCE: '1', NODE_TEST_CONTEXT: '' }, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '', errors = '';
  child.stdout.on('data', (chunk) => { out += chunk; });
  child.stderr.on('data', (chunk) => { errors += chunk; });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  assert.equal(code, 0, `${out}\n${errors}`);
  const lines = out.trim().split('\n');
  const summary = JSON.parse(lines.at(-1));
  assert.deepEqual(Object.keys(summary), ['accuracy', 'rounds', 'seconds', 'peers', 'bytes']);
  assert.ok(summary.accuracy >= 0.93 && summary.seconds < 60 && summary.peers === 8 && summary.bytes > 0, JSON.stringify(summary));
  assert.match(out, /http:\/\/127\.0\.0\.1:\d+\//);
  assert.match(lines.at(-2), /round +\d+ +loss .* test accuracy .* sent .* received .* peers 8/);
});
