// Frames of the reference, as they come over a network: cut anywhere, in any order, doubled, with damaged ones between.
//
// The frames are recorded (tests/vectors/traces, tests/vectors/envelopes; BBW_SEEDS=n for more than 12 orders of them). They come through real sockets as fragments of WebSocket messages, in
// chunks that know nothing of frames. A second node gets the same envelopes whole, in the order in which the first got them: steps, statistics and
// snapshot must be the same.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import test from 'node:test';
import { WebSocketServer } from 'ws';
import { createRuntime, installIn, PeerId } from '../../js/index.js';
import { createRandom } from '../../js/data/index.js';
import { drive } from '../../js/driver.js';
import { hello, readHello } from '../../js/transports/transport.js';
import { createWebSocketServer, createWebSocketTransport } from '../../js/transports/websocket-node.js';
import { cases, fileOf, hex, unhex } from './vectors.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const [SELF, P2, P3] = [1, 2, 3].map((n) => PeerId.fromU64(n));
const PEERS = [P2, P3];
const MS = 1_000_000n;

const trace = cases('traces').find(({ name }) => name === 'two_part_receiver');
/** What the reference sent to, or took at, a node of this artifact; then every other golden envelope, the refused ones too. */
const LIVE = trace.script.filter(({ call }) => call === 'deliver_inbound').map(({ bytes }) => unhex(bytes));
const ALL = cases('envelopes').filter(({ bytes, file }) => bytes ?? file).map(({ bytes, file }) => (bytes === undefined ? new Uint8Array(fileOf('envelopes', file)) : unhex(bytes)));

function install(runtime) {
  const [{ model_file: file, targets }] = trace.nodes;
  return installIn(runtime, { peerId: SELF, artifact: readFileSync(`tests/vectors/traces/${file}`), targets, nodeConfig: { rngSeed: 7 } });
}

/** One of the ways in which a frame breaks. */
function damaged(frame, random) {
  const out = Uint8Array.from(frame);
  switch (random.below(4)) {
    case 0: return out.subarray(0, random.below(out.length + 1)); // cut off
    case 1: return Uint8Array.from([...out.subarray(0, 200), ...out.subarray(random.below(out.length + 1)).subarray(0, 200)]); // a part twice
    case 2: return Uint8Array.from({ length: 1 + random.below(60) }, () => random.below(256)); // noise
    default:
      for (let i = 1 + random.below(3); i > 0 && out.length > 0; i--) out[random.below(out.length)] ^= 1 << random.below(8);
      return out;
  }
}

/** What one peer sends: golden frames in random order, about a fifth of them doubled, a fifth damaged. */
function script(random, count) {
  const out = [];
  while (out.length < count) {
    const from = random.below(2) === 0 ? LIVE : ALL;
    const frame = from[random.below(from.length)];
    if (frame.length > 10_000 && random.below(8) > 0) continue; // one large frame is enough
    out.push(random.below(5) === 0 ? damaged(frame, random) : frame);
    if (random.below(5) === 0) out.push(out[random.below(out.length)]);
  }
  return out;
}

/** A frame of WebSocket, masked as clients must. */
function wsFrame(opcode, isLast, payload, random) {
  const size = payload.length;
  const head = [(isLast ? 0x80 : 0) | opcode];
  if (size < 126) head.push(0x80 | size);
  else if (size < 65_536) head.push(0xfe, size >> 8, size & 255);
  else head.push(0xff, 0, 0, 0, 0, size >>> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255);
  const mask = Array.from({ length: 4 }, () => random.below(256));
  return Buffer.concat([Buffer.from([...head, ...mask]), Buffer.from(payload.map((byte, i) => byte ^ mask[i & 3]))]);
}

/** Cuts into 1 to 6 parts, empty ones too. @returns {Uint8Array[]} */
function cut(bytes, random) {
  const at = Array.from({ length: random.below(6) }, () => random.below(bytes.length + 1)).sort((x, y) => x - y);
  return [...at, bytes.length].map((end, i) => bytes.subarray(i === 0 ? 0 : at[i - 1], end));
}

/** A message as fragments, with pings between. */
const fragments = (message, random) => Buffer.concat(cut(message, random).flatMap((part, i, parts) => [
  wsFrame(i === 0 ? 2 : 0, i === parts.length - 1, part, random), ...(random.below(10) === 0 ? [wsFrame(9, true, part.subarray(0, 5), random)] : []),
]));

