// websocket: a client that reaches one peer, its server, and comes back when the connection breaks.
//
// Works wherever there is a WebSocket constructor: browsers, workers, Node 22; on Node 20 the package's Node entry passes the
// one of `ws`.  One binary message is one envelope.  Waits between attempts grow exponentially, with jitter, so that many
// clients do not come back at once.

import { BbwError } from '../errors.js';
import { asBytes } from '../internal/bytes.js';
import { createQueue } from '../internal/queue.js';
import { PeerId } from '../peer-id.js';
import {
  bytesMaxOf, checkSend, CLOSE, closedTransport, fullTransport, hello, MESSAGE_BYTES_MAX, readHello, RECEIVE_BYTES_MAX, RECEIVE_ITEMS_MAX, SEND_BYTES_MAX,
  sizeOfReceived, unknownPeer,
} from './transport.js';

/**
 * @typedef {import('./transport.js').Transport} Transport
 * @typedef {import('./transport.js').Received} Received
 */

/**
 * The part of a WebSocket that we use; those of browsers and of `ws` have it.
 * @typedef {object} SocketLike
 * @property {string} binaryType
 * @property {number} readyState
 * @property {number} bufferedAmount
 * @property {(data: Uint8Array<ArrayBuffer>) => void} send
 * @property {(code?: number, reason?: string) => void} close
 * @property {(type: string, listener: (event: any) => void) => void} addEventListener
 */

/**
 * @typedef {object} WebSocketOptions
 * @property {string | URL} url
 * @property {PeerId | string} self  who we are
 * @property {PeerId | string} [expect]  who the other side has to be; default: whoever answers
 * @property {new (url: string) => SocketLike} [WebSocket]
 * @property {boolean} [reconnect]  default true
 * @property {number} [backoffBaseMs]  default 250
 * @property {number} [backoffCapMs]  default 10,000
 * @property {number} [connectTimeoutMs]  until the hello must have arrived; default 10,000
 * @property {number} [sendBytesMax]
 * @property {number} [messageBytesMax]  the largest envelope that `send` takes; what the server takes, default 16 MiB
 * @property {() => number} [random]  in [0, 1); default Math.random
 */

const OPEN = 1;

/**
 * @param {WebSocketOptions} options
 * @returns {Transport & {ready: Promise<PeerId>, dropConnection: () => void}}  `ready` gives the server's id once; it rejects when the
 *   transport ends before. `dropConnection` breaks the connection as a network would; the transport comes back.
 */
