// websocket-server: the side that many clients connect to.  For Node, on top of `ws`.
//
// The hello of a client is answered only when the client is accepted: its id is no other live connection's and not ours.
// A connection that answers no ping is closed, so that a client that lost its network can come back under its id.
// Before the hello a connection may cost little: their number, their bytes and their time are bounded.

import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { BbwError } from '../errors.js';
import { asBytes } from '../internal/bytes.js';
import { createQueue } from '../internal/queue.js';
import { PeerId } from '../peer-id.js';
import {
  bytesMaxOf, checkSend, CLOSE, closedTransport, closeReason, fullTransport, hello, MESSAGE_BYTES_MAX, readHello, RECEIVE_BYTES_MAX, RECEIVE_ITEMS_MAX,
  SEND_BYTES_MAX, sizeOfReceived, unknownPeer,
} from './transport.js';

/**
 * @typedef {import('./transport.js').Transport} Transport
 * @typedef {import('./transport.js').Received} Received
 */

/**
 * @typedef {object} WebSocketServerOptions
 * @property {PeerId | string} self  who we are
 * @property {import('node:http').Server} [server]  an HTTP server to share; else `port` and `host`
 * @property {string} [path]
 * @property {number} [port]  default 0: any free one
 * @property {string} [host]  default 127.0.0.1
 * @property {number} [peersMax]  default 1024; more are told to come later
 * @property {number} [handshakesMax]  default 256; connections without an accepted hello, more are answered with HTTP 503
 * @property {number} [messageBytesMax]  the largest envelope, in both directions; default 16 MiB, the default cap of a node
 * @property {number} [sendBytesMax]  per peer
 * @property {number} [helloTimeoutMs]  default 5,000
 * @property {number} [pingMs]  default 15,000; 0 switches pings off
 */

/** @typedef {{peer: PeerId, socket: import('ws').WebSocket, isAlive: boolean}} Live */

/** Bytes on the wire before the hello is accepted: one frame of at most 4 + 75 bytes, its header, some pings. */
const HANDSHAKE_BYTES_MAX = 1024;
/** How long a socket that we close may take to answer before it is cut. */
const CLOSE_WAIT_MS = 1000;

/** @param {import('ws').WebSocket} socket @param {number} code @param {string} reason */
function leave(socket, code, reason) {
  socket.close(code, reason);
  setTimeout(() => socket.terminate(), CLOSE_WAIT_MS).unref();
}

/**
 * @param {WebSocketServerOptions} options  E_ARG when they make no sense, E_STATE when the port cannot be had; both with the cause
 * @returns {Promise<Transport & {port: number, drop: (peer: PeerId, reason?: string) => void, closed: Promise<void>}>}
 */
