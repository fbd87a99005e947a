// Transports: order, bounds, identity, reconnection.  Sockets stay on the loopback interface.
import assert from 'node:assert/strict';
import net from 'node:net';
import test from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { isBbwError } from '../../js/errors.js';
import { PeerId } from '../../js/peer-id.js';
import { createQueue } from '../../js/internal/queue.js';
import { createMemoryHub } from '../../js/transports/memory.js';
import { CLOSE, hello, readHello, RECEIVE_ITEMS_MAX } from '../../js/transports/transport.js';
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

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
/** A socket that says `messages` as soon as it is open; `code` is what it was closed with. */
function rawSocket(at, ...messages) {
  const socket = new WebSocket(`ws://127.0.0.1:${at.port}/`);
  socket.on('error', () => {});
  socket.on('open', () => { for (const message of messages) socket.send(message); });
  const code = new Promise((resolve) => socket.on('close', resolve));
  return { socket, code };
}
/** All events that a server reports until it is closed. */
async function untilClosed(s) {
  const out = [];
  const iterator = s.receive();
  s.close();
  for await (const event of iterator) out.push(brief(event));
  await s.closed;
  return out;
}
/** A client that has completed its HTTP request and speaks by itself: it answers no close. */
async function deafSocket(at) {
  const socket = net.connect(at.port, '127.0.0.1');
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  socket.resume();
  return { socket, closed, say: (message) => socket.write(Buffer.concat([Buffer.of(0x82, 0x80 | message.length, 0, 0, 0, 0), message])) };
}

test('websocket: a refused connection is not let in by what it says afterwards', async () => {
  const s = await server({ helloTimeoutMs: 50 });
  const refused = [rawSocket(s, 'text', hello(B)), rawSocket(s, bytes(1, 2), hello(C), new Uint8Array(100))];
  const deaf = await deafSocket(s);
  await sleep(100);
  deaf.say(hello(PeerId.fromU64(9)));
  assert.deepEqual(await Promise.all(refused.map((r) => r.code)), [CLOSE.PROTOCOL, CLOSE.PROTOCOL]);
  await deaf.closed; // cut, although it does not answer
  const c = client(s);
  await c.ready;
  c.close();
  assert.equal((await untilClosed(s)).filter((e) => e !== 'down 2').join(), 'up 2');
});

test('websocket: a dropped peer that does not answer is cut, and what it still says is not heard', async () => {
  const s = await server();
  const deaf = await deafSocket(s);
  deaf.say(hello(B));
  const events = s.receive();
  assert.deepEqual(await take(events, 1), ['up 2']);
  s.drop(B);
  deaf.say(bytes(1));
  assert.deepEqual(await take(events, 1), ['down 2']);
  s.close();
  await s.closed;
});

test('websocket: connections without a hello are few and small', async () => {
  const s = await server({ peersMax: 2, handshakesMax: 3 });
  const silent = Array.from({ length: 20 }, () => rawSocket(s));
  const states = await Promise.all(silent.map(({ socket, code }) => Promise.race([code, new Promise((resolve) => socket.on('open', () => resolve('open')))])));
  assert.equal(states.filter((state) => state === 'open').length, 3);
  silent.forEach(({ socket }) => socket.terminate());
  const idle = Array.from({ length: 20 }, () => net.connect(s.port, '127.0.0.1').on('error', () => {}));
  let open = idle.length;
  idle.forEach((socket) => socket.on('close', () => open--));
  await sleep(100);
  assert.ok(open <= 2 + 2 * 3, `${open} connections without an HTTP request`);
  idle.forEach((socket) => socket.destroy());
  await sleep(20);

  const large = await deafSocket(s);
  large.socket.write(Buffer.of(0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)); // the header of 16 MiB
  large.socket.write(Buffer.alloc(2000));
  await large.closed;
  const c = client(s);
  await c.ready;
  c.send(A, new Uint8Array(2_000_000)); // after the hello the cap is that of an envelope
  const events = s.receive();
  await events.next();
  assert.equal((await events.next()).value.envelope.length, 2_000_000);
  c.close();
  s.close();
  await s.closed;
});

