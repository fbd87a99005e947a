// What comes from outside and is wrong: each kind is refused with its own error, and the node goes on as if it had not come.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { WebSocket } from 'ws';
import {
  bytes, compileIn, createRuntime, decodeModel, decodeValue, defineModule, denseNetwork, encodeModel, installIn, PeerId, slots, tensor, typeHash,
} from '../../js/index.js';
import { drive } from '../../js/driver.js';
import { createMemoryHub } from '../../js/transports/memory.js';
import { CLOSE, hello } from '../../js/transports/transport.js';
import { createWebSocketServer, createWebSocketTransport } from '../../js/transports/websocket-node.js';
import { federationOf } from './federation-of.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const vector = (name) => readFileSync(`tests/vectors/artifacts/${name}.pb`);
const [A, B, C] = [1, 2, 3].map((n) => PeerId.fromU64(n));
const events = (steps, topic) => steps.filter((s) => s.type === 'AppEvent' && s.topic === topic);
const failures = (steps) => steps.filter((s) => s.type === 'OpFailed').map((s) => `${s.kind} ${s.reason}`);
/** What must be empty when nothing is in work. */
function assertIdle(node) {
  const { ingressBytesInFlight, slotTableOccupied, executions, pendingAsync } = node.stats();
  assert.deepEqual({ ingressBytesInFlight, slotTableOccupied, executions, pendingAsync }, { ingressBytesInFlight: 0, slotTableOccupied: 0, executions: 0, pendingAsync: 0 });
}

// ---- artifacts ------------------------------------------------------------------------------------------------------

test('a truncated artifact is refused wherever it is cut, and nothing is left behind', () => {
  const runtime = createRuntime(module);
  const whole = vector('two_part.compiled');
  const install = (artifact) => installIn(runtime, { peerId: A, artifact, targets: ['TwoPart'] });
  install(whole).dispose();
  let refused = 0, before;
  for (let length = 0; length < whole.length; length++) {
    try {
      install(whole.subarray(0, length)).dispose(); // a cut between two fields may leave a smaller model that is whole
    } catch (error) {
      refused++;
      assert.match(error.code, /^E_INST_(MODEL_DECODE|NOT_COMPILED|UNKNOWN_TARGET|UNREGISTERED|UNRESOLVED)$/, `cut at ${length}`);
    }
    before ??= runtime.memoryUsed;
    assert.equal(runtime.memoryUsed, before, `cut at ${length}`);
  }
  assert.ok(refused > whole.length * 0.9, `${refused} of ${whole.length} cuts are refused`);
});

test('a garbage artifact is refused as undecodable, with the place', () => {
  const runtime = createRuntime(module);
  for (const [name, artifact] of [
    ['recorded garbage', vector('broken_garbage')], ['zeros', vector('broken_zeros')], ['text', bytes('this is no model').bytes], ['one byte', Uint8Array.of(0xff)],
  ]) {
    assert.throws(() => installIn(runtime, { peerId: A, artifact, targets: ['PassOne'] }), (error) => {
      assert.equal(error.code, 'E_INST_MODEL_DECODE', name);
      assert.equal(error.details.cause, 'E_PROTOBUF', name);
      return true;
    });
  }
  assert.throws(() => installIn(runtime, { peerId: A, artifact: new Uint8Array(), targets: ['PassOne'] }), { code: 'E_INST_NOT_COMPILED' });
});

test('an artifact for another version is refused with both versions', () => {
  const runtime = createRuntime(module);
  for (const [name, got] of [['broken_version_v2', 'v2'], ['broken_version_V1', 'V1']]) {
    assert.throws(() => installIn(runtime, { peerId: A, artifact: vector(name), targets: ['PassOne'] }),
      (error) => error.code === 'E_INST_VERSION' && error.details.got === got && error.details.expected === 'v1');
  }
});

// ---- envelopes ------------------------------------------------------------------------------------------------------

/** A value that one node sends to another, which runs it through a model. */
function wire(runtime, nodeConfig = {}) {
  const others = slots.peerSelector('others'), model = slots.model();
  const ping = defineModule('Ping', (g) => {
    const sent = g.netOut('ping', others.currentView(g, g.input('go')), g.input('x'));
    g.output('y', model.forward(g, sent));
  });
  const artifact = compileIn(runtime, ping, {
    bindings: { others: { role: 'PeerSelector', type: 'KnownPeers' }, model: { role: 'Model', type: 'OnnxModel' } },
    targetNames: { '@self': 'Sender', others: 'Receiver' }, permissiveTypes: true,
  });
  const make = (peerId, target, more = {}) => installIn(runtime, { peerId, artifact, targets: [target], config: { model: denseNetwork([4, 2]) }, ...more });
  const sender = make(A, 'Sender'), receiver = make(B, 'Receiver', { nodeConfig });
  sender.addPeer(B);
  const envelope = (x) => {
    sender.invoke('Sender', { go: bytes(''), x });
    return sender.poll().find((s) => s.type === 'SendEnvelope').bytes;
  };
  return { receiver, sender, envelope, dispose() { sender.dispose(); receiver.dispose(); } };
}

