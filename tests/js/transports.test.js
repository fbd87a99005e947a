// Transports: order, bounds, identity, reconnection.  Sockets stay on the loopback interface.
import assert from 'node:assert/strict';
import test from 'node:test';
import { WebSocket } from 'ws';
import { PeerId } from '../../js/peer-id.js';
import { createQueue } from '../../js/internal/queue.js';
import { createMemoryHub } from '../../js/transports/memory.js';
import { CLOSE, hello, readHello } from '../../js/transports/transport.js';
import { createWebSocketServer, createWebSocketTransport } from '../../js/transports/websocket-node.js';

const [A, B, C] = [1, 2, 3].map((n) => PeerId.fromU64(n));
const bytes = (...list) => Uint8Array.from(list);
const brief = (e) => (e.type === 'envelope' ? `${e.peer.asU64()}:${[...e.envelope]}` : `${e.type} ${e.peer.asU64()}`);
/** The next `count` events of a transport. */
async function take(iterator, count) {
  const out = [];
  while (out.length < count) {
    const { value, done } = await iterator.next();
    if (done) break;
    out.push(brief(value));
  }
  return out;
}
const server = (options = {}) => createWebSocketServer({ self: A, ...options });
const client = (at, self = B, options = {}) => createWebSocketTransport({ url: `ws://127.0.0.1:${at.port}/`, self, backoffBaseMs: 5, backoffCapMs: 20, ...options });

test('a queue is bounded in items and bytes, keeps order, and ends', async () => {
  const queue = createQueue({ itemsMax: 3, bytesMax: 10, sizeOf: (n) => n });
  assert.deepEqual([queue.push(4), queue.push(5), queue.push(2), queue.push(1), queue.push(0)], [true, true, false, true, false]);
  queue.force(100);
  queue.end();
  const seen = [];
  for await (const item of queue.read()) seen.push(item);
  assert.deepEqual(seen, [4, 5, 1, 100]);
  assert.equal(queue.bytes, 0);
  assert.equal(queue.push(1), false);
});

test('a reader waits, throws what ended the queue, and obeys its signal', async () => {
  const queue = createQueue({ itemsMax: 3 });
  const iterator = queue.read();
  const first = iterator.next();
  queue.push('late');
  assert.equal((await first).value, 'late');
  assert.throws(() => queue.read(), { code: 'E_STATE' });
  queue.end(new Error('broken'));
  await assert.rejects(iterator.next(), /broken/);

  const other = createQueue({ itemsMax: 3 });
  const abort = new AbortController();
  const waiting = other.read({ signal: abort.signal }).next();
  abort.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  assert.throws(() => other.read({ signal: abort.signal }), /enough/);
});

test('memory: everybody sees everybody, envelopes arrive in order and as copies', async () => {
  const hub = createMemoryHub();
  const a = hub.connect(A), b = hub.connect(B);
  const envelope = bytes(1, 2);
  a.send(B, envelope);
  envelope.fill(9);
  a.send(B, bytes(3));
  assert.deepEqual(await take(b.receive(), 3), ['up 1', '1:1,2', '1:3']);
  assert.deepEqual([a.peers().map(String), b.peers().map(String)], [[String(B)], [String(A)]]);
  assert.throws(() => hub.connect(A), { code: 'E_PEER_DUPLICATE' });
  assert.throws(() => a.send(C, bytes(1)), { code: 'E_AB_UNKNOWN_PEER' });
  b.close();
  b.close();
  assert.deepEqual(await take(a.receive(), 2), ['up 2', 'down 2']);
  assert.throws(() => b.send(A, bytes(1)), { code: 'E_STATE' });
  assert.throws(() => a.send(B, bytes(1)), { code: 'E_AB_UNKNOWN_PEER' });
});

test('memory: a receiver that does not read makes the sender stop', () => {
  const hub = createMemoryHub({ itemsMax: 3 });
  const a = hub.connect(A);
  hub.connect(B);
  a.send(B, bytes(1)); // the queue of B holds "up" already
  a.send(B, bytes(2));
  assert.throws(() => a.send(B, bytes(3)), { code: 'E_LIMIT' });
});

test('the hello holds the id, and nothing else is one', () => {
  assert.ok(readHello(hello(B)).equals(B));
  for (const bad of [bytes(), bytes(0x62, 0x62, 0x77), bytes(0x62, 0x62, 0x77, 0x32, 0, 0), bytes(0x62, 0x62, 0x77, 0x31), bytes(0x62, 0x62, 0x77, 0x31, 0, 8, 1)]) {
    assert.throws(() => readHello(bad), { code: 'E_PROTOCOL' });
  }
});

