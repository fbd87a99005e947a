// The driver when something goes wrong around it: transports that break their contract, readers that leave, nodes that go away.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { bytes, compileIn, createRuntime, defineModule, installIn, PeerId, slots } from '../../js/index.js';
import { drive } from '../../js/driver.js';
import { BbwError } from '../../js/errors.js';
import { createMemoryHub } from '../../js/transports/memory.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const A = PeerId.fromU64(1), B = PeerId.fromU64(2);
const echo = defineModule('Echo', (g) => g.output('out', g.input('in')));
const echoNode = (runtime = createRuntime(module)) => installIn(runtime, { peerId: A, artifact: compileIn(runtime, echo), targets: ['Echo'] });
const say = (node, text = 'x') => node.deliverEvent('Echo', 'in', bytes(text));
const settle = (ms = 10) => new Promise((resolve) => setTimeout(resolve, ms));
const texts = (steps) => steps.filter((s) => s.type === 'AppEvent' && s.topic === 'out').map((s) => new TextDecoder().decode(s.valueBytes));
/** A transport that does nothing until the driver stops. */
const line = (methods = {}) => ({
  send() {}, close() {}, peers: () => [],
  async* receive({ signal }) { await new Promise((resolve) => signal.addEventListener('abort', resolve)); },
  ...methods,
});
/** Everything the driver gives, until it ends. */
async function readAll(driver) {
  const steps = [];
  for await (const step of driver) steps.push(step);
  return steps;
}
/** Reads until this text has come out, then leaves. */
async function readUntil(driver, text) {
  const steps = [];
  for await (const step of driver) {
    steps.push(step);
    if (texts([step])[0] === text) break;
  }
  return texts(steps);
}

test('a transport whose close throws or rejects keeps nobody from ending; done tells', async () => {
  const node = echoNode();
  let closed = 0;
  const driver = drive(node, { transports: [line({ close() { throw new Error('stuck'); } }), line({ close() { closed++; } })] });
  const reading = readAll(driver);
  await settle();
  driver.stop();
  assert.deepEqual(texts(await reading), []);
  assert.equal(closed, 1);
  await assert.rejects(driver.done, /stuck/);

  const late = drive(node, { transports: [line({ close: async () => { throw new Error('late'); } })] });
  late.stop();
  await assert.rejects(late.done, /late/);

  // In a turn: the first error is the one that counts.
  const failing = drive(node, { onStep() { throw new Error('app'); }, transports: [line({ close() { throw new Error('stuck'); } })] });
  say(node);
  await assert.rejects(readAll(failing), /app/);
  await assert.rejects(failing.done, /app/);
  node.dispose();
});

test('what cannot work is refused at once', () => {
  const node = echoNode();
  const refused = (options, details) => assert.throws(() => drive(node, options), (e) => {
    assert.equal(e.code, 'E_ARG');
    assert.deepEqual({ ...e.details, ...details }, e.details);
    return true;
  });
  refused({ transports: [line(), {}] }, { argument: 'transports', index: 1, missing: ['send', 'receive', 'close'] });
  refused({ transports: [line({ close: undefined })] }, { index: 0, missing: ['close'] });
  refused({ transports: [null] }, { index: 0 });
  refused({ transports: null }, { argument: 'transports' });
  refused({ transports: line() }, { argument: 'transports' });
  for (const schedule of ['nope', '', null, 'constructor']) refused({ schedule }, { argument: 'schedule', value: schedule });
  for (const stepsMax of [0, -1, NaN, 1.5, Infinity, '8', null, 8n]) refused({ stepsMax }, { argument: 'stepsMax', value: stepsMax });
  refused({ onStep: 5 }, { argument: 'onStep' });
  refused({ now: 5 }, { argument: 'now' });
  drive(node, { schedule: undefined, stepsMax: 1 }).stop(); // a refusal leaves no driver behind
  node.dispose();
});

test('disposing the node ends its driver, from anywhere', async () => {
  const ways = {
    outside: () => {},
    onStep: (node) => ({ onStep: () => node.dispose() }),
    full: () => ({ stepsMax: 1 }),
    frame: () => ({ schedule: 'timer' }),
  };
  for (const [name, options] of Object.entries(ways)) {
    const node = echoNode();
    let closed = 0;
    const driver = drive(node, { transports: [line({ close() { closed++; } })], ...options(node) });
    const iterator = driver[Symbol.asyncIterator]();
    say(node);
    await settle();
    node.dispose();
    assert.equal(driver.isStopped, true, name);
    while (!(await iterator.next()).done) void 0;
    await driver.done;
    assert.equal(closed, 1, name);
    assert.throws(() => drive(node), { code: 'E_STATE' });
  }
  const node = echoNode();
  const reading = (async () => { for await (const step of drive(node)) node.dispose(step); })();
  say(node);
  await reading;
});

