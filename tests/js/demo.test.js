// The demo without a browser: real sockets, real data, real training; clients that leave in mid-round and come back.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import test from 'node:test';
import { dealDigits, loadDigits, packSamples, TEST_COUNT } from '../../demo/digits.js';
import { compileFederation } from '../../demo/federation.js';
import { digitSource, participate } from '../../demo/participant.js';
import { createFederation } from '../../demo/server.js';
import { compile, decodeModel, decodeValue, defineModule, denseNetwork, encodeModel, install, PeerId, slots, tensor, typeHash } from '../../js/index.js';
import { createWebSocketTransport } from '../../js/transports/websocket-node.js';

const all = loadDigits();

test('the digits are dealt without loss: 1,500 for the test, the rest in skewed shares', () => {
  const { test: held, shares, shareOf } = dealDigits(all, 8);
  assert.deepEqual([all.count, held.count, TEST_COUNT], [10_000, 1500, 1500]);
  assert.equal(shares.reduce((n, s) => n + s.count, 0), 8500);
  for (const share of shares) assert.ok(new Set(share.labels).size <= 6, 'a share has few of the ten digits');
  assert.deepEqual(shareOf(3), shareOf(3));
  assert.equal(new Set(shareOf(3).labels).size, 3);
});

/** A server and some clients in this process. @param {number} count */
async function federationOf(count, options = {}) {
  const deal = dealDigits(all, count);
  const failed = [];
  const note = (who) => (step) => { if (['OpFailed', 'WireReceiveFailed', 'InboundRefused'].includes(step.type)) failed.push(`${who}: ${step.type} ${step.reason ?? ''} ${step.detail ?? step.error?.message ?? ''}`); };
  const federation = await createFederation({ deal, training: { epochs: 1 }, onStep: note('server'), ...options });
  const clients = await Promise.all(deal.shares.map(async (share, i) => {
    const peerId = PeerId.fromU64(100 + i);
    const transport = createWebSocketTransport({ url: federation.socketUrl, self: peerId, expect: federation.serverPeer, backoffBaseMs: 20, backoffCapMs: 50 });
    const losses = [];
    const client = await participate({
      peerId, transport, artifact: federation.artifact, onnx: federation.onnx, samples: packSamples(share), schedule: 'timer',
      onRound: ({ loss }) => losses.push(loss), onStep: note(`client ${i}`),
    });
    return { ...client, transport, losses, peerId };
  }));
  assert.equal(await federation.peersConnected(count, 10_000), true);
  return { federation, clients, failed, async close() { clients.forEach((c) => c.leave()); await federation.close(); } };
}

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

test('a client that disconnects in mid-round: the round ends with the others, the client rejoins and goes on', { timeout: 60_000 }, async () => {
  const { federation, clients, close } = await federationOf(3);
  try {
    assert.equal((await federation.runRound()).updates, 3);
    const running = federation.runRound();
    clients[0].transport.dropConnection(); // its task is on the way or in work
    const result = await running;
    assert.ok(result.updates >= 2 && result.updates <= 3, `${result.updates} updates`);
    assert.equal(await federation.peersConnected(3, 10_000), true);
    const trained = clients[0].losses.length;
    const next = await federation.runRound();
    assert.equal(next.updates, 3);
    assert.equal(clients[0].losses.length, trained + 1);
    // One that leaves for good.
    clients[2].leave();
    const last = await federation.runRound();
    assert.equal(last.updates, 2);
    assert.equal(federation.node.stats().ingressBytesInFlight, 0);
  } finally {
    await close();
  }
});

test('a second client with the same id is refused, the first trains on', { timeout: 60_000 }, async () => {
  const { federation, clients, close } = await federationOf(2);
  const twin = createWebSocketTransport({ url: federation.socketUrl, self: clients[0].peerId });
  try {
    await assert.rejects(twin.ready, { code: 'E_PEER_DUPLICATE' });
    assert.equal((await federation.runRound()).updates, 2);
  } finally {
    twin.close();
    await close();
  }
});

/** Installs the client target with a model file. */
const withModel = async (onnx, artifact) => install({
  peerId: PeerId.fromU64(5), artifact, targets: ['Client'], config: { model: onnx },
  components: [digitSource(packSamples(dealDigits(all, 8).shareOf(0)))],
});

test('a model with operators that are not supported is refused at install, each named', { timeout: 30_000 }, async () => {
  const { artifact } = await artifactOnly();
  const model = decodeModel(denseNetwork([784, 8, 10]));
  model.graph.node.splice(1, 0, { opType: 'Erf', name: '/gelu/Erf', input: ['fc1'], output: ['odd'] });
  model.graph.node[2].input = ['odd'];
  model.graph.node.push({ opType: 'NonZero', name: '/tail/NonZero', input: ['logits'], output: ['unused'] });
  await assert.rejects(withModel(encodeModel(model), artifact), (error) => {
    assert.match(error.code, /^E_(ONNX_UNSUPPORTED|INST_CONSTRUCTION)$/);
    assert.match(error.message, /\/gelu\/Erf.*Erf/);
    assert.match(error.message, /\/tail\/NonZero.*NonZero/);
    return true;
  });
  for (const bad of [Uint8Array.of(1, 2, 3), denseNetwork([784, 8, 10]).subarray(0, 5000), new Uint8Array()]) {
    await assert.rejects(withModel(bad, artifact), (error) => /^E_(ONNX_|INST_|PROTOBUF)/.test(error.code));
  }
});

test('a delivered tensor of the wrong shape fails its operator with a typed error, and the node goes on', { timeout: 30_000 }, async () => {
  const model = slots.model();
  const forward = defineModule('Forward', (g) => g.output('y', model.forward(g, g.input('x'))));
  const artifact = await compile(forward, { bindings: { model: { role: 'Model', type: 'OnnxModel' } } });
  const node = await install({ peerId: PeerId.fromU64(1), artifact, targets: ['Forward'], config: { model: denseNetwork([4, 3, 2]) } });
  const deliver = (value) => { node.deliverEvent('Forward', 'x', value); return node.poll(); };
  for (const [wrong, reason] of [
    [tensor([1, 2, 3]), 'BadInput shape_mismatch'], [tensor([1, 2, 3, 4, 5, 6], [2, 3]), 'BadInput shape_mismatch'],
    [Uint8Array.of(1, 2, 3), 'TypeMismatch input_type_mismatch'],
  ]) {
    const steps = deliver(wrong);
    const failed = steps.filter((step) => step.type === 'OpFailed');
    assert.equal(failed.length, 1);
    assert.equal(`${failed[0].kind} ${failed[0].reason}`, reason);
    assert.ok(!steps.some((step) => step.type === 'AppEvent' && step.topic === 'y'));
  }
  const y = deliver(tensor([1, 2, 3, 4, 5, 6, 7, 8], [2, 4])).find((step) => step.type === 'AppEvent' && step.topic === 'y');
  const result = decodeValue(typeHash('CpuTensor'), y.valueBytes);
  assert.deepEqual(result.dims, [2, 2]);
  const { ingressBytesInFlight, slotTableOccupied, executions } = node.stats();
  assert.deepEqual([ingressBytesInFlight, slotTableOccupied, executions], [0, 0, 0]);
  node.dispose();
});

test('a round that nobody contributed to fails at its average, not later', { timeout: 30_000 }, async () => {
  const { artifact } = await artifactOnly();
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

async function artifactOnly() {
  return { artifact: await compileFederation() };
}

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
