// transport: what every way to reach peers has in common.
//
// A transport only moves whole envelopes between peers whose ids it has checked; it knows nothing of nodes.  The first message
// on a connection is the hello: the four letters bbw1 and the multihash bytes of the sender's PeerId.

import { BbwError } from '../errors.js';
import { asBytes, concatBytes } from '../internal/bytes.js';
import { PeerId } from '../peer-id.js';

/**
 * What a transport reports, in order.
 * @typedef {{type: 'up', peer: PeerId} | {type: 'down', peer: PeerId, reason: string}
 *   | {type: 'envelope', peer: PeerId, envelope: Uint8Array}} Received
 */

/**
 * A way to reach peers. The node never opens a connection itself. conformance.js checks an implementation.
 *
 * Envelopes of a peer keep their order, and none is lost or doubled between its `up` and its `down`, which alternate. What was on its way when the
 * connection ended may be lost, from some envelope on; both sides get `down` then.
 * @typedef {object} Transport
 * @property {(peer: PeerId, envelope: Uint8Array) => void} send  Keeps no reference to `envelope`. Throws E_STATE after close, E_ARG for what is
 *   no peer or no bytes, E_OVERSIZE_PAYLOAD above the largest envelope, E_AB_UNKNOWN_PEER when that peer is not connected, E_LIMIT when too much
 *   waits to be sent; whatever it throws, nothing was sent and the connection stays.
 * @property {(options?: {signal?: AbortSignal}) => AsyncIterableIterator<Received>} receive  One reader at a time. Throws what ended
 *   the transport, if that was an error.
 * @property {() => void} close  Ends `receive`; closing twice is fine.
 * @property {() => PeerId[]} peers  who is connected now; nobody after close
 * @property {(peer: PeerId) => number} [backlog]  bytes that wait to be sent to a connected peer, 0 for another. With it `drive` lets the node keep
 *   what a slow peer does not take, before `send` has to refuse it
 */

const MAGIC = Uint8Array.of(0x62, 0x62, 0x77, 0x31); // "bbw1"

/** Close codes of our WebSockets. 4000 and above are for applications. */
export const CLOSE = Object.freeze({ NORMAL: 1000, TRY_LATER: 1013, DUPLICATE: 4001, MISMATCH: 4002, PROTOCOL: 4003, OVERLOAD: 4004 });

/** Envelopes that wait for the reader, per transport. Beyond it a sender is stopped, not the memory grown. */
export const RECEIVE_ITEMS_MAX = 1024;
export const RECEIVE_BYTES_MAX = 64 * 1024 * 1024;
/** Bytes that may wait in a socket. A model of a few million parameters fits; a peer that does not read does not fill the memory. */
export const SEND_BYTES_MAX = 32 * 1024 * 1024;

/** The largest envelope by default: what a node takes by default. */
export const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

/** @param {Received} item */
export const sizeOfReceived = (item) => (item.type === 'envelope' ? item.envelope.length : 0);

/** @param {PeerId} self */
export const hello = (self) => concatBytes([MAGIC, self.toBytes()]);

/**
 * @param {Uint8Array} message  the first message of the other side
 * @returns {PeerId}
 * @throws {BbwError} E_PROTOCOL
 */
export function readHello(message) {
  if (message.length < MAGIC.length || MAGIC.some((byte, i) => message[i] !== byte)) {
    throw new BbwError('E_PROTOCOL', 'the first message is not a hello');
  }
  try {
    return PeerId.fromBytes(message.subarray(MAGIC.length));
  } catch (cause) {
    throw new BbwError('E_PROTOCOL', 'the hello holds no peer id', { cause });
  }
}

/**
 * What fits into a close frame: 123 bytes of UTF-8, cut between characters.
 * @param {string} reason
 * @throws {BbwError} E_ARG
 */
export function closeReason(reason) {
  if (typeof reason !== 'string') throw new BbwError('E_ARG', 'the reason of a close is text', { reason });
  return reason.slice(0, new TextEncoder().encodeInto(reason, new Uint8Array(123)).read);
}

/** An option that counts bytes. @param {unknown} value @param {string} argument @returns {number} */
export function bytesMaxOf(value, argument) {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
  throw new BbwError('E_ARG', `${argument} must be a whole number of at least 1`, { argument, value });
}

/**
 * What `send` refuses before it looks at the connection: a transport would break the connection over an envelope that is too large for the other side.
 * @param {unknown} to @param {unknown} envelope @param {number} cap  bytes
 * @returns {Uint8Array} a view
 * @throws {BbwError} E_ARG, E_OVERSIZE_PAYLOAD
 */
export function checkSend(to, envelope, cap) {
  if (!(to instanceof PeerId)) throw new BbwError('E_ARG', 'the receiver must be a PeerId', { argument: 'peer', value: to });
  const bytes = asBytes(/** @type {Uint8Array} */ (envelope));
  if (bytes.length > cap) throw new BbwError('E_OVERSIZE_PAYLOAD', `an envelope of ${bytes.length} bytes is larger than ${cap}`, { byteCount: bytes.length, cap, peer: to });
  return bytes;
}

/** @param {PeerId} peer */
export const unknownPeer = (peer) => new BbwError('E_AB_UNKNOWN_PEER', `peer ${peer} is not connected`, { peer });
export const closedTransport = () => new BbwError('E_STATE', 'the transport is closed');
/** @param {PeerId} peer @param {number} cap */
export const fullTransport = (peer, cap) => new BbwError('E_LIMIT', `too much waits to be sent to ${peer}`, { peer, cap });
