// protobuf: reading and writing of messages by a table of fields.
//
// Writing follows proto3 as the reference does: fields in table order, zero and empty scalars left out, a set sub-message
// written even when empty, repeated numbers packed.  Reading is bounded by its input, skips unknown fields and limits
// nesting.  Source: install specification, section 1.1.  Not part of the public API.

import { BbwError } from '../errors.js';
import { decodeUtf8, encodeUtf8 } from './bytes.js';

/**
 * One field: its number, its name in JavaScript, its type. A type is a scalar (int64, int32, uint64, float, double, string,
 * bytes) or the name of a message; with [] behind it, a list.
 * @typedef {readonly [number, string, string]} Field
 * @typedef {Readonly<Record<string, readonly Field[]>>} Schema
 * @typedef {Record<string, unknown>} Message
 */

const NESTING_MAX = 100;
const VARINT = new Set(['int64', 'int32', 'uint64']);

// ---- writing -------------------------------------------------------------------------------------------------------

/** @param {number[]} out @param {bigint} value */
function pushVarint(out, value) {
  let rest = BigInt.asUintN(64, value);
  while (rest >= 0x80n) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
}

/** @param {string} type @param {unknown} value @returns {Uint8Array | number[]} one scalar without its tag */
function scalar(type, value) {
  if (VARINT.has(type)) {
    /** @type {number[]} */
    const out = [];
    if (typeof value === 'number' && value >= 0 && value < 0x80) out.push(value);
    else pushVarint(out, BigInt(/** @type {number | bigint} */ (value)));
    return out;
  }
  if (type === 'string') return encodeUtf8(/** @type {string} */ (value));
  if (type === 'bytes') return /** @type {Uint8Array} */ (value);
  const out = new Uint8Array(type === 'float' ? 4 : 8);
  const view = new DataView(out.buffer);
  if (type === 'float') view.setFloat32(0, /** @type {number} */ (value), true);
  else view.setFloat64(0, /** @type {number} */ (value), true);
  return out;
}

/** @param {string} type */
const wireType = (type) => (VARINT.has(type) ? 0 : type === 'float' ? 5 : type === 'double' ? 1 : 2);

/** @param {string} type @param {unknown} value */
function isDefault(type, value) {
  if (type === 'string' || type === 'bytes') return /** @type {string | Uint8Array} */ (value).length === 0;
  return Object.is(value, 0) || value === 0n; // a float of minus zero is written
}

/**
 * @param {Schema} schema @param {string} name @param {Message} message @param {number} depth
 * @returns {Uint8Array}
 */
function writeMessage(schema, name, message, depth) {
  if (depth > NESTING_MAX) throw new BbwError('E_DEPTH', 'messages are nested too deeply', { cap: NESTING_MAX });
  /** @type {(Uint8Array | number[])[]} */
  const parts = [];
  /** @param {number} number @param {number} wire */
  const tag = (number, wire) => { const out = /** @type {number[]} */ ([]); pushVarint(out, BigInt(number * 8 + wire)); parts.push(out); };
  /** @param {Uint8Array | number[]} body */
  const delimited = (body) => { const out = /** @type {number[]} */ ([]); pushVarint(out, BigInt(body.length)); parts.push(out, body); };
  for (const [number, key, kind] of schema[name]) {
    const value = message[key];
    if (value === undefined || value === null) continue;
    const isList = kind.endsWith('[]');
    const type = isList ? kind.slice(0, -2) : kind;
    if (type in schema) {
      for (const item of isList ? /** @type {Message[]} */ (value) : [/** @type {Message} */ (value)]) {
        tag(number, 2);
        delimited(writeMessage(schema, type, item, depth + 1));
      }
    } else if (!isList) {
      if (isDefault(type, value)) continue;
      tag(number, wireType(type));
      const body = scalar(type, value);
      if (wireType(type) === 2) delimited(body);
      else parts.push(body);
    } else if (wireType(type) === 2) {
      for (const item of /** @type {unknown[]} */ (value)) {
        tag(number, 2);
        delimited(scalar(type, item));
      }
    } else {
      const list = /** @type {ArrayLike<unknown>} */ (value);
      if (list.length === 0) continue;
      tag(number, 2);
      delimited(join(Array.from(list, (item) => scalar(type, item))));
    }
  }
  return join(parts);
}