export function createWebSocketTransport({
  url, self: selfLike, expect: expectLike, reconnect = true, backoffBaseMs = 250, backoffCapMs = 10_000, connectTimeoutMs = 10_000,
  sendBytesMax = SEND_BYTES_MAX, messageBytesMax = MESSAGE_BYTES_MAX, random = Math.random, WebSocket = /** @type {any} */ (globalThis).WebSocket,
}) {
  const self = PeerId.from(selfLike);
  bytesMaxOf(messageBytesMax, 'messageBytesMax');
  const expected = expectLike === undefined ? undefined : PeerId.from(expectLike);
  if (WebSocket === undefined) {
    throw new BbwError('E_UNSUPPORTED', 'no WebSocket here; pass the one of the package "ws" as option WebSocket');
  }
  const queue = /** @type {typeof createQueue<Received>} */ (createQueue)({ itemsMax: RECEIVE_ITEMS_MAX, bytesMax: RECEIVE_BYTES_MAX, sizeOf: sizeOfReceived });
  /** @type {PromiseWithResolvers<PeerId>} */
  const ready = withResolvers();
  ready.promise.catch(() => {}); // a caller who does not look at it reads the same error from receive()

  /** @type {SocketLike | undefined} */
  let socket;
  /** The other side, while connected. @type {PeerId | undefined} */
  let peer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let attempts = 0, wasConnected = false;

  /** @param {unknown} [error] */
  function end(error) {
    if (queue.isEnded) return;
    clearTimeout(timer);
    queue.end(error);
    ready.reject(error ?? closedTransport());
  }

  /** @param {string} reason */
  function down(reason) {
    clearTimeout(timer);
    socket = undefined;
    if (peer !== undefined) queue.force({ type: 'down', peer, reason });
    peer = undefined;
  }

  function newSocket() {
    try {
      return new WebSocket(String(url));
    } catch (cause) {
      throw new BbwError('E_ARG', `no WebSocket can be opened to ${url}`, { url, cause });
    }
  }

  function scheduleRetry() {
    if (queue.isEnded) return;
    // Half of the wait is fixed, half is drawn: spread without the chance of no wait at all.
    const wait = Math.min(backoffCapMs, backoffBaseMs * 2 ** Math.min(attempts++, 30));
    timer = setTimeout(connect, wait / 2 + (wait / 2) * random());
  }

  function connect() {
    const current = newSocket();
    socket = current;
    current.binaryType = 'arraybuffer';
    /** What we found out before the close event tells its code. @type {BbwError | undefined} */
    let failure;
    /** @param {number} code @param {BbwError} error */
    const refuse = (code, error) => {
      failure = error;
      clearTimeout(timer);
      current.close(code, error.code);
    };
    timer = setTimeout(() => refuse(CLOSE.PROTOCOL, new BbwError('E_PROTOCOL', 'no hello came in time')), connectTimeoutMs);
    current.addEventListener('open', () => current.send(hello(self)));
    current.addEventListener('message', ({ data }) => {
      if (socket !== current || failure !== undefined) return;
      if (typeof data === 'string') return refuse(CLOSE.PROTOCOL, new BbwError('E_PROTOCOL', 'the other side sent text'));
      const message = asBytes(data);
      if (peer !== undefined) {
        if (!queue.push({ type: 'envelope', peer, envelope: message })) refuse(CLOSE.OVERLOAD, new BbwError('E_LIMIT', 'envelopes come faster than they are read'));
        return;
      }
      try {
        const other = readHello(message);
        if (expected !== undefined && !other.equals(expected)) {
          return refuse(CLOSE.MISMATCH, new BbwError('E_PEER_MISMATCH', `expected peer ${expected} but found ${other}`, { expected, found: other }));
        }
        // No "up" into a full queue: each one needs room for its "down" as well.
        if (!queue.push({ type: 'up', peer: other })) return refuse(CLOSE.OVERLOAD, new BbwError('E_LIMIT', 'events come faster than they are read'));
        peer = other;
      } catch (error) {
        return refuse(CLOSE.PROTOCOL, /** @type {BbwError} */ (error));
      }
      clearTimeout(timer);
      // Not at once: a server that says hello and then floods us, or breaks, must not be tried at the shortest wait for ever.
      timer = setTimeout(() => { attempts = 0; }, backoffCapMs);
      wasConnected = true;
      ready.resolve(peer);
    });
    current.addEventListener('error', () => {}); // a close event follows and says more
    current.addEventListener('close', ({ code, reason }) => {
      if (socket !== current) return;
      const first = failure;
      down(first?.message ?? String(reason || `closed with code ${code}`));
      if (first?.code === 'E_PEER_MISMATCH' || (first?.code === 'E_PROTOCOL' && !wasConnected)) return end(first);
      // The server may still hold our own broken connection: only a first attempt proves that somebody else has our id.
      if (code === CLOSE.DUPLICATE && !wasConnected) return end(new BbwError('E_PEER_DUPLICATE', `peer ${self} is connected already`, { peer: self }));
      if (!reconnect) return end(wasConnected ? undefined : new BbwError('E_STATE', `no connection to ${url}: code ${code}`, { code }));
      scheduleRetry();
    });
  }
  connect();

  return {
    ready: ready.promise,
    send(to, envelope) {
      if (queue.isEnded) throw closedTransport();
      const bytes = checkSend(to, envelope, messageBytesMax);
      if (socket === undefined || peer === undefined || !to.equals(peer) || socket.readyState !== OPEN) throw unknownPeer(to);
      if (socket.bufferedAmount > 0 && socket.bufferedAmount + bytes.length > sendBytesMax) throw fullTransport(to, sendBytesMax);
      socket.send(new Uint8Array(bytes)); // a copy: implementations may keep the view until it is written
    },
    receive: (options) => queue.read(options),
    close() {
      const open = socket;
      down('closed');
      end();
      open?.close(CLOSE.NORMAL, 'closed');
    },
    dropConnection: () => socket?.close(CLOSE.NORMAL, 'dropped'),
    peers: () => (peer === undefined ? [] : [peer]),
    backlog: (to) => (peer !== undefined && to.equals(peer) ? socket?.bufferedAmount ?? 0 : 0),
  };
}

/** Promise.withResolvers, which Node 20 lacks. @template T @returns {PromiseWithResolvers<T>} */
function withResolvers() {
  /** @type {any} */
  const out = {};
  out.promise = new Promise((resolve, reject) => {
    out.resolve = resolve;
    out.reject = reject;
  });
  return out;
}