/** A peer that speaks WebSocket by hand: its bytes leave in chunks of any size. */
async function rawPeer(port, self, random) {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.setNoDelay(true);
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  socket.resume();
  async function write(stream) {
    for (let at = 0; at < stream.length;) {
      const size = random.below(20) === 0 ? 1 : 1 + random.below(random.below(3) === 0 ? 30 : 3000);
      socket.write(stream.subarray(at, at += size));
      if (random.below(3) > 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }
  await write(fragments(hello(self), random));
  return {
    async say(messages) { for (const message of messages) await write(fragments(message, random)); },
    async leave() {
      socket.end(wsFrame(8, true, new Uint8Array(), random));
      await closed;
    },
  };
}

/** A step without what only its identity differs in. */
const plain = (step) => JSON.stringify(step, (_key, value) => (typeof value === 'bigint' ? `${value}n` : value instanceof PeerId ? String(value) : value instanceof Uint8Array ? hex(value) : value));

/** Takes one event of a transport into a node, at a time of its own, and runs the node until it has nothing to do. */
function take(node, event, count, steps) {
  node.tick(BigInt(count) * MS);
  if (event.type === 'up') node.addPeer(event.peer);
  else if (event.type === 'down') node.dropPeer(event.peer);
  else {
    try {
      node.deliverInbound(event.peer, event.envelope);
    } catch (error) {
      steps.push(`refused ${error.code} ${plain(error.details)}`);
    }
  }
  for (let i = 0; i < 100; i++) {
    steps.push(...node.poll().map(plain));
    if (node.isPending) return;
  }
  assert.fail('the node does not come to rest');
}

/** What is left when everything has been worked on. */
const leftovers = (node) => {
  const { frontierLen, busLen, pendingAsync, ingressDepth, outboundQueueDepth, executions, ingressBytesInFlight, slotTableOccupied } = node.stats();
  return { frontierLen, busLen, pendingAsync, ingressDepth, outboundQueueDepth, executions, ingressBytesInFlight, slotTableOccupied };
};
const NOTHING = { frontierLen: 0, busLen: 0, pendingAsync: 0, ingressDepth: 0, outboundQueueDepth: 0, executions: 0, ingressBytesInFlight: 0, slotTableOccupied: 0 };

/** The events of a run again, whole, with another node: returns what it said and its state. */
function replay(runtime, events, timeOf = (i) => i + 1) {
  const node = install(runtime), steps = [];
  events.forEach((event, i) => take(node, event, timeOf(i), steps));
  const end = { steps, snapshot: hex(node.snapshot()), stats: node.stats() }; // stats last: a runtime keeps room for its latest answer, so the next one's size shows in memoryUsed
  node.dispose();
  return end;
}

/**
 * Nothing leaks: both ways leave as many bytes, and the same run again leaves as many as before. (A runtime keeps the room of its largest argument
 * up to 1 MiB, so another run may leave more.)
 */
function leavesNothing(live, whole, events, timeOf) {
  const { memoryUsed } = whole;
  assert.equal(live.memoryUsed, memoryUsed, 'as many bytes stay as with whole frames');
  for (let i = 0; i < 3; i++) {
    replay(whole, events, timeOf);
    assert.equal(whole.memoryUsed, memoryUsed, 'the same run again leaves nothing more');
  }
}

const SEEDS = Number(process.env.BBW_SEEDS ?? 12), PER_PEER = 120;

test('a node behind the server gets fragments of two peers, and does what it does with whole frames', { timeout: 120_000 }, async () => {
  const live = createRuntime(module), whole = createRuntime(module);
  const seen = new Set();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = createRandom(seed);
    const scripts = PEERS.map(() => script(random, PER_PEER));
    const server = await createWebSocketServer({ self: SELF });
    const node = install(live), steps = [], events = [];
    const raw = await Promise.all(PEERS.map((peer) => rawPeer(server.port, peer, random)));
    const reading = (async () => {
      let gone = 0;
      for await (const event of server.receive()) {
        events.push(event.type === 'envelope' ? { ...event, envelope: event.envelope.slice() } : event);
        take(node, event, events.length, steps);
        if (event.type === 'down' && ++gone === PEERS.length) return;
      }
    })();
    await Promise.all(raw.map(async (peer, i) => {
      await peer.say(scripts[i]);
      await peer.leave();
    }));
    await reading;
    server.close();
    await server.closed;

    PEERS.forEach((peer, i) => {
      const got = events.filter((event) => event.type === 'envelope' && event.peer.equals(peer)).map(({ envelope }) => hex(envelope));
      assert.deepEqual(got, scripts[i].map(hex), `seed ${seed}: every frame of ${peer} arrives, whole and in order`);
    });
    const want = replay(whole, events);
    assert.deepEqual(steps, want.steps, `seed ${seed}: steps`);
    assert.deepEqual(node.stats(), want.stats, `seed ${seed}: statistics`);
    assert.equal(hex(node.snapshot()), want.snapshot, `seed ${seed}: snapshot`);
    assert.deepEqual(leftovers(node), NOTHING, `seed ${seed}: nothing is left`);
    steps.forEach((step) => seen.add(step.startsWith('refused') ? step.split(' ')[1] : JSON.parse(step).type));
    node.dispose();
    leavesNothing(live, whole, events);
  }
  // The runs were about something: fills that reach operators, refusals of the gates, undecodable fills, refused envelopes.
  for (const kind of ['AppEvent', 'OpCompleted', 'OpFailed', 'WireDecodeFailed', 'WireReceiveFailed', 'E_INVALID_ENVELOPE']) assert.ok(seen.has(kind), `${kind} occurs; there were ${[...seen]}`);
});

test('a node behind the client gets the fragments of a server, and does what it does with whole frames', { timeout: 120_000 }, async () => {
  const live = createRuntime(module), whole = createRuntime(module);
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = createRandom(seed, 2);
    const frames = script(random, PER_PEER);
    const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: seed % 2 === 0 });
    await new Promise((resolve) => sockets.once('listening', resolve));
    const sending = new Promise((resolve) => sockets.once('connection', (socket) => socket.once('message', async (message) => {
      assert.ok(readHello(new Uint8Array(message)).equals(SELF));
      for (const frame of [hello(P2), ...frames]) {
        const parts = cut(frame, random);
        for (const [i, part] of parts.entries()) {
          socket.send(part, { fin: i === parts.length - 1, compress: random.below(2) === 0, binary: true });
          if (random.below(8) === 0) socket.ping(part.subarray(0, 5));
        }
        if (random.below(3) === 0) await new Promise((resume) => setImmediate(resume));
      }
      socket.close(1000, 'all said');
      resolve();
    })));
    const transport = createWebSocketTransport({ url: `ws://127.0.0.1:${sockets.address().port}/`, self: SELF, reconnect: false });
    const node = install(live), steps = [], events = [];
    for await (const event of transport.receive()) {
      events.push(event.type === 'envelope' ? { ...event, envelope: event.envelope.slice() } : event);
      take(node, event, events.length, steps);
    }
    await sending;
    await new Promise((resolve) => sockets.close(resolve));
    assert.deepEqual(events.filter(({ type }) => type === 'envelope').map(({ envelope }) => hex(envelope)), frames.map(hex), `seed ${seed}: every frame arrives, whole and in order`);
    assert.deepEqual([events[0].type, events.at(-1).type], ['up', 'down']);
    const want = replay(whole, events);
    assert.deepEqual(steps, want.steps, `seed ${seed}: steps`);
    assert.equal(hex(node.snapshot()), want.snapshot, `seed ${seed}: snapshot`);
    assert.deepEqual(node.stats(), want.stats, `seed ${seed}: statistics`);
    assert.deepEqual(leftovers(node), NOTHING, `seed ${seed}: nothing is left`);
    node.dispose();
    leavesNothing(live, whole, events);
  }
});

