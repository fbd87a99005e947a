// indexeddb: sets in the browser's database, larger than memory.
//
// Samples are stored in chunks; a few chunks are held at a time. A loader mixes such a set chunk by chunk. An append is one transaction: either all of its
// samples are there, and counted, or none. Works in pages and in workers.

import { BbwError } from '../errors.js';
import { wrongType } from '../internal/bytes.js';
import { checkAlike, checkBatch, checkPlaces, createSink, gather, slice } from './batch.js';

/** @typedef {import('./batch.js').Batch} Batch @typedef {import('./batch.js').DataSet} DataSet @typedef {import('./batch.js').DataStream} DataStream */

const VERSION = 1, META = 'meta', CHUNKS = 'chunks', ABOUT = 'about';

/** @typedef {{version: number, chunk: number, count: number, like: Batch | undefined}} About  `like` has no samples; it says of what kind they are */

/** @param {string} doing @param {any} cause */
function failure(doing, cause) {
  const name = String(cause?.name);
  const [code, why] = name === 'QuotaExceededError' ? ['E_LIMIT', 'the browser gives no more room'] : name === 'VersionError' ? ['E_DECODE', 'the database belongs to another program or version'] : ['E_STATE', cause?.message ?? 'the database gave up'];
  return new BbwError(code, `${doing}: ${why}`, { doing, reason: name, ...(cause instanceof Error && { cause }) });
}

/** @template T @param {IDBRequest<T>} request @param {string} doing @returns {Promise<T>} */
const answer = (request, doing) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(failure(doing, request.error));
});

/** @param {IDBTransaction} transaction @param {string} doing @returns {Promise<void>} */
const committed = (transaction, doing) => new Promise((resolve, reject) => {
  transaction.oncomplete = () => resolve();
  transaction.onabort = () => reject(failure(doing, transaction.error));
});

function factory() {
  if (typeof indexedDB === 'undefined') throw new BbwError('E_UNSUPPORTED', 'there is no IndexedDB here', { feature: 'indexedDB' });
  return indexedDB;
}

/** @param {string} name @returns {Promise<IDBDatabase>} */
function openDatabase(name) {
  return new Promise((resolve, reject) => {
    const request = factory().open(name, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(META);
      request.result.createObjectStore(CHUNKS);
    };
    let isGivenUp = false;
    request.onblocked = () => {
      isGivenUp = true;
      reject(failure('open', { name: 'blocked', message: 'another page holds the database open' }));
    };
    request.onsuccess = () => (isGivenUp ? request.result.close() : resolve(request.result));
    request.onerror = () => reject(failure('open', request.error));
  });
}

/** What came out of the database is input. @param {unknown} value @returns {About | undefined} */
function readAbout(value) {
  if (value === undefined) return undefined;
  const about = /** @type {About} */ (value);
  const isWhole = about?.version === VERSION && Number.isSafeInteger(about.chunk) && about.chunk > 0 && Number.isSafeInteger(about.count) && about.count >= 0 && about.count <= 2 ** 32
    && (about.count === 0 || about.like !== undefined);
  if (!isWhole) throw new BbwError('E_DECODE', 'the database holds no set of this version', { version: about?.version, expected: VERSION });
  return about;
}

/** Its memory only, so that the database does not store what lies around it. @param {Batch} batch @returns {Batch} */
const compact = (batch) => gather(batch.count, batch, (row) => ({ batch, row }));

/**
 * Opens a set, and makes it when there is none of that name.
 * @param {string} name  of the database
 * @param {{chunk?: number, chunksHeld?: number}} [options]  `chunk`: samples that are stored together, set when the set is made (default 1,024); `chunksHeld`:
 *   chunks that are kept in memory (default 4)
 * @throws {BbwError} E_UNSUPPORTED, E_ARG, E_STATE, E_DECODE
 */
