// queue: a bounded queue that is read as an async iterator.
//
// One writer side, one reader.  `push` answers false when the queue is full; `force` is for the few events that must not be
// lost and are bounded by other means.  Not part of the public API.

import { BbwError } from '../errors.js';

/**
 * @template T
 * @param {object} options
 * @param {number} options.itemsMax
 * @param {number} [options.bytesMax]
 * @param {(item: T) => number} [options.sizeOf]
 */
export function createQueue({ itemsMax, bytesMax = Infinity, sizeOf = () => 0 }) {
  /** @type {T[]} */
  let items = [];
  let head = 0, bytes = 0;
  let isEnded = false;
  /** @type {unknown} */
  let error;
  /** @type {(() => void) | undefined} */
  let wake;
  let isRead = false;
  /** @type {() => void} */
  let onDrain = () => {};

  const notify = () => {
    const call = wake;
    wake = undefined;
    call?.();
  };
  /** @param {T} item */
  const append = (item) => {
    items.push(item);
    bytes += sizeOf(item);
    notify();
  };
  const shift = () => {
    const item = items[head];
    items[head++] = /** @type {T} */ (undefined);
    bytes -= sizeOf(item);
    if (head > 1024 && head * 2 > items.length) {
      items = items.slice(head);
      head = 0;
    }
    return item;
  };

  const self = {
    get length() { return items.length - head; },
    get bytes() { return bytes; },
    get isEnded() { return isEnded; },
    /** Somebody reads: from `read` until its iterator ends, is returned or is aborted. */
    get isRead() { return isRead; },
    /** Called after an item has been taken or the reader has left; a writer that paused may go on. @param {() => void} callback */
    onDrain(callback) { onDrain = callback; },
    /** @param {T} item @returns {boolean} false: full or ended, the item was not taken */
    push(item) {
      if (isEnded || self.length >= itemsMax || bytes + sizeOf(item) > bytesMax) return false;
      append(item);
      return true;
    },
    /** @param {T} item */
    force(item) { if (!isEnded) append(item); },
    /** What is queued is still delivered, then the reader ends. @param {unknown} [reason]  the reader throws it at the end */
    end(reason) {
      if (isEnded) return;
      isEnded = true;
      error = reason;
      notify();
    },
    /** Drops what is queued. */
    clear() { items = []; head = 0; bytes = 0; },
    /**
     * @param {{signal?: AbortSignal}} [options]
     * @returns {AsyncIterableIterator<T>}
     */
    read({ signal } = {}) {
      signal?.throwIfAborted();
      if (isRead) throw new BbwError('E_STATE', 'there is a reader already');
      isRead = true;
      let isOver = false;
      /** The next reader may come, even while this one still waits for its last answer. */
      const release = () => {
        if (isOver) return;
        isOver = true;
        isRead = false;
        signal?.removeEventListener('abort', release);
        notify();
        onDrain();
      };
      signal?.addEventListener('abort', release, { once: true });
      const taken = (async function* () {
        try {
          for (;;) {
            signal?.throwIfAborted();
            if (isOver) return;
            if (self.length > 0) {
              const item = shift();
              onDrain();
              yield item;
            } else if (isEnded) {
              if (error !== undefined) throw error;
              return;
            } else await new Promise((resolve) => { wake = /** @type {() => void} */ (resolve); });
          }
        } finally {
          release();
        }
      })();
      // A generator that was never started runs no `finally`, and one that waits answers `return` only after the wait.
      const iterator = {
        next: () => taken.next(),
        return() {
          release();
          return taken.return(undefined);
        },
        [Symbol.asyncIterator]: () => iterator,
      };
      return iterator;
    },
  };
  return self;
}
