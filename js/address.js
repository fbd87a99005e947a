// address: where in the network, on a node, a value belongs.
//
// A list of segments: p2p(peer), site(u64), component(u32), op(text).  It has a binary form (envelopes), a text form and a
// bincode form (payloads).  Values are immutable.  Source: wire specification, section 3.

import { BbwError } from './errors.js';
import { asBytes, concatBytes, decodeUtf8, encodeUtf8, equalBytes, Reader, readUvarint, uvarint, Writer } from './internal/bytes.js';
import { PeerId } from './peer-id.js';

/**
 * @typedef {{kind: 'p2p', value: PeerId} | {kind: 'site', value: bigint} | {kind: 'component', value: number}
 *   | {kind: 'op', value: string}} Segment
 */

/** Code and place (bincode variant index) of each kind. */
const KINDS = /** @type {const} */ (['p2p', 'site', 'component', 'op']);
const CODES = { p2p: 421n, site: 0xe2n, component: 0xe3n, op: 0xe4n };
const U32_MAX = 0xffff_ffff;
const U64_MAX = 0xffff_ffff_ffff_ffffn;
/** White space in the sense of Unicode, which is what the text form trims. */
const TRIM = /^[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+|[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/g;

/** @param {string} protocol @param {string} value @param {unknown} [cause] */
const invalid = (protocol, value, cause) =>
  new BbwError('E_INVALID_VALUE', `address segment ${protocol} has a malformed value: ${value}`, { protocol, value, cause });

/** @param {Segment} segment @returns {Segment} a frozen copy of a segment that is in range */
function checked({ kind, value }) {
  switch (kind) {
    case 'p2p':
      if (value instanceof PeerId) return Object.freeze({ kind, value });
      break;
    case 'site':
      if (typeof value === 'bigint' && value >= 0n && value <= U64_MAX) return Object.freeze({ kind, value });
      break;
    case 'component':
      if (Number.isInteger(value) && value >= 0 && value <= U32_MAX) return Object.freeze({ kind, value });
      break;
    case 'op':
      encodeUtf8(value);
      return Object.freeze({ kind, value });
  }
  throw invalid(String(kind), String(value));
}

/** @param {string} protocol @param {string} value @returns {Segment} */
function parseSegment(protocol, value) {
  if (protocol === 'op') return { kind: 'op', value };
  if (protocol === 'p2p') {
    try {
      return { kind: 'p2p', value: PeerId.fromText(value) };
    } catch (cause) {
      throw invalid(protocol, value, cause);
    }
  }
  if ((protocol === 'site' || protocol === 'component') && /^\+?[0-9]+$/.test(value)) {
    const number = BigInt(value.replace('+', ''));
    if (protocol === 'site' && number <= U64_MAX) return { kind: 'site', value: number };
    if (protocol === 'component' && number <= BigInt(U32_MAX)) return { kind: 'component', value: Number(number) };
  }
  throw invalid(protocol, value);
}

/** A place in the network. Immutable. */
export class Address {
  /** @param {Iterable<Segment>} [segments] */
  constructor(segments = []) {
    /** @readonly @type {readonly Segment[]} */
    this.segments = Object.freeze([...segments].map(checked));
    Object.freeze(this);
  }

  /**
   * Reads the binary form.
   * @param {import('./internal/bytes.js').BytesLike} source
   * @throws {BbwError} E_TRUNCATED, E_UNKNOWN_CODE, E_INVALID_VALUE
   */
  static fromBytes(source) {
    const bytes = asBytes(source);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    /** @type {Segment[]} */
    const segments = [];
    let at = 0;
    while (at < bytes.length) {
      const start = at;
      const truncated = () => new BbwError('E_TRUNCATED', `address ends inside a segment at byte ${start}`, { offset: start });
      const code = readUvarint(bytes, at);
      if (code.problem) throw truncated();
      at = code.next;
      if (code.value === CODES.p2p || code.value === CODES.op) {
        const length = readUvarint(bytes, at);
        if (length.problem || length.value > BigInt(bytes.length - length.next)) throw truncated();
        const value = bytes.subarray(length.next, length.next + Number(length.value));
        at = length.next + value.length;
        if (code.value === CODES.op) {
          const text = decodeUtf8(value);
          if (text === undefined) throw invalid('op', `${value.length} bytes`);
          segments.push({ kind: 'op', value: text });
        } else {
          try {
            segments.push({ kind: 'p2p', value: PeerId.fromBytes(value) });
          } catch (cause) {
            throw invalid('p2p', `${value.length} bytes`, cause);
          }
        }
      } else if (code.value === CODES.site) {
        if (bytes.length - at < 8) throw truncated();
        segments.push({ kind: 'site', value: view.getBigUint64(at) });
        at += 8;
      } else if (code.value === CODES.component) {
        if (bytes.length - at < 4) throw truncated();
        segments.push({ kind: 'component', value: view.getUint32(at) });
        at += 4;
      } else {
        const low = Number(code.value & 0xffn);
        throw new BbwError('E_UNKNOWN_CODE', `unknown address segment code ${low}`, { code: low, offset: start });
      }
    }
    return new Address(segments);
  }

  /** Reads the text form. @param {string} text @throws {BbwError} E_MALFORMED_STRING, E_INVALID_VALUE */
  static fromText(text) {
    const trimmed = text.replace(TRIM, '');
    if (trimmed === '') return new Address();
    const malformed = () => new BbwError('E_MALFORMED_STRING', `text is not an address: ${text}`, { text });
    if (trimmed[0] !== '/') throw malformed();
    const parts = trimmed.slice(1).split('/');
    /** @type {Segment[]} */
    const segments = [];
    for (let i = 0; i < parts.length; i += 2) {
      if (i + 1 === parts.length) throw malformed();
      segments.push(parseSegment(parts[i], parts[i + 1]));
    }
    return new Address(segments);
  }

  /** Accepts an Address, its text, or its binary form. @param {Address | string | import('./internal/bytes.js').BytesLike} source */
  static from(source) {
    if (source instanceof Address) return source;
    return typeof source === 'string' ? Address.fromText(source) : Address.fromBytes(source);
  }

  /** @param {PeerId | string} peer */
  p2p(peer) { return new Address([...this.segments, { kind: 'p2p', value: PeerId.from(peer) }]); }
  /** @param {number | bigint} id */
  site(id) { return new Address([...this.segments, { kind: 'site', value: BigInt(id) }]); }
  /** @param {number} ref */
  component(ref) { return new Address([...this.segments, { kind: 'component', value: ref }]); }
  /** @param {string} name */
  op(name) { return new Address([...this.segments, { kind: 'op', value: name }]); }

  /** @param {Segment['kind']} kind */
  #first(kind) { return this.segments.find((segment) => segment.kind === kind)?.value; }
  /** First segment of its kind, or undefined; the same for the three below. */
  get peerId() { return /** @type {PeerId | undefined} */ (this.#first('p2p')); }
  get siteId() { return /** @type {bigint | undefined} */ (this.#first('site')); }
  get componentRef() { return /** @type {number | undefined} */ (this.#first('component')); }
  get opName() { return /** @type {string | undefined} */ (this.#first('op')); }

  /** The binary form. */
  toBytes() {
    return concatBytes(this.segments.map((segment) => {
      const head = uvarint(CODES[segment.kind]);
      if (segment.kind === 'site' || segment.kind === 'component') {
        const out = new Uint8Array(head.length + (segment.kind === 'site' ? 8 : 4));
        out.set(head);
        const view = new DataView(out.buffer);
        if (segment.kind === 'site') view.setBigUint64(head.length, segment.value);
        else view.setUint32(head.length, segment.value);
        return out;
      }
      const body = segment.kind === 'p2p' ? segment.value.toBytes() : encodeUtf8(segment.value);
      return concatBytes([Uint8Array.from([...head, ...uvarint(BigInt(body.length))]), body]);
    }));
  }

  /** The text form. An op name with a slash does not survive being read again. */
  toString() {
    return this.segments.map(({ kind, value }) => `/${kind}/${value}`).join('');
  }

  toJSON() {
    return this.toString();
  }

  /** @param {unknown} other  equal: the same segments in the same order */
  equals(other) {
    return other instanceof Address && equalBytes(this.toBytes(), other.toBytes());
  }
}

/** The bincode form, used inside payloads. @param {Writer} out @param {Address} address */
export function writeAddress(out, address) {
  out.u64(address.segments.length);
  for (const segment of address.segments) {
    out.u32(KINDS.indexOf(segment.kind));
    if (segment.kind === 'p2p') out.blob(segment.value.toBytes());
    else if (segment.kind === 'site') out.u64(segment.value);
    else if (segment.kind === 'component') out.u32(segment.value);
    else out.blob(encodeUtf8(segment.value));
  }
}

/** @param {Reader} input @returns {Address} */
export function readAddress(input) {
  /** @type {Segment[]} */
  const segments = [];
  for (let left = input.count(8); left > 0; left--) {
    switch (input.u32()) {
      case 0: segments.push({ kind: 'p2p', value: readPeerId(input) }); break;
      case 1: segments.push({ kind: 'site', value: input.u64() }); break;
      case 2: segments.push({ kind: 'component', value: input.u32() }); break;
      case 3: segments.push({ kind: 'op', value: input.text() }); break;
      default: input.fail('unknown address segment variant');
    }
  }
  return new Address(segments);
}

/** @param {Reader} input @returns {PeerId} */
export function readPeerId(input) {
  const bytes = input.blob();
  try {
    return PeerId.fromBytes(bytes);
  } catch {
    return input.fail('not a peer id');
  }
}