test('a node has one driver; after stop it may have another, with the same transport', async () => {
  const node = echoNode();
  const seen = [];
  const transport = createMemoryHub().connect(A);
  const first = drive(node, { transports: [transport], closeTransports: false, onStep: (step) => seen.push(step) });
  assert.throws(() => drive(node), { code: 'E_STATE' });
  say(node, 'one');
  await settle();
  assert.deepEqual(texts(seen), ['one']);
  first.stop();
  const second = drive(node, { transports: [transport], onStep: (step) => seen.push(step) });
  first.stop(); // takes nothing away from the second
  say(node, 'two');
  await settle();
  assert.deepEqual(texts(seen), ['one', 'two']);
  assert.equal(second.isStopped, false);
  second.stop();
  await Promise.all([first.done, second.done]);
  node.dispose();
});

test('a reader that leaves its loop does not stall the node, and another may come', async () => {
  const node = echoNode();
  const seen = [];
  const driver = drive(node, { stepsMax: 2, onStep: (step) => seen.push(step) });
  say(node, 'a');
  say(node, 'b');
  assert.deepEqual(await readUntil(driver, 'a'), ['a']);
  for (let i = 0; i < 20; i++) {
    say(node, `gap ${i}`);
    await settle(1);
  }
  assert.equal(node.stats().ingressDepth, 0);
  assert.equal(texts(seen).at(-1), 'gap 19');
  const reading = readUntil(driver, 'c');
  say(node, 'c');
  const read = await reading;
  assert.equal(read.at(-1), 'c');
  assert.equal(read.includes('gap 19'), false);

  // A reader that leaves a full queue frees the node as well.
  const iterator = driver[Symbol.asyncIterator]();
  for (let i = 0; i < 5; i++) {
    say(node, `full ${i}`);
    await settle();
  }
  assert.notEqual(texts(seen).at(-1), 'full 4');
  await iterator.return();
  await settle();
  assert.equal(texts(seen).at(-1), 'full 4');
  driver.stop();
  await driver.done;
  node.dispose();
});

test('an iterator that is returned before or during its first next makes room for the next reader', async () => {
  const node = echoNode();
  const driver = drive(node);
  await driver[Symbol.asyncIterator]().return();
  const waiting = driver[Symbol.asyncIterator]();
  assert.throws(() => driver[Symbol.asyncIterator](), { code: 'E_STATE' });
  const steps = [];
  const reading = (async () => { for (let n; !(n = await waiting.next()).done;) steps.push(n.value); })();
  await settle();
  assert.deepEqual(await waiting.return(), { value: undefined, done: true });
  await reading;
  const next = readUntil(driver, 'x');
  say(node);
  assert.deepEqual(await next, ['x']);
  driver.stop();
  node.dispose();
});

test('done rejects with what stopped the driver, also when nobody iterates', async () => {
  const unhandled = [];
  const listener = (error) => unhandled.push(error);
  process.on('unhandledRejection', listener);
  const node = echoNode();
  const onStep = () => { throw new Error('app'); };
  const driver = drive(node, { onStep });
  say(node);
  await assert.rejects(driver.done, /app/);
  assert.equal(driver.isStopped, true);
  const other = drive(node, { onStep });
  say(node);
  await assert.rejects(readAll(other), /app/);
  drive(node, { onStep, transports: [line({ close() { throw new Error('stuck'); } })] });
  say(node);
  const abort = new AbortController();
  await settle();
  const aborted = drive(node, { signal: abort.signal });
  abort.abort(new Error('enough'));
  await assert.rejects(aborted.done, /enough/);
  const broken = drive(node, { transports: [line({ receive() { throw new Error('no line'); } })] });
  await assert.rejects(broken.done, /no line/);
  const quiet = drive(node);
  quiet.stop();
  await quiet.done;
  await settle();
  process.off('unhandledRejection', listener);
  assert.deepEqual(unhandled, []);
  node.dispose();
});