export async function createWebSocketServer({
  self: selfLike, server, path, port = 0, host = '127.0.0.1', peersMax = 1024, handshakesMax = 256, messageBytesMax = MESSAGE_BYTES_MAX,
  sendBytesMax = SEND_BYTES_MAX, helloTimeoutMs = 5000, pingMs = 15_000,
}) {
  const self = PeerId.from(selfLike);
  bytesMaxOf(messageBytesMax, 'messageBytesMax');
  const queue = /** @type {typeof createQueue<Received>} */ (createQueue)({ itemsMax: RECEIVE_ITEMS_MAX, bytesMax: RECEIVE_BYTES_MAX, sizeOf: sizeOfReceived });
  /** @type {Map<string, Live>} */
  const live = new Map();
  /** Those that we stopped reading because nobody took what they had brought. @type {Set<Live>} */
  const paused = new Set();
  queue.onDrain(() => {
    if (paused.size === 0 || queue.length > RECEIVE_ITEMS_MAX / 2 || queue.bytes > RECEIVE_BYTES_MAX / 2) return;
    for (const entry of paused) {
      entry.isAlive = true; // its pong may still wait to be read
      entry.socket.resume();
    }
    paused.clear();
  });

  const owned = server === undefined ? await listen({ port, host, timeoutMs: helloTimeoutMs }) : undefined;
  const sockets = new WebSocketServer({
    server: owned ?? server, path, maxPayload: messageBytesMax, perMessageDeflate: false,
    verifyClient: (_info, answer) => answer(sockets.clients.size - live.size < handshakesMax, 503),
  });
  const closing = [new Promise((resolve) => sockets.once('close', resolve))];
  if (owned !== undefined) {
    owned.maxConnections = peersMax + 2 * handshakesMax; // peers, handshakes, and as many that have not sent their HTTP request
    closing.push(new Promise((resolve) => owned.once('close', resolve)));
    sockets.on('error', () => {}); // one connection that could not be taken, for want of file descriptors; the others go on
  }
  /** @type {Promise<void>} */
  const closed = Promise.all(closing).then(() => {});

  sockets.on('connection', (socket, { socket: wire }) => {
    socket.binaryType = 'nodebuffer';
    /** @type {Live | undefined} */
    let entry;
    let handshakeBytes = 0;
    const timer = setTimeout(() => leave(socket, CLOSE.PROTOCOL, 'E_PROTOCOL'), helloTimeoutMs);
    // maxPayload belongs to the whole server, and one large frame would be kept until its end.
    wire.on('data', function count(/** @type {Buffer} */ chunk) {
      if (entry !== undefined) wire.off('data', count);
      else if ((handshakeBytes += chunk.length) > HANDSHAKE_BYTES_MAX) socket.terminate();
    });
    socket.on('error', () => {}); // a close event follows
    socket.on('pong', () => { if (entry) entry.isAlive = true; });
    socket.on('message', (data, isBinary) => {
      if (socket.readyState !== socket.OPEN) return; // refused or dropped: whatever still comes, a hello too, is too late
      if (!isBinary) return leave(socket, CLOSE.PROTOCOL, 'E_PROTOCOL');
      const message = asBytes(/** @type {Buffer} */ (data));
      if (entry !== undefined) {
        entry.isAlive = true;
        queue.force({ type: 'envelope', peer: entry.peer, envelope: new Uint8Array(message) });
        if (queue.length >= RECEIVE_ITEMS_MAX || queue.bytes >= RECEIVE_BYTES_MAX) {
          // TCP holds the rest back: the sender's bufferedAmount grows and its send throws E_LIMIT.
          socket.pause();
          paused.add(entry);
        }
        return;
      }
      clearTimeout(timer);
      let peer;
      try {
        peer = readHello(message);
      } catch {
        return leave(socket, CLOSE.PROTOCOL, 'E_PROTOCOL');
      }
      const key = peer.toString();
      if (live.has(key) || peer.equals(self)) return leave(socket, CLOSE.DUPLICATE, 'E_PEER_DUPLICATE');
      // Nobody is let in while the queue is full: then "up" is bounded like envelopes, and each "up" has room for its "down".
      if (live.size >= peersMax || queue.length >= RECEIVE_ITEMS_MAX) return leave(socket, CLOSE.TRY_LATER, 'E_LIMIT');
      entry = { peer, socket, isAlive: true };
      live.set(key, entry);
      socket.send(hello(self));
      queue.force({ type: 'up', peer });
    });
    socket.on('close', (code, reason) => {
      clearTimeout(timer);
      if (entry === undefined) return;
      paused.delete(entry);
      live.delete(entry.peer.toString());
      queue.force({ type: 'down', peer: entry.peer, reason: reason.toString() || `closed with code ${code}` });
    });
  });

  const pings = pingMs === 0 ? undefined : setInterval(() => {
    for (const entry of live.values()) {
      if (paused.has(entry)) continue; // we read none of its pongs
      if (!entry.isAlive) entry.socket.terminate();
      else {
        entry.isAlive = false;
        entry.socket.ping();
      }
    }
  }, pingMs);
  pings?.unref();

  const address = sockets.address();

  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    closed,
    send(to, envelope) {
      if (queue.isEnded) throw closedTransport();
      const bytes = checkSend(to, envelope, messageBytesMax);
      const entry = live.get(to.toString());
      if (entry === undefined || entry.socket.readyState !== entry.socket.OPEN) throw unknownPeer(to);
      const { bufferedAmount } = entry.socket;
      if (bufferedAmount > 0 && bufferedAmount + bytes.length > sendBytesMax) throw fullTransport(to, sendBytesMax);
      entry.socket.send(new Uint8Array(bytes)); // a copy: `ws` keeps what it cannot write at once
    },
    receive: (options) => queue.read(options),
    drop(peer, reason = 'dropped') {
      const text = closeReason(reason);
      const entry = live.get(peer.toString());
      if (entry !== undefined) leave(entry.socket, CLOSE.NORMAL, text);
    },
    close() {
      if (queue.isEnded) return;
      clearInterval(pings);
      for (const socket of sockets.clients) leave(socket, CLOSE.NORMAL, 'closed');
      sockets.close();
      owned?.close();
      owned?.closeAllConnections(); // those still at their HTTP request; the others answer the close first
      queue.end();
    },
    peers: () => (queue.isEnded ? [] : [...live.values()].map((entry) => entry.peer)),
    backlog: (to) => live.get(to.toString())?.socket.bufferedAmount ?? 0,
  };
}

/**
 * @param {{port: number, host: string, timeoutMs: number}} options
 * @returns {Promise<import('node:http').Server>} an HTTP server that serves only upgrades
 */
async function listen({ port, host, timeoutMs }) {
  try {
    const server = createServer({ headersTimeout: timeoutMs, requestTimeout: timeoutMs, connectionsCheckingInterval: timeoutMs },
      (_request, response) => response.writeHead(426, { connection: 'close' }).end());
    await new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port, host }, () => resolve(server.off('error', reject)));
    });
    return server;
  } catch (cause) {
    // Node's own names, ERR_..., are for arguments; those of the system, such as EADDRINUSE, for what it did not grant.
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (cause);
    throw new BbwError(code?.startsWith('ERR_') ? 'E_ARG' : 'E_STATE', `cannot listen on ${host}, port ${port}: ${message}`, { host, port, cause });
  }
}
