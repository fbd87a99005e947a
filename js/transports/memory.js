// memory: peers in one process, for tests and simulations.
//
// Order is kept per pair of peers; nothing is lost and nothing is delivered inside `send`.

import { BbwError } from '../errors.js';
import { createQueue } from '../internal/queue.js';
import { PeerId } from '../peer-id.js';
import {
  bytesMaxOf, checkSend, closedTransport, fullTransport, MESSAGE_BYTES_MAX, RECEIVE_BYTES_MAX, RECEIVE_ITEMS_MAX, sizeOfReceived, unknownPeer,
} from './transport.js';

/**
 * @typedef {import('./transport.js').Transport} Transport
 * @typedef {import('./transport.js').Received} Received
 */

/**
 * A meeting place: everybody who connects reaches everybody else.
 * @param {{itemsMax?: number, bytesMax?: number, messageBytesMax?: number}} [options]  what waits for one reader; the largest envelope, 16 MiB by default
 * @throws {BbwError} E_ARG
 */
export function createMemoryHub({ itemsMax = RECEIVE_ITEMS_MAX, bytesMax = RECEIVE_BYTES_MAX, messageBytesMax = MESSAGE_BYTES_MAX } = {}) {
  const cap = Math.min(bytesMaxOf(messageBytesMax, 'messageBytesMax'), bytesMax); // what never fits is too large, not to be tried again
  /** @type {Map<string, {peer: PeerId, queue: ReturnType<typeof createQueue<Received>>}>} */
  const members = new Map();

  return {
    /**
     * @param {PeerId | string} self
     * @returns {Transport}
     * @throws {BbwError} E_PEER_DUPLICATE
     */
    connect(self) {
      const peer = PeerId.from(self);
      const key = peer.toString();
      if (members.has(key)) throw new BbwError('E_PEER_DUPLICATE', `peer ${peer} is connected already`, { peer });
      const queue = /** @type {typeof createQueue<Received>} */ (createQueue)({ itemsMax, bytesMax, sizeOf: sizeOfReceived });
      for (const other of members.values()) {
        other.queue.force({ type: 'up', peer });
        queue.force({ type: 'up', peer: other.peer });
      }
      members.set(key, { peer, queue });

      return {
        send(to, envelope) {
          if (queue.isEnded) throw closedTransport();
          const bytes = checkSend(to, envelope, cap);
          const other = members.get(to.toString());
          if (other === undefined || other.queue === queue) throw unknownPeer(to);
          if (!other.queue.push({ type: 'envelope', peer, envelope: new Uint8Array(bytes) })) throw fullTransport(to, bytesMax);
        },
        receive: (options) => queue.read(options),
        close() {
          if (queue.isEnded) return;
          members.delete(key);
          queue.clear();
          queue.end();
          for (const other of members.values()) other.queue.force({ type: 'down', peer, reason: 'closed' });
        },
        backlog: (to) => (to.equals(peer) ? 0 : members.get(to.toString())?.queue.bytes ?? 0), // what the reader has not taken yet
        peers: () => (queue.isEnded ? [] : [...members.values()].filter((m) => m.queue !== queue).map((m) => m.peer)),
      };
    },
  };
}