test('a transport that cannot send costs that envelope, not the driver', async () => {
  const runtime = createRuntime(module);
  const net = defineModule('Net', (g) => g.output('got', g.netOut('t', slots.peerSelector('clients').currentView(g, g.input('in')), g.input('x'))));
  const artifact = compileIn(runtime, net, { targetNames: { '@self': 'S', clients: 'C' }, bindings: { sel: { role: 'PeerSelector', type: 'KnownPeers' } } });
  const failures = [new Error('net'), new DOMException('gone', 'NetworkError'), 'text', undefined, new Error('long '.repeat(100_000)), new Error('\ud800')];
  const node = installIn(runtime, { peerId: A, artifact, targets: ['S'] });
  const seen = [];
  let sends = 0;
  const transport = line({
    send() { if (sends < failures.length) throw failures[sends++]; sends++; },
    async* receive({ signal }) {
      yield { type: 'up', peer: B };
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  });
  const driver = drive(node, { transports: [transport], onStep: (step) => seen.push(step) });
  await settle();
  for (let i = 0; i <= failures.length; i++) {
    node.invoke(node.modules[0], { in: bytes('1'), x: bytes('2') });
    await settle();
    if (i === 0) assert.equal(node.peerHealth(B).consecutiveFailures, 1); // the node was told
    node.unblockPeer(B);
  }
  assert.equal(driver.isStopped, false);
  const failed = seen.filter((step) => step.type === 'SendFailed');
  assert.equal(failed.length, sends - 1);
  assert.ok(failed.length > 0);
  assert.deepEqual([failed[0].error.name, failed[0].error.message, failed[0].error.cause], ['BbwError', 'net', failures[0]]);
  driver.stop();
  await driver.done;
  node.dispose();
});

/** A node whose Send goes to everybody that it knows, and how to send. */
function sender(nodeConfig = {}) {
  const runtime = createRuntime(module);
  const net = defineModule('Net', (g) => g.output('got', g.netOut('t', slots.peerSelector('clients').currentView(g, g.input('in')), g.input('x'))));
  const artifact = compileIn(runtime, net, { targetNames: { '@self': 'S', clients: 'C' }, bindings: { sel: { role: 'PeerSelector', type: 'KnownPeers' } } });
  const node = installIn(runtime, { peerId: A, artifact, targets: ['S'], nodeConfig });
  return { node, send: (x) => node.invoke(node.modules[0], { in: bytes('1'), x }) };
}
const C = PeerId.fromU64(3);
/** Where the number that a message of `numbered` carries is in its envelope. */
const numbered = (i) => Uint8Array.of(...Array(992).fill(0), 0xaa, 0x55, 0xaa, 0x55, i >> 8, i & 255, 0xaa, 0x55);
const numberIn = (envelope) => {
  const at = envelope.findIndex((byte, k) => byte === 0xaa && envelope[k + 1] === 0x55 && envelope[k + 2] === 0xaa && envelope[k + 3] === 0x55 && envelope[k + 6] === 0xaa);
  return envelope[at + 4] << 8 | envelope[at + 5];
};
async function takeAll(transport, out, until) {
  for await (const event of transport.receive()) {
    if (event.type !== 'envelope') continue;
    out.push(numberIn(event.envelope));
    if (out.length === until) return;
  }
}

test('a peer that does not read keeps nobody waiting, and gets everything in order when it reads', async () => {
  const { node, send } = sender(), hub = createMemoryHub(), steps = [], MESSAGES = 200;
  const own = hub.connect(A), slow = hub.connect(B), quick = hub.connect(C);
  const driver = drive(node, { transports: [own], backlogBytesMax: 8192, onStep: (step) => steps.push(step) });
  const got = { slow: [], quick: [] };
  const reading = takeAll(quick, got.quick, MESSAGES);
  await settle();
  for (let i = 0; i < MESSAGES; i++) {
    send(numbered(i));
    await settle(i % 20 === 0 ? 5 : 0);
  }
  await reading;
  const inOrder = [...Array(MESSAGES).keys()];
  assert.deepEqual(got.quick, inOrder);
  const waiting = node.stats().outboundQueueDepth;
  assert.ok(waiting > MESSAGES / 2 && waiting < MESSAGES, `${waiting} wait in the node`);
  assert.ok(own.backlog(B) < 8192 + 2048, `${own.backlog(B)} bytes wait in the transport`);
  await takeAll(slow, got.slow, MESSAGES);
  assert.deepEqual(got.slow, inOrder);
  await settle(100);
  assert.equal(node.stats().outboundQueueDepth, 0);
  send(numbered(MESSAGES)); // slow no more
  await takeAll(slow, got.slow, MESSAGES + 1);
  assert.deepEqual(steps.filter((step) => step.type === 'SendFailed' || step.type === 'OutboundDropped'), []);
  driver.stop();
  await driver.done;
  node.dispose();
});

test('what waits for a peer that goes away fails, however much it is', async () => {
  const { node, send } = sender({ busCapacity: 4 }), hub = createMemoryHub(), steps = [], MESSAGES = 60;
  const slow = hub.connect(B);
  const driver = drive(node, { transports: [hub.connect(A)], backlogBytesMax: 2048, onStep: (step) => steps.push(step) });
  await settle();
  for (let i = 0; i < MESSAGES; i++) {
    send(numbered(i));
    await settle(0);
  }
  const waiting = node.stats().outboundQueueDepth;
  assert.ok(waiting > MESSAGES / 2, `${waiting} wait in the node`);
  slow.close();
  await settle(50);
  assert.equal(node.stats().outboundQueueDepth, 0);
  assert.equal(steps.filter((step) => step.type === 'SendFailed').length, waiting); // more than the node's queue holds
  assert.equal(driver.isStopped, false);
  driver.stop();
  await driver.done;
  node.dispose();
});

test('a driver that stops leaves no peer without room', async () => {
  const { node, send } = sender(), hub = createMemoryHub();
  hub.connect(B);
  const driver = drive(node, { transports: [hub.connect(A)], backlogBytesMax: 1 });
  await settle();
  for (let i = 0; i < 3; i++) {
    send(numbered(i));
    await settle(0);
  }
  assert.ok(node.stats().outboundQueueDepth > 0);
  driver.stop();
  await driver.done;
  node.poll();
  assert.equal(node.stats().outboundQueueDepth, 0);
  node.setSendRoom(B, 0);
  node.dispose();
  for (const backlogBytesMax of [0, -1, 1.5, NaN, '8', null]) assert.throws(() => drive(echoNode(), { backlogBytesMax }), { code: 'E_ARG' });
});

test('a transport that says nonsense of its backlog, or throws, is one without a backlog', async () => {
  const nonsense = [() => { throw new Error('gone'); }, () => { throw new BbwError('E_STATE', 'gone'); },
    () => NaN, () => undefined, () => 'much', () => -1, () => 10n ** 9n, () => 4096.5, () => Infinity, () => 2 ** 60];
  for (const backlog of nonsense) {
    const { node, send } = sender(), hub = createMemoryHub(), steps = [];
    const own = hub.connect(A);
    hub.connect(B);
    const driver = drive(node, { transports: [{ ...own, backlog }], backlogBytesMax: 8192, onStep: (step) => steps.push(step) });
    await settle();
    for (let i = 0; i < 3; i++) {
      send(numbered(i));
      await settle(25); // so that the backlog is looked at in between
    }
    await settle(50);
    assert.equal(driver.isStopped, false, String(backlog));
    assert.deepEqual(steps.filter((step) => step.type === 'SendFailed'), [], String(backlog)); // all were sent
    assert.equal(node.peerHealth(B)?.consecutiveFailures ?? 0, 0);
    assert.ok(driver.counters.envelopesSent >= 1);
    driver.stop();
    await driver.done;
    node.dispose();
  }
});

test('an envelope that went out has not failed because the node can note no more slow peers', async () => {
  const { node, send } = sender(), hub = createMemoryHub(), steps = [];
  const own = hub.connect(A);
  hub.connect(B);
  for (let i = 0; i < 16384; i++) node.setSendRoom(PeerId.fromU64(1000 + i), 0);
  const driver = drive(node, { transports: [own], backlogBytesMax: 1, onStep: (step) => steps.push(step) });
  await settle();
  for (let i = 0; i < 3; i++) {
    send(numbered(i));
    await settle(0);
  }
  assert.equal(driver.isStopped, false);
  assert.equal(driver.counters.envelopesSent, 3);
  assert.deepEqual(steps.filter((step) => step.type === 'SendFailed'), []);
  driver.stop();
  await driver.done;
  node.dispose();
});

test('a full address book, or a peer that the application has dropped, does not stop the driver', async () => {
  const node = echoNode(), hub = createMemoryHub(), steps = [];
  const driver = drive(node, { transports: [hub.connect(A)], onStep: (step) => steps.push(step) });
  const first = hub.connect(B);
  await settle();
  node.dropPeer(B);
  first.close();
  await settle();
  assert.throws(() => { for (let i = 0; ; i++) node.addPeer(PeerId.fromU64(1000 + i)); }, { code: 'E_AB_FULL' });
  const second = hub.connect(B);
  await settle();
  second.close();
  await settle();
  assert.equal(driver.isStopped, false);
  assert.deepEqual(steps.map((step) => step.type), ['Connected', 'Disconnected', 'Connected', 'InboundRefused', 'Disconnected']);
  assert.equal(steps[3].error.code, 'E_AB_FULL');
  driver.stop();
  await driver.done;
  node.dispose();
});