export async function openStoredSet(name, { chunk = 1024, chunksHeld = 4 } = {}) {
  if (typeof name !== 'string' || name === '') throw wrongType('name', 'text', name);
  for (const [field, value] of Object.entries({ chunk, chunksHeld })) {
    if (!Number.isSafeInteger(value) || value < 1 || value > 2 ** 24) throw new BbwError('E_ARG', `${field} must be a whole number from 1 to 2^24`, { field, value });
  }
  /** @type {IDBDatabase | undefined} */
  let database = await openDatabase(name);
  const alive = () => {
    if (database === undefined) throw new BbwError('E_STATE', 'the set is closed');
    return database;
  };
  const close = () => {
    database?.close();
    database = undefined;
    held.clear();
  };
  database.onversionchange = close; // somebody deletes it: do not stand in the way
  /** Chunks in memory, the one that was used last at the end. @type {Map<number, Promise<Batch>>} */
  const held = new Map();
  /** @type {About} */
  let about;
  try {
    if (![META, CHUNKS].every((store) => database?.objectStoreNames.contains(store))) throw failure('open', { name: 'VersionError' });
    about = readAbout(await answer(database.transaction(META).objectStore(META).get(ABOUT), 'open')) ?? { version: VERSION, chunk, count: 0, like: undefined };
  } catch (error) {
    close();
    throw error;
  }
  let reads = 0, isWriting = false;

  /** @param {number} number @returns {Promise<Batch>} */
  async function load(number) {
    reads++;
    const value = await answer(alive().transaction(CHUNKS).objectStore(CHUNKS).get(number), 'read');
    const batch = checkBatch(value, { chunk: number });
    checkAlike(batch, /** @type {Batch} */ (about.like), { chunk: number });
    if (batch.count !== Math.min(about.chunk, about.count - number * about.chunk)) throw new BbwError('E_DECODE', `chunk ${number} has ${batch.count} samples`, { chunk: number, got: batch.count });
    return batch;
  }
  /** @param {number} number @returns {Promise<Batch>} */
  function chunkAt(number) {
    const known = held.get(number);
    if (known !== undefined) {
      held.delete(number);
      held.set(number, known);
      return known;
    }
    const loading = load(number);
    held.set(number, loading);
    loading.catch(() => held.delete(number)); // the next one tries again
    while (held.size > chunksHeld) held.delete(/** @type {number} */ (held.keys().next().value));
    return loading;
  }

  const set = {
    get length() { return about.count; },
    get chunk() { return about.chunk; },
    chunksHeld,
    /** Chunks that were read from the database so far. */
    get chunksRead() { return reads; },
    /**
     * @param {Uint32Array} places @param {{signal?: AbortSignal}} [options]
     * @returns {Promise<Batch>}
     */
    async read(places, { signal } = {}) {
      alive();
      checkPlaces(places, about.count);
      if (about.like === undefined) throw new BbwError('E_EMPTY', 'the set has no samples', {});
      // Chunk after chunk, so that no more are in memory than are held.
      /** @type {Map<number, number[]>} */
      const parts = new Map();
      places.forEach((place, i) => {
        const number = Math.floor(place / about.chunk), rows = parts.get(number);
        if (rows === undefined) parts.set(number, [i]);
        else rows.push(i);
      });
      const sink = createSink(places.length, about.like);
      for (const [number, rows] of parts) {
        signal?.throwIfAborted();
        const batch = await chunkAt(number);
        for (const i of rows) sink.put(i, batch, places[i] % about.chunk);
      }
      return sink.batch;
    },
    /**
     * Adds samples at the end.
     * @param {Batch} given
     * @throws {BbwError} E_SHAPE for samples of another kind, E_LIMIT when there is no room: nothing was added then
     */
    async append(given) {
      alive();
      const batch = checkBatch(given);
      if (about.like !== undefined) checkAlike(batch, about.like, { sample: about.count });
      if (batch.count === 0) return;
      if (about.count + batch.count > 2 ** 32) throw new BbwError('E_LIMIT', 'a set holds at most 2^32 samples', { cap: 2 ** 32 });
      if (isWriting) throw new BbwError('E_STATE', 'an append is on its way; await it first');
      isWriting = true;
      try {
        const next = { ...about, count: about.count + batch.count, like: about.like ?? compact(slice(batch, 0, 0)) };
        /** @type {Map<number, Batch>} */
        const pieces = new Map();
        let at = 0;
        for (let number = Math.floor(about.count / about.chunk); at < batch.count; number++) {
          const begun = about.count + at - number * about.chunk, take = Math.min(about.chunk - begun, batch.count - at);
          const old = begun > 0 ? await chunkAt(number) : undefined, from = at;
          pieces.set(number, gather(begun + take, batch, (i) => (i < begun ? { batch: /** @type {Batch} */ (old), row: i } : { batch, row: from + i - begun })));
          at += take;
        }
        const transaction = alive().transaction([META, CHUNKS], 'readwrite');
        const done = committed(transaction, 'append');
        try {
          for (const [number, piece] of pieces) transaction.objectStore(CHUNKS).put(piece, number);
          transaction.objectStore(META).put(next, ABOUT);
        } catch (cause) {
          transaction.abort();
          await done.catch(() => {});
          throw failure('append', cause);
        }
        await done;
        about = next;
        for (const number of pieces.keys()) held.delete(number);
      } finally {
        isWriting = false;
      }
    },
    /** Adds a whole stream. @param {DataStream} stream @param {{signal?: AbortSignal}} [options]  aborted, the batches so far are there */
    async appendAll(stream, { signal } = {}) {
      for await (const batch of stream.open({ signal })) await set.append(batch);
    },
    /** Twice is fine. */
    close,
    /** For `using`. */
    [/** @type {typeof Symbol.dispose} */ (Symbol.dispose ?? Symbol.for('Symbol.dispose'))]() { close(); },
  };
  return set;
}

/** @typedef {Awaited<ReturnType<typeof openStoredSet>>} StoredSet */

/** Deletes a set and all its samples; there need not be one. @param {string} name @returns {Promise<void>} */
export function deleteStoredSet(name) {
  return new Promise((resolve, reject) => {
    const request = factory().deleteDatabase(name);
    request.onsuccess = () => resolve();
    request.onblocked = () => reject(failure('delete', { name: 'blocked', message: 'another page holds the database open' }));
    request.onerror = () => reject(failure('delete', request.error));
  });
}
