// The round of the demo, end to end between nodes, with small components written here: recording, compiler, routing, driver.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { federatedRound } from '../../demo/federation.js';
import { numberOf, readBundle } from '../../demo/participant.js';
import { bytes, compileIn, createRuntime, defineComponent, defineModule, installIn, peers, PeerId, samples, tensor, types } from '../../js/index.js';
import { drive } from '../../js/driver.js';
import { createMemoryHub } from '../../js/transports/memory.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const bindings = {
  model: { role: 'Model', type: 'MeanModel' }, data: { role: 'DataSource', type: 'Numbers' },
  sum: { role: 'Aggregator', type: 'WeightedMean' }, peers: { role: 'PeerSelector', type: 'Known' },
};
const compileRound = (runtime, more = {}) => compileIn(runtime, federatedRound(), {
  bindings, targetNames: { '@self': 'Server', clients: 'Client' }, perHopBudgetNs: 10_000_000_000n, ...more,
});

/** A model of one number that learns the mean of its data at once; a promise now and then, to show that nobody minds. */
function components(numbers, known) {
  let w = 0;
  const contributions = new Map();
  const numberIn = (value) => value.data[0];
  return [
    defineComponent({
      typeName: 'MeanModel', role: 'Model',
      params: () => tensor([w]),
      loadParameters: async ([p]) => { w = numberIn(p); return { type: 'Trigger' }; },
      train([x]) { w = x.data.reduce((a, b) => a + b, 0) / x.data.length; return [0.25, samples(x.data.length)]; },
      evaluate: async ([x]) => [Math.abs(w - x.data[0]), 1],
    }),
    defineComponent({ typeName: 'Numbers', role: 'DataSource', nextBatch: () => [tensor(numbers), tensor(numbers)] }),
    defineComponent({
      typeName: 'WeightedMean', role: 'Aggregator',
      contribute([p, meta], { srcPeer }) { contributions.set(String(srcPeer), [numberIn(p), Number(meta.value)]); return { type: 'Trigger' }; },
      aggregate() {
        const list = [...contributions.values()];
        contributions.clear();
        if (list.length === 0) throw new Error('nobody contributed');
        const total = list.reduce((sum, [, n]) => sum + n, 0);
        return [tensor([list.reduce((sum, [p, n]) => sum + p * n, 0) / total]), samples(total)];
      },
    }),
    defineComponent({ typeName: 'Known', role: 'PeerSelector', currentView: () => peers(known()), sample: () => peers(known()) }),
  ];
}

/** A node with its driver on a hub. */
function join(hub, artifact, n, target, numbers) {
  const self = PeerId.fromU64(n);
  const transport = hub.connect(self);
  const node = installIn(createRuntime(module), { peerId: self, artifact, targets: [target], components: components(numbers, () => transport.peers()) });
  const seen = [];
  const driver = drive(node, { transports: [transport], onStep: (step) => seen.push(step) });
  const topic = (name) => seen.filter((s) => s.type === 'AppEvent' && s.topic === name);
  return { node, driver, seen, topic, leave() { driver.stop(); node.dispose(); } };
}
async function eventually(isTrue, what) {
  for (let i = 0; i < 400 && !isTrue(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(isTrue(), what);
}

test('the round compiles into the two targets, each Send with a route', () => {
  const artifact = compileRound(createRuntime(module));
  for (const target of ['Server', 'Client']) {
    const hub = createMemoryHub();
    const { node, leave } = join(hub, artifact, 1, target, [0]);
    assert.match(node.modules[0], new RegExp(`^${target}(#|$)`));
    leave();
  }
});

test('a server and three clients average over the wire, weighted by samples', async () => {
  const artifact = compileRound(createRuntime(module));
  // A hub is a full mesh, so each client gets a hub of its own and the server a line to each.
  const hubs = [2, 3, 4].map(() => createMemoryHub());
  const serverPeer = PeerId.fromU64(1);
  const lines = hubs.map((hub) => hub.connect(serverPeer));
  const node = installIn(createRuntime(module), {
    peerId: serverPeer, artifact, targets: ['Server'], components: components([4], () => lines.flatMap((line) => line.peers())),
  });
  const seen = [];
  const driver = drive(node, { transports: lines, onStep: (step) => seen.push(step) });
  const topic = (name) => seen.filter((s) => s.type === 'AppEvent' && s.topic === name);
  const clients = [[1, 1, 1], [4], [7, 9]].map((numbers, i) => join(hubs[i], artifact, 2 + i, 'Client', numbers));
  const failures = () => [...seen, ...clients.flatMap((c) => c.seen)].filter((s) => ['OpFailed', 'InboundRefused', 'SendFailed', 'WireReceiveFailed'].includes(s.type));
  try {
    await eventually(() => seen.filter((s) => s.type === 'Connected').length === 3, 'three clients are connected');
    for (let round = 1; round <= 3; round++) {
      node.deliverEvent('Server', 'start', bytes(`round ${round}`));
      await eventually(() => topic('report').length === 3 * round || failures().length > 0, `three reports in round ${round}, not ${topic('report').length}`);
      assert.deepEqual(failures(), []);
      const [loss, status] = readBundle(topic('report').at(-1).valueBytes);
      assert.equal(numberOf(loss), 0.25);
      assert.equal(Buffer.from(status.bytes).toString(), `round ${round}`);
      node.deliverEvent('Server', 'finish', bytes('go'));
      await eventually(() => topic('tested').length === round || failures().length > 0, `round ${round} is tested`);
      assert.deepEqual(failures(), []);
      // (3 samples of mean 1, 1 of 4, 2 of 8) = 23 / 6, tested against 4.
      const [testLoss, accuracy] = readBundle(topic('tested').at(-1).valueBytes).map(numberOf);
      assert.ok(Math.abs(testLoss - (4 - 23 / 6)) < 1e-6, `test loss ${testLoss}`);
      assert.equal(accuracy, 1);
    }
    for (const client of clients) assert.equal(client.topic('trained').length, 3);
    assert.ok(driver.counters.bytesSent > 0 && driver.counters.bytesReceived > 0);
    for (const { node: each } of [{ node }, ...clients]) {
      const { ingressBytesInFlight, pendingAsync, slotTableOccupied, executions } = each.stats();
      assert.deepEqual({ ingressBytesInFlight, pendingAsync, slotTableOccupied, executions }, { ingressBytesInFlight: 0, pendingAsync: 0, slotTableOccupied: 0, executions: 0 });
    }
  } finally {
    clients.forEach((client) => client.leave());
    driver.stop();
    node.dispose();
  }
});

test('errors of the compiler name the module, the place and the line of the recording', () => {
  const runtime = createRuntime(module);
  const untyped = defineModule('Untyped', (g) => {
    const [part] = g.unbundle(g.input('x'), [types.tensor]);
    g.output('y', part);
  });
  assert.throws(() => compileIn(runtime, untyped), (error) => error.code === 'E_COMP_UNRESOLVED_TYPE' && error.details.module === 'Untyped'
    && error.details.value === 'v0' && /federation\.test\.js:\d+:\d+$/.test(error.details.source));
  assert.ok(compileIn(runtime, untyped, { permissiveTypes: true }).length > 0);
  assert.throws(() => compileRound(runtime, { bindings: {} }), (error) => error.code.startsWith('E_COMP_') && error.details.module === 'Round');
  assert.throws(() => compileIn(runtime, Uint8Array.of(0xff, 0xff)), { code: 'E_PROTOBUF' });
  assert.throws(() => compileIn(runtime, federatedRound(), { routing: 'elsewhere' }), { code: 'E_ARG' });
});