test('a driver that gets the frames in bursts reports the steps of a node that gets them one by one', { timeout: 120_000 }, async () => {
  const live = createRuntime(module), whole = createRuntime(module);
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = createRandom(seed, 3);
    const scripts = PEERS.map(() => script(random, PER_PEER));
    const server = await createWebSocketServer({ self: SELF });
    const node = install(live), steps = [], events = [];
    let gone = 0, finish;
    const finished = new Promise((resolve) => { finish = resolve; });
    const recording = {
      ...server,
      async* receive(options) {
        for await (const event of server.receive(options)) {
          events.push(event.type === 'envelope' ? { ...event, envelope: event.envelope.slice() } : event);
          yield event;
        }
      },
    };
    const driver = drive(node, {
      transports: [recording], now: () => MS,
      onStep(step) {
        if (step.type === 'InboundRefused') steps.push(`refused ${step.error.code} ${plain(step.error.details)}`);
        else if (step.type === 'Disconnected' && ++gone === PEERS.length) finish();
        else if (step.type !== 'Connected' && step.type !== 'Disconnected') steps.push(plain(step));
      },
    });
    const raw = await Promise.all(PEERS.map((peer) => rawPeer(server.port, peer, random)));
    await Promise.all(raw.map(async (peer, i) => {
      await peer.say(scripts[i]);
      await peer.leave();
    }));
    await finished;
    for (let i = 0; i < 100 && !node.isPending; i++) await new Promise((resolve) => setImmediate(resolve));
    driver.stop();
    await driver.done;
    await server.closed;
    const want = replay(whole, events, () => 1);
    // The driver takes in what has come, then polls: a refusal may be told before the steps of frames that came before it.
    const [told, done] = [(list) => list.filter((step) => step.startsWith('refused')), (list) => list.filter((step) => !step.startsWith('refused'))];
    assert.deepEqual(told(steps), told(want.steps), `seed ${seed}: refusals`);
    assert.deepEqual(done(steps), done(want.steps), `seed ${seed}: steps`);
    assert.equal(hex(node.snapshot()), want.snapshot, `seed ${seed}: snapshot`);
    assert.deepEqual(node.stats(), want.stats, `seed ${seed}: statistics`);
    assert.deepEqual(leftovers(node), NOTHING, `seed ${seed}: nothing is left`);
    node.dispose();
    leavesNothing(live, whole, events, () => 1);
  }
});