/** @param {(Uint8Array | number[])[]} parts */
function join(parts) {
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

/** @param {Schema} schema @param {string} name @param {object} message @returns {Uint8Array} */
export const encodeMessage = (schema, name, message) => writeMessage(schema, name, /** @type {Message} */ (message), 0);

// ---- reading -------------------------------------------------------------------------------------------------------

/** @param {number} offset @param {string} summary @returns {never} */
function fail(offset, summary) {
  throw new BbwError('E_PROTOBUF', `not the expected protobuf message: ${summary} at byte ${offset}`, { summary, offset });
}

/** @param {Uint8Array} bytes */
function cursor(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  /** @param {number} count */
  const take = (count) => {
    if (count > bytes.length - at) fail(at, 'truncated');
    at += count;
    return at - count;
  };
  const self = {
    get done() { return at === bytes.length; },
    get offset() { return at; },
    varint() {
      let value = 0n;
      for (let i = 0n; i < 10n; i++) {
        const byte = bytes[take(1)];
        value |= BigInt(byte & 0x7f) << (7n * i);
        if ((byte & 0x80) === 0) return BigInt.asUintN(64, value);
      }
      return fail(at, 'varint is longer than ten bytes');
    },
    delimited() {
      const length = self.varint();
      if (length > BigInt(bytes.length - at)) fail(at, 'truncated');
      const start = take(Number(length));
      return bytes.subarray(start, at);
    },
    float: () => view.getFloat32(take(4), true),
    double: () => view.getFloat64(take(8), true),
    skip: (/** @type {number} */ count) => take(count),
  };
  return self;
}

/** @param {bigint} value @returns {number | bigint} a number when it can hold the value */
const narrow = (value) => (value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value);

/** @param {ReturnType<typeof cursor>} input @param {string} type */
function readScalar(input, type) {
  switch (type) {
    case 'int64': return narrow(BigInt.asIntN(64, input.varint()));
    case 'uint64': return narrow(input.varint());
    case 'int32': return Number(BigInt.asIntN(32, input.varint()));
    case 'float': return input.float();
    case 'double': return input.double();
    case 'bytes': return input.delimited().slice();
    case 'string': {
      const offset = input.offset;
      return decodeUtf8(input.delimited()) ?? fail(offset, 'string is not UTF-8');
    }
  }
  throw new BbwError('E_COMP_INTERNAL', `no such scalar: ${type}`);
}

/**
 * @param {Schema} schema @param {string} name @param {Uint8Array} bytes @param {number} depth @param {Message} into
 * @returns {Message}
 */
function readMessage(schema, name, bytes, depth, into) {
  if (depth > NESTING_MAX) throw new BbwError('E_DEPTH', 'messages are nested too deeply', { cap: NESTING_MAX });
  const fields = schema[name];
  for (const [, key, kind] of fields) if (kind.endsWith('[]')) into[key] ??= [];
  const input = cursor(bytes);
  while (!input.done) {
    const offset = input.offset;
    const tag = input.varint();
    const number = Number(tag >> 3n), wire = Number(tag & 7n);
    if (number === 0 || number > 0x1fff_ffff) fail(offset, 'field number is out of range');
    const field = fields.find((f) => f[0] === number);
    if (field === undefined) {
      if (wire === 0) input.varint();
      else if (wire === 1) input.skip(8);
      else if (wire === 2) input.delimited();
      else if (wire === 5) input.skip(4);
      else fail(offset, 'wire type is not supported');
      continue;
    }
    const [, key, kind] = field;
    const isList = kind.endsWith('[]');
    const type = isList ? kind.slice(0, -2) : kind;
    const isMessage = type in schema;
    const expected = isMessage ? 2 : wireType(type);
    if (wire !== expected && !(isList && wire === 2)) fail(offset, `field ${name}.${key} has wire type ${wire}`);
    if (isMessage) {
      const body = input.delimited();
      if (isList) /** @type {unknown[]} */ (into[key]).push(readMessage(schema, type, body, depth + 1, {}));
      else into[key] = readMessage(schema, type, body, depth + 1, /** @type {Message} */ (into[key] ?? {}));
    } else if (!isList) into[key] = readScalar(input, type);
    else if (wire === 2 && expected !== 2) {
      const packed = cursor(input.delimited());
      while (!packed.done) /** @type {unknown[]} */ (into[key]).push(readScalar(packed, type));
    } else /** @type {unknown[]} */ (into[key]).push(readScalar(input, type));
  }
  return into;
}

/** @param {Schema} schema @param {string} name @param {Uint8Array} bytes @returns {Message} */
export const decodeMessage = (schema, name, bytes) => readMessage(schema, name, bytes, 0, {});
