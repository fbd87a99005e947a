// bytes: reading and writing of little-endian fixed-width data (bincode 1), and strict UTF-8.
//
// A reader never looks past its end: every failure is a BbwError E_DECODE with the offset, and lengths are compared with
// what is left before anything is allocated.  Not part of the public API.

import { BbwError } from '../errors.js';

const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const utf8Encoder = new TextEncoder();

/** @param {Uint8Array} bytes @returns {string | undefined} undefined when the bytes are not UTF-8 */
export function decodeUtf8(bytes) {
  try {
    return utf8Decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** @param {string} text @param {string} [field]  what it is, for the error @returns {Uint8Array} */
export function encodeUtf8(text, field = 'text') {
  if (typeof text !== 'string') throw wrongType(field, 'text', text);
  if (!text.isWellFormed) return checkSurrogates(text); // engines before 2024
  if (!text.isWellFormed()) throw new BbwError('E_UTF8', 'text holds half a surrogate pair', { text });
  return utf8Encoder.encode(text);
}

/** @param {string} text */
function checkSurrogates(text) {
  const bytes = utf8Encoder.encode(text);
  if (utf8Decoder.decode(bytes) !== text) throw new BbwError('E_UTF8', 'text holds half a surrogate pair', { text });
  return bytes;
}

/** The text with U+FFFD for every half of a surrogate pair. @param {string} text */
export const wellFormed = (text) => new TextDecoder().decode(utf8Encoder.encode(text));

/** @param {string} field @param {string} expected @param {unknown} value */
export const wrongType = (field, expected, value) => new BbwError('E_ARG', `${field} must be ${expected}`, { field, expected, got: value === null ? 'null' : typeof value });

/** An integer that fits 64 bits without a sign; nothing is wrapped. @param {unknown} value @param {string} [field] @returns {bigint} */
export function u64Of(value, field = 'value') {
  const number = typeof value === 'number' && Number.isInteger(value) ? BigInt(value) : value;
  if (typeof number === 'bigint' && number >= 0n && number < 1n << 64n) return number;
  throw new BbwError('E_ARG', `${field} must be an integer from 0 to 2^64 - 1`, { field, value });
}

/** An array. @template T @param {readonly T[]} value @param {string} field @returns {readonly T[]} */
export function listOf(value, field) {
  if (!Array.isArray(value)) throw wrongType(field, 'an array', value);
  return value;
}

/** The entries of an object that is used as a table. @template T @param {Record<string, T>} value @param {string} field @returns {[string, T][]} */
export function entriesOf(value, field) {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || ArrayBuffer.isView(value)) throw wrongType(field, 'an object', value);
  return Object.entries(value);
}

/** What one call into the engine may carry: its memory is counted in 32 bits. */
export const REQUEST_BYTES_MAX = 0x7fff_0000;

/** @param {number} byteCount */
export function checkRequestSize(byteCount) {
  if (byteCount > REQUEST_BYTES_MAX) throw new BbwError('E_OVERSIZE_PAYLOAD', `${byteCount} bytes are more than a call can carry`, { byteCount, cap: REQUEST_BYTES_MAX });
}

/** @param {Uint8Array} a @param {Uint8Array} b */
export function equalBytes(a, b) {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** @param {readonly Uint8Array[]} parts */
export function concatBytes(parts) {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/**
 * What may be given where bytes are wanted.
 * @typedef {Uint8Array | ArrayBuffer | ArrayBufferView} BytesLike
 */

/**
 * A view of the same memory, nothing is copied. Always a plain Uint8Array: Node's Buffer has a `slice` that shares memory.
 * @param {BytesLike} source @returns {Uint8Array}
 */
export function asBytes(source) {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) {
    if (/** @type {{detached?: boolean}} */ (source.buffer).detached) throw new BbwError('E_ARG', 'the buffer of the bytes is detached', { isDetached: true });
    return source.constructor === Uint8Array ? source : new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  }
  throw new BbwError('E_ARG', 'expected bytes: a Uint8Array, an ArrayBuffer or a view of one');
}

/** Other arrays of numbers would give other numbers. @param {Float32Array} data @param {string} [field] @returns {Float32Array} */
export function asFloats(data, field = 'data') {
  if (!(data instanceof Float32Array)) throw wrongType(field, 'a Float32Array', data);
  asBytes(data);
  return data;
}

/** Grows as it is written to. */
export class Writer {
  #bytes = new Uint8Array(64);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** @param {number} more @returns {number} where the new room starts */
  #reserve(more) {
    const at = this.#length;
    const need = at + more;
    if (need > this.#bytes.length) {
      checkRequestSize(need);
      const grown = bytesOfSize(Math.max(need, Math.min(this.#bytes.length * 2, REQUEST_BYTES_MAX)));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length = need;
    return at;
  }
  get length() { return this.#length; }
  /** @param {number} value */
  u8(value) { const at = this.#reserve(1); this.#view.setUint8(at, value); }
  /** @param {number} value */
  u32(value) {
    if (value >>> 0 !== value) throw new BbwError('E_ARG', 'expected an integer from 0 to 2^32 - 1', { value });
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, true);
  }
  /** @param {number | bigint} value @param {string} [field] */
  u64(value, field) { const number = u64Of(value, field), at = this.#reserve(8); this.#view.setBigUint64(at, number, true); }
  /** @param {number | bigint} value */
  i64(value) { const at = this.#reserve(8); this.#view.setBigInt64(at, BigInt(value), true); }
  /** @param {number} value */
  f32(value) {
    if (typeof value !== 'number') throw wrongType('value', 'a number', value);
    const at = this.#reserve(4);
    this.#view.setFloat32(at, value, true);
  }
  /** @param {number} value */
  f64(value) { const at = this.#reserve(8); this.#view.setFloat64(at, value, true); }
  /** @param {Uint8Array} bytes */
  raw(bytes) { const at = this.#reserve(bytes.length); this.#bytes.set(bytes, at); }
  /** @param {Float32Array} data  bit patterns are kept, NaN payloads too */
  floats(data) {
    const at = this.#reserve(data.length * 4);
    if (LITTLE_ENDIAN) this.#bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    else {
      const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
      for (let i = 0; i < words.length; i++) this.#view.setUint32(at + i * 4, words[i], true);
    }
  }
  /** u64 length, then the bytes. @param {Uint8Array} bytes */
  blob(bytes) { this.u64(bytes.length); this.raw(bytes); }
  /** u32 length, then the bytes: the form of packs. @param {Uint8Array} bytes */
  bytes32(bytes) { checkRequestSize(bytes.length); this.u32(bytes.length); this.raw(bytes); }
  /** @param {string} text @param {string} [field] */
  text32(text, field) { this.bytes32(encodeUtf8(text, field)); }
  /** A copy that nobody writes to any more. */
  finish() {
    const out = bytesOfSize(this.#length);
    out.set(this.#bytes.subarray(0, this.#length));
    return out;
  }
}

/** @param {number} size */
function bytesOfSize(size) {
  try {
    return new Uint8Array(size);
  } catch {
    throw new BbwError('E_NOMEM', 'out of memory', { bytes: size });
  }
}

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Reads from a view; never copies unless it says so. */
export class Reader {
  #bytes;
  #view;
  #at = 0;

  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  get left() { return this.#bytes.length - this.#at; }
  get offset() { return this.#at; }

  /** @param {string} summary @returns {never} */
  fail(summary) {
    throw new BbwError('E_DECODE', `payload does not decode: ${summary} at byte ${this.#at}`, { summary, offset: this.#at });
  }
  /** @param {number} count @returns {number} */
  #take(count) {
    if (count > this.left) this.fail('unexpected end of input');
    const at = this.#at;
    this.#at += count;
    return at;
  }
  u8() { return this.#view.getUint8(this.#take(1)); }
  u32() { return this.#view.getUint32(this.#take(4), true); }
  i32() { return this.#view.getInt32(this.#take(4), true); }
  u64() { return this.#view.getBigUint64(this.#take(8), true); }
  i64() { return this.#view.getBigInt64(this.#take(8), true); }
  f32() { return this.#view.getFloat32(this.#take(4), true); }
  f64() { return this.#view.getFloat64(this.#take(8), true); }
  /** A u64 count of things that take at least `unit` bytes each; checked against what is left. @param {number} unit */
  count(unit) {
    const value = this.u64();
    if (value * BigInt(unit) > BigInt(this.left)) this.fail('unexpected end of input');
    return Number(value);
  }
  /** A view of the next bytes. @param {number} length */
  view(length) { const at = this.#take(length); return this.#bytes.subarray(at, at + length); }
  /** u64 length, then a view. */
  blob() { return this.view(this.count(1)); }
  /** u32 length, then a view: the form of packs. */
  bytes32() { return this.view(this.u32()); }
  text32() { return this.utf8(this.bytes32()); }
  /** u64 length, then UTF-8. */
  text() { return this.utf8(this.blob()); }
  /** @param {Uint8Array} bytes */
  utf8(bytes) { return decodeUtf8(bytes) ?? this.fail('string is not valid UTF-8'); }
  /** @param {number} count @returns {Float32Array} a copy */
  floats(count) {
    const bytes = this.view(count * 4);
    const out = new Float32Array(count);
    if (LITTLE_ENDIAN) new Uint8Array(out.buffer).set(bytes);
    else {
      const words = new Uint32Array(out.buffer);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let i = 0; i < count; i++) words[i] = view.getUint32(i * 4, true);
    }
    return out;
  }
}

/**
 * Unsigned LEB128 as multiformats use it.  Writes the shortest form.
 * @param {bigint} value @returns {number[]}
 */
export function uvarint(value) {
  const out = [];
  while (value >= 0x80n) {
    out.push(Number(value & 0x7fn) | 0x80);
    value >>= 7n;
  }
  out.push(Number(value));
  return out;
}

/**
 * Reads one uvarint.  Source: wire specification, section 1: at most 10 bytes, the tenth contributes its lowest bit only,
 * a last byte of zero is not minimal.
 * @param {Uint8Array} bytes @param {number} at
 * @returns {{value: bigint, next: number, problem?: undefined} | {problem: 'VarintInsufficient' | 'VarintOverflow' | 'VarintNotMinimal'}}
 */
export function readUvarint(bytes, at) {
  let value = 0n;
  for (let i = 0; i < 10; i++) {
    if (at + i >= bytes.length) return { problem: 'VarintInsufficient' };
    const byte = bytes[at + i];
    value |= (BigInt(byte & 0x7f) << BigInt(7 * i)) & 0xffff_ffff_ffff_ffffn;
    if ((byte & 0x80) === 0) {
      if (byte === 0 && i > 0) return { problem: 'VarintNotMinimal' };
      return { value, next: at + i + 1 };
    }
  }
  return { problem: 'VarintOverflow' };
}