test('websocket: both sides learn who the other is, envelopes go both ways', async () => {
  const s = await server();
  const c = client(s);
  try {
    assert.ok((await c.ready).equals(A));
    const fromServer = c.receive(), fromClient = s.receive();
    assert.deepEqual([await take(fromServer, 1), await take(fromClient, 1)], [['up 1'], ['up 2']]);
    c.send(A, bytes(1, 2, 3));
    s.send(B, bytes(4));
    const large = new Uint8Array(3_000_000).fill(7);
    s.send(B, large);
    assert.deepEqual(await take(fromClient, 1), ['2:1,2,3']);
    assert.deepEqual(await take(fromServer, 1), ['1:4']);
    assert.deepEqual((await fromServer.next()).value.envelope, large);
    assert.throws(() => c.send(C, bytes(1)), { code: 'E_AB_UNKNOWN_PEER' });
    assert.throws(() => s.send(C, bytes(1)), { code: 'E_AB_UNKNOWN_PEER' });
    c.close();
    assert.deepEqual(await take(fromClient, 1), ['down 2']);
    assert.equal((await fromServer.next()).value.type, 'down');
    assert.equal((await fromServer.next()).done, true);
    assert.throws(() => c.send(A, bytes(1)), { code: 'E_STATE' });
  } finally {
    c.close();
    s.close();
    await s.closed;
  }
});

test('websocket: a second live peer with the same id is refused, the first stays', async () => {
  const s = await server();
  const first = client(s), second = client(s), imposter = client(s, A);
  try {
    await Promise.race([first.ready, second.ready]);
    const results = await Promise.allSettled([first.ready, second.ready, imposter.ready]);
    assert.deepEqual(results.map((r) => r.reason?.code).sort(), ['E_PEER_DUPLICATE', 'E_PEER_DUPLICATE', undefined]);
    assert.deepEqual(s.peers().map(String), [String(B)]);
    await assert.rejects(imposter.receive().next(), { code: 'E_PEER_DUPLICATE' });
  } finally {
    for (const t of [first, second, imposter, s]) t.close();
    await s.closed;
  }
});

test('websocket: a client that finds another peer than expected leaves', async () => {
  const s = await server();
  const c = client(s, B, { expect: C });
  try {
    await assert.rejects(c.ready, (error) => error.code === 'E_PEER_MISMATCH' && error.details.found.equals(A) && error.details.expected.equals(C));
    await assert.rejects(c.receive().next(), { code: 'E_PEER_MISMATCH' });
  } finally {
    c.close();
    s.close();
    await s.closed;
  }
});

test('websocket: what is no hello, is text, or comes too late is refused', async () => {
  const s = await server({ helloTimeoutMs: 50 });
  const closeCode = (first) => new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${s.port}/`);
    socket.on('close', resolve);
    socket.on('open', () => { if (first !== undefined) socket.send(first); });
  });
  try {
    assert.equal(await closeCode(bytes(1, 2, 3)), CLOSE.PROTOCOL);
    assert.equal(await closeCode('bbw1'), CLOSE.PROTOCOL);
    assert.equal(await closeCode(undefined), CLOSE.PROTOCOL);
    assert.deepEqual(s.peers(), []);
  } finally {
    s.close();
    await s.closed;
  }
});

test('websocket: more peers than allowed are told to come later', async () => {
  const s = await server({ peersMax: 1 });
  const one = client(s);
  await one.ready;
  const two = client(s, C, { reconnect: false });
  try {
    await assert.rejects(two.ready, (error) => error.details.code === CLOSE.TRY_LATER);
  } finally {
    for (const t of [one, two, s]) t.close();
    await s.closed;
  }
});

test('websocket: a broken connection comes back by itself, with the same id', async () => {
  const s = await server();
  const c = client(s);
  try {
    const events = c.receive();
    assert.deepEqual(await take(events, 1), ['up 1']);
    c.dropConnection();
    assert.deepEqual(await take(events, 2), ['down 1', 'up 1']);
    s.drop(B);
    assert.deepEqual(await take(events, 2), ['down 1', 'up 1']);
    assert.deepEqual(await take(s.receive(), 5), ['up 2', 'down 2', 'up 2', 'down 2', 'up 2']);
    c.send(A, bytes(5));
  } finally {
    c.close();
    s.close();
    await s.closed;
  }
});

test('websocket: a client waits for a server that is not there yet, and stops when told', async () => {
  const s = await server();
  const { port } = s;
  s.close();
  await s.closed;
  const c = client({ port });
  await new Promise((resolve) => setTimeout(resolve, 30));
  const again = await server({ port });
  try {
    assert.ok((await c.ready).equals(A));
  } finally {
    c.close();
    again.close();
    await again.closed;
  }
  const lost = client({ port });
  lost.close();
  await assert.rejects(lost.ready, { code: 'E_STATE' });
  assert.equal((await lost.receive().next()).done, true);
});

test('websocket: a peer that does not read makes send fail, not the memory grow', async () => {
  const s = await server({ sendBytesMax: 4_000_000 });
  const socket = new WebSocket(`ws://127.0.0.1:${s.port}/`);
  socket.on('open', () => socket.send(hello(B)));
  const events = s.receive();
  try {
    assert.deepEqual(await take(events, 1), ['up 2']);
    socket.pause();
    const chunk = new Uint8Array(1_000_000);
    let sent = 0;
    assert.throws(() => { for (; sent < 100; sent++) s.send(B, chunk); }, { code: 'E_LIMIT' });
    assert.ok(sent >= 3 && sent < 20, `${sent} chunks were taken`);
  } finally {
    socket.terminate();
    s.close();
    await s.closed;
  }
});