test('an envelope over a cap is refused with the cap and what came; the node goes on', () => {
  const x = tensor([1, 2, 3, 4], [1, 4]);
  for (const [caps, details] of [
    [{ maxTotalBytes: 10 }, { cause: 'E_ENV_OVERSIZE', capBytes: 10 }],
    [{ maxSlotFills: 0 }, { cause: 'E_ENV_TOO_MANY_FILLS', cap: 0, got: 1 }],
    [{ maxPerFillBytes: 3 }, { cause: 'E_ENV_OVERSIZE_FILL', which: 'payload', capBytes: 3 }],
    [{ maxDestSuffixBytes: 1 }, { cause: 'E_ENV_OVERSIZE_FILL', which: 'dest_suffix', capBytes: 1 }],
    [{ maxSrcPeerAddresses: 0 }, { cause: 'E_ENV_TOO_MANY_SRC_ADDRESSES', cap: 0, got: 1 }],
    [{ maxSrcPeerAddressBytes: 1 }, { cause: 'E_ENV_OVERSIZE_SRC_ADDRESS', capBytes: 1 }],
  ]) {
    const { receiver, envelope, dispose } = wire(createRuntime(module), { envelopeCaps: caps });
    assert.throws(() => receiver.deliverInbound(A, envelope(x)), (error) => {
      assert.equal(error.code, 'E_INVALID_ENVELOPE');
      for (const [field, value] of Object.entries(details)) assert.equal(error.details[field], value, `${JSON.stringify(caps)} ${field}`);
      return true;
    });
    assertIdle(receiver);
    assert.deepEqual(receiver.poll(), []);
    dispose();
  }
  // Within the caps the same node takes the next one.
  const { receiver, envelope, dispose } = wire(createRuntime(module), { envelopeCaps: { maxPerFillBytes: 100 } });
  assert.throws(() => receiver.deliverInbound(A, envelope(tensor(new Float32Array(400), [100, 4]))), { code: 'E_INVALID_ENVELOPE' });
  receiver.deliverInbound(A, envelope(x));
  assert.equal(events(receiver.poll(), 'y').length, 1);
  assertIdle(receiver);
  dispose();
});

test('a damaged envelope is refused wherever it is cut, with the place; the node goes on', () => {
  const { receiver, envelope, dispose } = wire(createRuntime(module));
  const good = envelope(tensor([1, 2, 3, 4], [1, 4]));
  let refused = 0;
  for (let length = 1; length < good.length; length++) {
    try {
      receiver.deliverInbound(A, good.subarray(0, length));
      receiver.poll(); // a cut between two fields is a smaller envelope
    } catch (error) {
      refused++;
      assert.equal(error.code, 'E_INVALID_ENVELOPE');
      assert.equal(error.details.cause, 'E_ENV_MALFORMED');
    }
    assertIdle(receiver);
  }
  assert.ok(refused > good.length * 0.8, `${refused} of ${good.length}`);
  receiver.deliverInbound(A, envelope(tensor([4, 3, 2, 1], [1, 4]))); // another one: the longest cuts were that first value
  assert.equal(events(receiver.poll(), 'y').length, 1);
  dispose();
});