test('websocket: a server whose reader is slow keeps its clients, and lets nobody in meanwhile', async () => {
  const s = await server({ pingMs: 150 }); // long beside what a busy machine takes from the event loop
  const gone = client(s, PeerId.fromU64(4));
  await gone.ready;
  const filler = rawSocket(s, hello(B), ...Array(RECEIVE_ITEMS_MAX + 100).fill(bytes(1)));
  await sleep(900); // several pings
  assert.deepEqual(s.peers().map((p) => p.asU64()).sort(), [2n, 4n]);
  assert.equal(await rawSocket(s, hello(C)).code, CLOSE.TRY_LATER);
  gone.close();
  for (let i = 0; i < 100 && s.peers().length > 1; i++) await sleep(20);
  const events = s.receive();
  const seen = await take(events, RECEIVE_ITEMS_MAX + 100 + 3);
  assert.deepEqual(seen.filter((e) => !e.startsWith('2:')).sort(), ['down 4', 'up 2', 'up 4']);
  const late = client(s, C);
  assert.deepEqual(await take(events, 1), ['up 3']);
  assert.deepEqual(s.peers().map((p) => p.asU64()).sort(), [2n, 3n]);
  filler.socket.terminate();
  late.close();
  s.close();
  await s.closed;
});

test('websocket: a client waits longer and longer for a server that floods it after the hello', async () => {
  const evil = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await new Promise((resolve) => evil.once('listening', resolve));
  let hellos = 0;
  evil.on('connection', (socket) => {
    hellos++;
    socket.send(hello(A));
    socket.close(CLOSE.NORMAL, 'again');
  });
  const c = client(evil.address(), B, { backoffBaseMs: 10, backoffCapMs: 10_000, random: () => 0.5 });
  await sleep(500); // waits of 7.5, 15, 30, 60, 120, 240 ms
  c.close();
  evil.close();
  assert.ok(hellos >= 2 && hellos <= 7, `${hellos} connections`);
});

test('websocket: a client whose reader is away does not collect ups and downs', async () => {
  const flood = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await new Promise((resolve) => flood.once('listening', resolve));
  let connections = 0;
  flood.on('connection', (socket) => {
    connections++;
    socket.on('error', () => {});
    socket.send(hello(A));
    for (let i = 0; i <= RECEIVE_ITEMS_MAX; i++) socket.send(bytes(1));
  });
  const c = client(flood.address());
  for (let i = 0; i < 250 && connections <= 2; i++) await sleep(20);
  c.close();
  flood.close();
  assert.ok(connections > 2, `${connections} connections`);
  const states = [];
  for await (const event of c.receive()) if (event.type !== 'envelope') states.push(brief(event));
  assert.deepEqual(states, ['up 1', 'down 1']);
});

test('websocket: wrong arguments and a taken port are errors of ours', async () => {
  const s = await server();
  const c = client(s);
  await c.ready;
  try {
    const events = c.receive();
    assert.deepEqual(await take(events, 1), ['up 1']);
    assert.throws(() => s.drop(B, 5), { name: 'BbwError', code: 'E_ARG' });
    s.drop(B, 'ä€'.repeat(100));
    assert.equal((await events.next()).value.reason, `${'ä€'.repeat(24)}ä`); // 122 bytes: the next character takes three
    assert.throws(() => createWebSocketTransport({ url: 'garbage', self: B }), (e) => isBbwError(e, 'E_ARG') && e.details.url === 'garbage' && e.cause instanceof Error);
    await assert.rejects(server({ port: s.port }), (e) => isBbwError(e, 'E_STATE') && e.details.port === s.port && e.cause.code === 'EADDRINUSE');
    for (const port of [70_000, 'x']) await assert.rejects(server({ port }), (e) => isBbwError(e, 'E_ARG') && e.cause.code === 'ERR_SOCKET_BAD_PORT');
  } finally {
    c.close();
    s.close();
    await s.closed;
  }
});
