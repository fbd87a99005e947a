// peer-id: who a node is.
//
// A PeerId is a multihash: code, size, digest of at most 64 bytes.  Its text is base58btc of the bytes (12D3Koo..., Qm...).
// Any code is accepted and the digest length is not tied to it.  Values are immutable.  Source: wire specification, section 2.1.

import { BbwError } from './errors.js';
import { asBytes, concatBytes, equalBytes, readUvarint, uvarint } from './internal/bytes.js';

const DIGEST_BYTES_MAX = 64;
/** 75 bytes need at most 105 characters; longer text cannot be a peer id, so it is not even converted. */
const TEXT_LENGTH_MAX = 105;
const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const DIGIT_OF = new Map([...ALPHABET].map((c, i) => [c, i]));

/** @param {string} reason @param {number} offset */
const bad = (reason, offset) => new BbwError('E_PEER_ID', `not a peer id: ${reason} at byte ${offset}`, { reason, offset });

/** @param {Uint8Array} bytes */
function toBase58(bytes) {
  let zeros = 0;
  while (zeros < bytes.length && bytes[zeros] === 0) zeros++;
  const digits = []; // little-endian, base 58
  for (let i = zeros; i < bytes.length; i++) {
    let carry = bytes[i];
    for (let j = 0; j < digits.length; j++) {
      carry += digits[j] << 8;
      digits[j] = carry % 58;
      carry = (carry / 58) | 0;
    }
    for (; carry > 0; carry = (carry / 58) | 0) digits.push(carry % 58);
  }
  return '1'.repeat(zeros) + digits.reverse().map((d) => ALPHABET[d]).join('');
}

/** @param {string} text @returns {Uint8Array} */
function fromBase58(text) {
  if (text.length > TEXT_LENGTH_MAX) throw bad('InvalidSize', 0);
  let zeros = 0;
  while (zeros < text.length && text[zeros] === '1') zeros++;
  const bytes = []; // little-endian
  for (let i = zeros; i < text.length; i++) {
    let carry = DIGIT_OF.get(text[i]);
    if (carry === undefined) throw bad('InvalidCharacter', i);
    for (let j = 0; j < bytes.length; j++) {
      carry += bytes[j] * 58;
      bytes[j] = carry & 0xff;
      carry >>= 8;
    }
    for (; carry > 0; carry >>= 8) bytes.push(carry & 0xff);
  }
  return Uint8Array.from([...new Array(zeros).fill(0), ...bytes.reverse()]);
}

/** The identity of a node. Immutable; compare with `equals`, use `toString()` as a map key. */
export class PeerId {
  /** @type {Uint8Array} */
  #bytes;
  /** Made when first asked for. @type {string | undefined} */
  #text;

  /**
   * @private use the static makers
   * @param {bigint} code @param {Uint8Array} digest
   */
  constructor(code, digest) {
    /** Multihash code, 0 for an identity multihash. @readonly */
    this.code = code;
    this.#bytes = concatBytes([Uint8Array.from([...uvarint(code), ...uvarint(BigInt(digest.length))]), digest]);
    Object.freeze(this);
  }

  /**
   * Reads multihash bytes.
   * @param {import('./internal/bytes.js').BytesLike} source
   * @returns {PeerId}
   * @throws {BbwError} E_PEER_ID with `reason` and `offset`
   */
  static fromBytes(source) {
    const bytes = asBytes(source);
    const code = readUvarint(bytes, 0);
    if (code.problem) throw bad(code.problem, 0);
    const size = readUvarint(bytes, code.next);
    if (size.problem) throw bad(size.problem, code.next);
    if (size.value > BigInt(DIGEST_BYTES_MAX)) throw bad('InvalidSize', code.next);
    const end = size.next + Number(size.value);
    if (end > bytes.length) throw bad('UnexpectedEof', bytes.length);
    if (end < bytes.length) throw bad('InvalidSize', end);
    return new PeerId(code.value, bytes.slice(size.next, end));
  }

  /** Reads base58btc text. @param {string} text @throws {BbwError} E_PEER_ID */
  static fromText(text) {
    return PeerId.fromBytes(fromBase58(text));
  }

  /** The identity multihash of a number: eight digest bytes, big-endian. For tests and demos. @param {number | bigint} value */
  static fromU64(value) {
    const digest = new Uint8Array(8);
    const number = BigInt(value);
    if (number < 0n || number > 0xffff_ffff_ffff_ffffn) throw new BbwError('E_ARG', 'a peer number is a u64', { value });
    new DataView(digest.buffer).setBigUint64(0, number);
    return new PeerId(0n, digest);
  }

  /** Accepts a PeerId, its text, or its bytes. @param {PeerId | string | import('./internal/bytes.js').BytesLike} source */
  static from(source) {
    if (source instanceof PeerId) return source;
    return typeof source === 'string' ? PeerId.fromText(source) : PeerId.fromBytes(source);
  }

  /** Multihash bytes, a fresh copy. */
  toBytes() {
    return this.#bytes.slice();
  }

  /** The digest, a fresh copy. */
  get digest() {
    const size = readUvarint(this.#bytes, uvarint(this.code).length);
    return this.#bytes.slice(size.problem ? this.#bytes.length : size.next);
  }

  /** The number behind `fromU64`, or undefined for any other shape. @returns {bigint | undefined} */
  asU64() {
    if (this.code !== 0n || this.#bytes.length !== 10) return undefined;
    return new DataView(this.#bytes.buffer).getBigUint64(2);
  }

  /** Base58btc text. */
  toString() {
    return (this.#text ??= toBase58(this.#bytes));
  }

  toJSON() {
    return this.toString();
  }

  /** @param {unknown} other */
  equals(other) {
    return other instanceof PeerId && equalBytes(this.#bytes, other.#bytes);
  }

  /**
   * Negative, 0 or positive: by code, then digest size, then digest bytes. The order in which nodes visit peers.
   * @param {PeerId} a @param {PeerId} b
   */
  static compare(a, b) {
    if (a.code !== b.code) return a.code < b.code ? -1 : 1;
    const x = a.digest, y = b.digest;
    if (x.length !== y.length) return x.length - y.length;
    for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return x[i] - y[i];
    return 0;
  }
}
