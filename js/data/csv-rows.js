// csv-rows: cuts text into rows of fields, strictly (RFC 4180, with any of the three line ends).
//
// A quote stands only at the beginning of a field, and after the closing quote comes a delimiter or a line end; two quotes within quotes are one. What does
// not fit is an error that names the line. Empty lines are passed over.

import { BbwError, isBbwError } from '../errors.js';
import { wrongType } from '../internal/bytes.js';

/**
 * Where text comes from. Bytes are UTF-8; a byte order mark at the start is no part of the text.
 * @typedef {string | Uint8Array | Blob | ReadableStream<Uint8Array> | AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>} TextSource
 */
/** @typedef {{line: number, fields: string[]}} Row  `line` counts from 1, where the row begins */

/** @param {TextSource} source @returns {AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>} */
function piecesOf(source) {
  if (typeof source === 'string' || source instanceof Uint8Array) return [source];
  if (typeof Blob === 'function' && source instanceof Blob) return piecesOf(source.stream());
  const any = /** @type {any} */ (source);
  if (typeof any?.[Symbol.asyncIterator] === 'function' || typeof any?.[Symbol.iterator] === 'function') return any;
  if (typeof any?.getReader === 'function') return readerPieces(any);
  throw wrongType('source', 'text, bytes, a Blob or a stream of them', source);
}

/** For browsers whose streams are no iterables. @param {ReadableStream<Uint8Array>} stream */
async function* readerPieces(stream) {
  const reader = stream.getReader();
  let isOver = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      isOver = done;
      if (value === undefined) return;
      yield value;
    }
  } finally {
    if (!isOver) await reader.cancel();
    reader.releaseLock();
  }
}

/** @param {TextSource} source @param {AbortSignal | undefined} signal */
async function* textOf(source, signal) {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  /** @param {Uint8Array} [bytes] */
  const decode = (bytes) => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch (cause) {
      throw new BbwError('E_UTF8', 'the bytes are not UTF-8', { cause });
    }
  };
  let isFirst = true;
  for await (const piece of piecesOf(source)) {
    signal?.throwIfAborted();
    if (typeof piece === 'string') yield isFirst ? piece.replace(/^\ufeff/, '') : piece;
    else if (piece instanceof Uint8Array) yield decode(piece);
    else throw wrongType('source', 'made of text or bytes', piece);
    isFirst = false;
  }
  yield decode();
}

const START = 0, PLAIN = 1, QUOTED = 2, CLOSED = 3;

/**
 * @param {TextSource} source
 * @param {{delimiter?: string, fieldCharsMax?: number, fieldsMax?: number, signal?: AbortSignal}} [options]
 * @returns {AsyncGenerator<Row, void, undefined>}
 * @throws {BbwError} E_INVALID_VALUE, E_LIMIT, E_UTF8, each with the line
 */
export async function* csvRows(source, { delimiter = ',', fieldCharsMax = 2 ** 20, fieldsMax = 2 ** 16, signal } = {}) {
  if (typeof delimiter !== 'string' || !/^[^"\r\n]$/.test(delimiter)) throw new BbwError('E_ARG', 'delimiter must be one character, and no quote or line end', { field: 'delimiter', value: delimiter });
  let state = START, field = '', line = 1, begin = 1, wasReturn = false;
  /** @type {string[]} */
  let fields = [];
  /** @type {Row[]} */
  let rows = [];
  /** @param {string} code @param {string} text @param {Record<string, unknown>} [details] @returns {never} */
  const refuse = (code, text, details) => { throw new BbwError(code, `line ${line}: ${text}`, { line, column: fields.length + 1, ...details }); };
  const endField = () => {
    if (fields.length >= fieldsMax) refuse('E_LIMIT', `more than ${fieldsMax} fields`, { cap: fieldsMax });
    fields.push(field);
    field = '';
    state = START;
  };
  const endRow = () => {
    if (fields.length > 0 || field !== '' || state !== START) {
      endField();
      rows.push({ line: begin, fields });
      fields = [];
    }
    state = START;
  };
  const stop = new RegExp(`["\r\n${delimiter.replace(/[\\\]^-]/g, '\\$&')}]`, 'g');
  /** @param {string} text */
  function take(text) {
    for (let at = 0; at < text.length;) {
      // Up to what means something, at once.
      stop.lastIndex = at;
      const next = state === QUOTED ? text.indexOf('"', at) : stop.exec(text)?.index ?? -1;
      const end = next < 0 ? text.length : next;
      if (end > at) {
        if (state === CLOSED) refuse('E_INVALID_VALUE', 'a closing quote must end its field');
        if (state === START) state = PLAIN;
        const part = text.slice(at, end);
        if (field.length + part.length > fieldCharsMax) refuse('E_LIMIT', `a field of more than ${fieldCharsMax} characters`, { cap: fieldCharsMax });
        field += part;
        if (state === QUOTED) line += (part.match(/\r\n|\n|\r/g)?.length ?? 0) - (wasReturn && part[0] === '\n' ? 1 : 0);
        wasReturn = state === QUOTED && part.endsWith('\r');
      }
      if (next < 0) return;
      const c = text[next];
      at = next + 1;
      if (c === '"') {
        wasReturn = false;
        if (state === START) state = QUOTED;
        else if (state === QUOTED) state = CLOSED;
        else if (state === CLOSED) {
          field += '"';
          state = QUOTED;
        } else refuse('E_INVALID_VALUE', 'a quote in a field that does not begin with one');
      } else if (c === delimiter) {
        wasReturn = false;
        endField();
      } else {
        const isSecond = c === '\n' && wasReturn; // of \r\n
        wasReturn = c === '\r';
        if (isSecond) continue;
        endRow();
        begin = ++line;
      }
    }
  }
  try {
    for await (const text of textOf(source, signal)) {
      take(text);
      const ready = rows;
      rows = [];
      yield* ready;
    }
  } catch (error) {
    throw isBbwError(error, 'E_UTF8') ? new BbwError('E_UTF8', `line ${line} or later: ${error.message}`, { line, cause: error }) : error;
  }
  if (state === QUOTED) refuse('E_INVALID_VALUE', `the quote that opens in the row of line ${begin} is never closed`, { openedIn: begin });
  endRow();
  yield* rows;
}