test('over a connection: a refused envelope is reported by the driver, and the next one is worked on', async () => {
  const { receiver, envelope, dispose } = wire(createRuntime(module), { envelopeCaps: { maxPerFillBytes: 100 } });
  const hub = createMemoryHub();
  const from = hub.connect(A), seen = [];
  const driver = drive(receiver, { transports: [hub.connect(B)], onStep: (step) => seen.push(step) });
  from.send(B, envelope(tensor(new Float32Array(400), [100, 4])));
  from.send(B, Uint8Array.of(0xff, 0xff));
  from.send(B, envelope(tensor([1, 2, 3, 4], [1, 4])));
  for (let i = 0; i < 200 && events(seen, 'y').length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(seen.filter((s) => s.type === 'InboundRefused').map((s) => [String(s.peer), s.error.code, s.error.details.cause]),
    [[String(A), 'E_INVALID_ENVELOPE', 'E_ENV_OVERSIZE_FILL'], [String(A), 'E_INVALID_ENVELOPE', 'E_ENV_MALFORMED']]);
  assert.equal(events(seen, 'y').length, 1);
  assert.equal(driver.isStopped, false);
  driver.stop();
  from.close();
  dispose();
});

// ---- tensors --------------------------------------------------------------------------------------------------------

test('a delivered tensor of the wrong shape fails its operator with a kind of its own; the node goes on and its ledger is zero', () => {
  const { receiver, envelope, dispose } = wire(createRuntime(module));
  for (const [wrong, want] of [
    [tensor([1, 2, 3]), 'BadInput shape_mismatch'], [tensor([1, 2, 3, 4, 5, 6], [2, 3]), 'BadInput shape_mismatch'],
    [bytes('no tensor'), 'TypeMismatch input_type_mismatch'],
  ]) {
    receiver.deliverInbound(A, envelope(wrong));
    const steps = receiver.poll();
    assert.deepEqual(failures(steps), [want]);
    assert.deepEqual(events(steps, 'y'), []);
    assertIdle(receiver);
  }
  receiver.deliverInbound(A, envelope(tensor([1, 2, 3, 4, 5, 6, 7, 8], [2, 4])));
  const [y] = events(receiver.poll(), 'y');
  assert.deepEqual(decodeValue(typeHash('CpuTensor'), y.valueBytes).dims, [2, 2]);
  assertIdle(receiver);
  dispose();
});

test('parameters of the wrong number leave the model as it was', () => {
  const runtime = createRuntime(module);
  const model = slots.model();
  const load = defineModule('Load', (g) => {
    const loaded = model.loadParameters(g, g.input('p'));
    g.output('now', model.params(g, loaded));
    g.output('read', model.params(g, g.input('ask')));
  });
  const artifact = compileIn(runtime, load, { bindings: { model: { role: 'Model', type: 'OnnxModel' } } });
  const node = installIn(runtime, { peerId: A, artifact, targets: ['Load'], config: { model: denseNetwork([2, 2]) } });
  const read = () => { node.deliverEvent('Load', 'ask', bytes('')); return events(node.poll(), 'read')[0].valueBytes; };
  const before = read();
  node.deliverEvent('Load', 'p', tensor(new Float32Array(5)));
  assert.deepEqual(failures(node.poll()), ['BadInput shape_mismatch']);
  assert.deepEqual(read(), before);
  node.deliverEvent('Load', 'p', tensor(new Float32Array(6)));
  assert.equal(events(node.poll(), 'now').length, 1);
  assert.notDeepEqual(read(), before);
  node.dispose();
});

// ---- models ---------------------------------------------------------------------------------------------------------

/** Installs a node whose model comes from the given file. */
function installModel(onnx) {
  const runtime = createRuntime(module);
  const model = slots.model();
  const artifact = compileIn(runtime, defineModule('M', (g) => g.output('y', model.forward(g, g.input('x')))), { bindings: { model: { role: 'Model', type: 'OnnxModel' } } });
  return installIn(runtime, { peerId: A, artifact, targets: ['M'], config: { model: onnx } });
}

test('an ONNX file with unsupported operators is refused by install, which names every operator and node', () => {
  const file = decodeModel(denseNetwork([784, 8, 10]));
  file.graph.node.splice(1, 0, { opType: 'Fold', name: '/gelu/Fold', input: ['fc1'], output: ['odd'] });
  file.graph.node[2].input = ['odd'];
  file.graph.node.push({ opType: 'Unfold', name: '/tail/Unfold', input: ['logits'], output: ['unused'] });
  assert.throws(() => installModel(encodeModel(file)), (error) => {
    assert.equal(error.code, 'E_INST_CONSTRUCTION');
    assert.equal(error.details.slot, 'model');
    assert.equal(error.details.typeName, 'OnnxModel');
    assert.deepEqual(error.details.nodes, ['/gelu/Fold: Fold (opset 17)', '/tail/Unfold: Unfold (opset 17)']);
    assert.match(error.message, /\/gelu\/Fold: Fold \(opset 17\); \/tail\/Unfold: Unfold/); // the text says it too
    return true;
  });
});

// ---- peers ----------------------------------------------------------------------------------------------------------

test('malformed PeerId bytes and texts are refused with the reason', () => {
  for (const [bad, reason] of [
    [Uint8Array.of(1, 2, 3), 'UnexpectedEof'], [new Uint8Array(), 'VarintInsufficient'], ['nope', undefined], [new Uint8Array(100).fill(0xff), undefined],
  ]) {
    assert.throws(() => PeerId.from(bad), (error) => {
      assert.equal(error.code, 'E_PEER_ID');
      if (reason !== undefined) assert.equal(error.details.reason, reason);
      return true;
    });
  }
});

test('a server that is another peer than expected is left, with both ids', async () => {
  const server = await createWebSocketServer({ self: A });
  const client = createWebSocketTransport({ url: `ws://127.0.0.1:${server.port}/`, self: B, expect: C });
  await assert.rejects(client.ready, (error) => error.code === 'E_PEER_MISMATCH' && error.details.expected.equals(C) && error.details.found.equals(A));
  await assert.rejects(async () => { for await (const _ of client.receive()) void _; }, { code: 'E_PEER_MISMATCH' });
  client.close();
  server.close();
  await server.closed;
});

test('a client whose hello holds malformed PeerId bytes is refused, the others stay', async () => {
  const server = await createWebSocketServer({ self: A });
  const good = createWebSocketTransport({ url: `ws://127.0.0.1:${server.port}/`, self: B });
  await good.ready;
  const closeCode = (message) => new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/`);
    socket.on('open', () => socket.send(message));
    socket.on('close', resolve);
    socket.on('error', reject);
  });
  const magic = hello(B).subarray(0, 4);
  for (const id of [[], [1, 2, 3], Array(200).fill(0xff), [...B.toBytes(), 0]]) {
    assert.equal(await closeCode(Uint8Array.of(...magic, ...id)), CLOSE.PROTOCOL, `id ${id.slice(0, 4)}`);
  }
  assert.deepEqual(server.peers().map(String), [String(B)]);
  good.close();
  server.close();
  await server.closed;
});

test('a second peer with the same PeerId is refused, the first one trains on', { timeout: 60_000 }, async () => {
  const { federation, clients, failed, close } = await federationOf(2);
  const twin = createWebSocketTransport({ url: federation.socketUrl, self: clients[0].peerId });
  try {
    const running = federation.runRound();
    await assert.rejects(twin.ready, (error) => error.code === 'E_PEER_DUPLICATE' && error.details.peer.equals(clients[0].peerId));
    assert.equal((await running).updates, 2);
    assert.equal((await federation.runRound()).updates, 2);
    assert.deepEqual(failed, []);
  } finally {
    twin.close();
    await close();
  }
});

test('a client that disconnects in mid-round: the round ends with the others, the client rejoins and continues', { timeout: 60_000 }, async () => {
  // The client has its task and is about to send its update when the connection breaks: the update is lost.
  let isBreaking = false, lost = 0;
  const { federation, clients, close } = await federationOf(3, {
    roundTimeoutMs: 20_000,
    onClientStep(i, step) { if (i === 0 && step.type === 'SendFailed') lost++; },
  });
  const { transport } = clients[0], { send } = transport;
  transport.send = (...message) => {
    if (isBreaking) transport.dropConnection();
    isBreaking = false;
    send(...message);
  };
  try {
    assert.equal((await federation.runRound()).updates, 3);
    isBreaking = true;
    const begin = performance.now();
    const result = await federation.runRound();
    assert.equal(result.updates, 2);
    assert.ok(performance.now() - begin < 10_000, 'the round does not wait for the one that is gone');
    assert.equal(lost, 1);
    assert.equal(await federation.peersConnected(3, 10_000), true, 'it comes back by itself');
    const trained = clients[0].losses.length;
    assert.equal((await federation.runRound()).updates, 3);
    assert.equal(clients[0].losses.length, trained + 1);
    // Another one leaves for good.
    clients[2].leave();
    assert.equal((await federation.runRound()).updates, 2);
    for (const { node } of [federation, clients[0], clients[1]]) assertIdle(node);
  } finally {
    await close();
  }
});

test('a large envelope that is refused does not stay in memory', () => {
  const runtime = createRuntime(module);
  const node = installIn(runtime, { peerId: A, artifact: vector('two_part.compiled'), targets: ['TwoPart'] });
  assert.throws(() => node.deliverInbound(B, new Uint8Array(100_000).fill(0xff)), { code: 'E_INVALID_ENVELOPE' });
  const before = runtime.memoryUsed;
  assert.throws(() => node.deliverInbound(B, new Uint8Array(8_000_000).fill(0xff)), { code: 'E_INVALID_ENVELOPE' });
  assert.ok(runtime.memoryUsed < before + 10_000, `${runtime.memoryUsed - before} bytes`);
  node.dispose();
});
