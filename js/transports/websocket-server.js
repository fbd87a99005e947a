// websocket-server: the side that many clients connect to.  For Node, on top of `ws`.
//
// The hello of a client is answered only when the client is accepted: its id is no other live connection's and not ours.
// A connection that answers no ping is closed, so that a client that lost its network can come back under its id.

import { WebSocketServer } from 'ws';
import { asBytes } from '../internal/bytes.js';
import { createQueue } from '../internal/queue.js';
import { PeerId } from '../peer-id.js';
import {
  CLOSE, closedTransport, fullTransport, hello, readHello, RECEIVE_BYTES_MAX, RECEIVE_ITEMS_MAX, SEND_BYTES_MAX, sizeOfReceived, unknownPeer,
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
 * @property {number} [messageBytesMax]  default 16 MiB, the default cap of an envelope
 * @property {number} [sendBytesMax]  per peer
 * @property {number} [helloTimeoutMs]  default 5,000
 * @property {number} [pingMs]  default 15,000; 0 switches pings off
 */

/**
 * @param {WebSocketServerOptions} options
 * @returns {Promise<Transport & {port: number, drop: (peer: PeerId, reason?: string) => void, closed: Promise<void>}>}
 */
export async function createWebSocketServer({
  self: selfLike, server, path, port = 0, host = '127.0.0.1', peersMax = 1024, messageBytesMax = 16 * 1024 * 1024,
  sendBytesMax = SEND_BYTES_MAX, helloTimeoutMs = 5000, pingMs = 15_000,
}) {
  const self = PeerId.from(selfLike);
  const queue = /** @type {typeof createQueue<Received>} */ (createQueue)({ itemsMax: RECEIVE_ITEMS_MAX, bytesMax: RECEIVE_BYTES_MAX, sizeOf: sizeOfReceived });
  /** @type {Map<string, {peer: PeerId, socket: import('ws').WebSocket, isAlive: boolean}>} */
  const live = new Map();
  /** Sockets that stopped reading because nobody took what they had brought. @type {Set<import('ws').WebSocket>} */
  const paused = new Set();
  queue.onDrain(() => {
    if (paused.size === 0 || queue.length > RECEIVE_ITEMS_MAX / 2 || queue.bytes > RECEIVE_BYTES_MAX / 2) return;
    for (const socket of paused) socket.resume();
    paused.clear();
  });

  const sockets = server === undefined
    ? new WebSocketServer({ port, host, path, maxPayload: messageBytesMax, perMessageDeflate: false })
    : new WebSocketServer({ server, path, maxPayload: messageBytesMax, perMessageDeflate: false });
  /** @type {Promise<void>} */
  const closed = new Promise((resolve) => sockets.once('close', resolve));

  sockets.on('connection', (socket) => {
    socket.binaryType = 'nodebuffer';
    /** @type {{peer: PeerId, socket: import('ws').WebSocket, isAlive: boolean} | undefined} */
    let entry;
    const timer = setTimeout(() => socket.close(CLOSE.PROTOCOL, 'E_PROTOCOL'), helloTimeoutMs);
    socket.on('error', () => {}); // a close event follows
    socket.on('pong', () => { if (entry) entry.isAlive = true; });
    socket.on('message', (data, isBinary) => {
      if (!isBinary) return socket.close(CLOSE.PROTOCOL, 'E_PROTOCOL');
      const message = asBytes(/** @type {Buffer} */ (data));
      if (entry !== undefined) {
        entry.isAlive = true;
        queue.force({ type: 'envelope', peer: entry.peer, envelope: new Uint8Array(message) });
        if (queue.length >= RECEIVE_ITEMS_MAX || queue.bytes >= RECEIVE_BYTES_MAX) {
          // TCP holds the rest back: the sender's bufferedAmount grows and its send throws E_LIMIT.
          socket.pause();
          paused.add(socket);
        }
        return;
      }
      clearTimeout(timer);
      let peer;
      try {
        peer = readHello(message);
      } catch {
        return socket.close(CLOSE.PROTOCOL, 'E_PROTOCOL');
      }
      const key = peer.toString();
      if (live.has(key) || peer.equals(self)) return socket.close(CLOSE.DUPLICATE, 'E_PEER_DUPLICATE');
      if (live.size >= peersMax) return socket.close(CLOSE.TRY_LATER, 'E_LIMIT');
      entry = { peer, socket, isAlive: true };
      live.set(key, entry);
      socket.send(hello(self));
      queue.force({ type: 'up', peer });
    });
    socket.on('close', (code, reason) => {
      clearTimeout(timer);
      paused.delete(socket);
      if (entry === undefined) return;
      live.delete(entry.peer.toString());
      queue.force({ type: 'down', peer: entry.peer, reason: reason.toString() || `closed with code ${code}` });
    });
  });

  const pings = pingMs === 0 ? undefined : setInterval(() => {
    for (const entry of live.values()) {
      if (!entry.isAlive) entry.socket.terminate();
      else {
        entry.isAlive = false;
        entry.socket.ping();
      }
    }
  }, pingMs);
  pings?.unref();

  if (server === undefined) {
    await new Promise((resolve, reject) => {
      sockets.once('listening', () => resolve(undefined));
      sockets.once('error', reject);
    });
  }
  const address = sockets.address();

  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    closed,
    send(to, envelope) {
      if (queue.isEnded) throw closedTransport();
      const entry = live.get(to.toString());
      if (entry === undefined || entry.socket.readyState !== entry.socket.OPEN) throw unknownPeer(to);
      const { bufferedAmount } = entry.socket;
      if (bufferedAmount > 0 && bufferedAmount + envelope.length > sendBytesMax) throw fullTransport(to, sendBytesMax);
      entry.socket.send(new Uint8Array(envelope)); // a copy: `ws` keeps what it cannot write at once
    },
    receive: (options) => queue.read(options),
    drop(peer, reason = 'dropped') { live.get(peer.toString())?.socket.close(CLOSE.NORMAL, reason); },
    close() {
      if (queue.isEnded) return;
      clearInterval(pings);
      for (const { socket } of live.values()) socket.close(CLOSE.NORMAL, 'closed');
      const open = [...sockets.clients];
      setTimeout(() => open.forEach((socket) => socket.terminate()), 500).unref(); // those that do not answer the close
      sockets.close();
      queue.end();
    },
    peers: () => [...live.values()].map((entry) => entry.peer),
  };
}

