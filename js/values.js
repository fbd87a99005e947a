// values: what travels between operators, as JavaScript sees it.
//
// A value is a plain object whose `type` is one of the carriers of include/bbw/types.def.  On the wire a value is a type hash
// and a payload in bincode.  Source: install specification, sections 6 to 8; operator specification, section 1.1.
//
// Differences to C on purpose: a tensor dimension above 2^53 is refused here (E_DECODE), because a JavaScript number cannot
// hold it; the shape copy at the end of a tensor is read and recomputed.

import { readAddress, readPeerId, writeAddress, Address } from './address.js';
import { BbwError } from './errors.js';
import { TYPES, TYPES_ROWS } from './generated/constants.js';
import { asBytes, asFloats, encodeUtf8, listOf, Reader, u64Of, Writer, wrongType } from './internal/bytes.js';
import { PeerId } from './peer-id.js';

/**
 * @typedef {{type: 'Trigger'} | {type: 'Unit'}} PlainValue
 * @typedef {{type: 'PeerId' | 'RawPeer', peer: PeerId}} PeerValue
 * @typedef {{type: 'PeerIdVec' | 'RawPeerVec', peers: readonly PeerId[]}} PeersValue
 * @typedef {{type: 'CommandId' | 'Timestamp' | 'WireReqId' | 'CorrelationToken' | 'U64' | 'RawU64' | 'FedAvgMeta', value: bigint}} BigValue
 * @typedef {{type: 'RawU32' | 'RawF32', value: number}} NumberValue
 * @typedef {{type: 'Address', address: Address}} AddressValue
 * @typedef {{type: 'AddressVec', addresses: readonly Address[]}} AddressesValue
 * @typedef {{type: 'Bytes' | 'ByteSlice', bytes: Uint8Array}} BytesValue
 * @typedef {{type: 'Composite', values: readonly Value[]}} CompositeValue
 * @typedef {{type: 'CpuTensor' | 'BoxedCpuTensor', dims: readonly number[], data: Float32Array}} TensorValue  row-major
 * @typedef {{type: 'F32Slice', data: Float32Array}} SliceValue
 * @typedef {{type: 'F32SliceVec', slices: readonly Float32Array[]}} SlicesValue
 * @typedef {{type: 'Hits', hits: readonly {id: bigint, score: number}[]}} HitsValue
 * @typedef {PlainValue | PeerValue | PeersValue | BigValue | NumberValue | AddressValue | AddressesValue | BytesValue
 *   | CompositeValue | TensorValue | SliceValue | SlicesValue | HitsValue} Value
 * @typedef {{typeHash: bigint, payload: Uint8Array}} EncodedValue
 */

/** How deep composites may nest. The same number as BBW_COMPOSITE_DEPTH_MAX. */
export const COMPOSITE_DEPTH_MAX = 256;
/** The same number as BBW_TENSOR_RANK_MAX. */
export const TENSOR_RANK_MAX = 32;

/** @type {Map<string, bigint>} */
const HASH_OF = new Map();
/** @type {Map<bigint, Value['type']>} */
const TYPE_OF = new Map();
for (const [name, hash] of Object.entries(TYPES)) {
  const js = /** @type {Value['type']} */ (TYPES_ROWS[/** @type {keyof typeof TYPES} */ (name)][0]);
  HASH_OF.set(js, hash);
  TYPE_OF.set(hash, js);
}

/** @param {Value['type']} type @returns {bigint} the number that names the carrier on the wire */
export function typeHash(type) {
  const hash = HASH_OF.get(type);
  if (hash === undefined) throw new BbwError('E_ARG', `no such value type: ${type}`, { type });
  return hash;
}

// ---- makers --------------------------------------------------------------------------------------------------------

/**
 * A dense row-major tensor of 32-bit floats.
 * @param {Float32Array | readonly number[]} data  kept, not copied, when it is a Float32Array
 * @param {readonly number[]} [dims]  default: one dimension
 * @returns {TensorValue}
 * @throws {BbwError} E_SHAPE when dims and data do not fit
 */
export function tensor(data, dims = [data.length]) {
  const floats = data instanceof Float32Array ? data : Float32Array.from(data);
  checkShape(dims, floats);
  return { type: 'CpuTensor', dims: [...dims], data: floats };
}

/** What `readTensor` would take. @param {readonly number[]} dims @param {Float32Array} data */
function checkShape(dims, data) {
  const isFitting = listOf(dims, 'dims').length <= TENSOR_RANK_MAX && dims.every((d) => Number.isSafeInteger(d) && d >= 0)
    && dims.reduce((a, b) => a * b, 1) === data.length && dims.reduce((a, b) => a * (b || 1), 1) < 2 ** 63;
  if (!isFitting) throw new BbwError('E_SHAPE', `${data.length} elements do not fill the shape [${dims.map(String).join(', ')}]`, { dims: [...dims], count: data.length });
}

/** Bytes, or text as UTF-8. @param {import('./internal/bytes.js').BytesLike | string} source @returns {BytesValue} */
export const bytes = (source) => ({ type: 'Bytes', bytes: typeof source === 'string' ? encodeUtf8(source) : asBytes(source) });
/** @returns {PlainValue} */
export const trigger = () => ({ type: 'Trigger' });
/** @param {number | bigint} value @returns {BigValue} */
export const u64 = (value) => ({ type: 'U64', value: u64Of(value) });
/** How many samples an update stands for: the weight of a federated average. @param {number | bigint} count @returns {BigValue} */
export const samples = (count) => ({ type: 'FedAvgMeta', value: u64Of(count, 'count') });
/** @param {PeerId | string} peer @returns {PeerValue} */
export const peer = (peer) => ({ type: 'PeerId', peer: PeerId.from(peer) });
/** @param {Iterable<PeerId | string>} list @returns {PeersValue} */
export const peers = (list) => ({ type: 'PeerIdVec', peers: [...list].map((p) => PeerId.from(p)) });
/** @param {Address | string} address @returns {AddressValue} */
export const address = (address) => ({ type: 'Address', address: Address.from(address) });
/** @param {Iterable<Address | string>} list @returns {AddressesValue} */
export const addresses = (list) => ({ type: 'AddressVec', addresses: [...list].map((a) => Address.from(a)) });
/** @param {Iterable<Value>} values @returns {CompositeValue} */
export const composite = (values) => ({ type: 'Composite', values: [...values] });

// ---- encoding ------------------------------------------------------------------------------------------------------

/** @param {Writer} out @param {Float32Array} data */
function writeSlice(out, data) {
  asFloats(data);
  out.u64(data.length);
  out.floats(data);
}

/** @param {Writer} out @param {Value} value @param {number} depth */
function write(out, value, depth) {
  if (value === null || typeof value !== 'object') throw wrongType('value', 'a value', value);
  switch (value.type) {
    case 'Trigger': case 'Unit': return;
    case 'PeerId': case 'RawPeer': out.blob(PeerId.from(value.peer).toBytes()); return;
    case 'PeerIdVec': case 'RawPeerVec':
      out.u64(listOf(value.peers, 'peers').length);
      for (const item of value.peers) out.blob(PeerId.from(item).toBytes());
      return;
    case 'CommandId': case 'Timestamp': case 'WireReqId': case 'CorrelationToken': case 'U64': case 'RawU64': case 'FedAvgMeta':
      out.u64(value.value);
      return;
    case 'RawU32': out.u32(value.value); return;
    case 'RawF32': out.f32(value.value); return;
    case 'Address': writeAddress(out, Address.from(value.address)); return;
    case 'AddressVec':
      out.u64(listOf(value.addresses, 'addresses').length);
      for (const item of value.addresses) writeAddress(out, Address.from(item));
      return;
    case 'Bytes': case 'ByteSlice': out.blob(asBytes(value.bytes)); return;
    case 'Composite':
      // Depth is bounded here, so a value that this side makes can be decoded by the other.
      if (depth >= COMPOSITE_DEPTH_MAX) throw new BbwError('E_DEPTH', 'composites are nested too deeply', { cap: COMPOSITE_DEPTH_MAX });
      out.u64(listOf(value.values, 'values').length);
      for (const item of value.values) {
        const child = new Writer();
        write(child, item, depth + 1);
        out.u64(typeHash(item.type));
        out.blob(child.finish());
      }
      return;
    case 'CpuTensor': case 'BoxedCpuTensor':
      checkShape(value.dims, asFloats(value.data));
      out.u8(1); // version of the array format
      out.u64(value.dims.length);
      for (const dim of value.dims) out.u64(dim);
      writeSlice(out, value.data);
      out.u64(value.dims.length);
      for (const dim of value.dims) out.i64(dim);
      return;
    case 'F32Slice': writeSlice(out, value.data); return;
    case 'F32SliceVec':
      out.u64(listOf(value.slices, 'slices').length);
      for (const slice of value.slices) writeSlice(out, slice);
      return;
    case 'Hits':
      out.u64(listOf(value.hits, 'hits').length);
      for (const hit of value.hits) {
        out.u64(hit?.id, 'id');
        out.f32(hit.score);
      }
      return;
    default:
      throw new BbwError('E_ARG', 'not a value', { type: /** @type {{type?: unknown}} */ (value)?.type });
  }
}

/** @param {Value} value @returns {EncodedValue} */
export function encodeValue(value) {
  const out = new Writer();
  write(out, value, 0);
  return { typeHash: typeHash(value.type), payload: out.finish() };
}

// ---- decoding ------------------------------------------------------------------------------------------------------

/** @param {Reader} input */
const readSlice = (input) => input.floats(input.count(4));

/** @template T @param {Reader} input @param {number} unit @param {(input: Reader) => T} one @returns {T[]} */
function readList(input, unit, one) {
  const list = [];
  for (let left = input.count(unit); left > 0; left--) list.push(one(input));
  return list;
}

/** @param {Reader} input @param {'CpuTensor' | 'BoxedCpuTensor'} type @returns {TensorValue} */
function readTensor(input, type) {
  if (input.u8() !== 1) input.fail('unknown array version');
  const dims = readList(input, 8, () => {
    const dim = input.u64();
    if (dim > BigInt(Number.MAX_SAFE_INTEGER)) input.fail('dimension is larger than JavaScript can count');
    return Number(dim);
  });
  if (dims.length > TENSOR_RANK_MAX) input.fail('too many dimensions');
  const data = readSlice(input);
  const count = dims.reduce((product, dim) => product * BigInt(dim), 1n);
  // Non-zero dims whose product is beyond the address range cannot belong to real data, even when another dim is zero.
  const span = dims.reduce((product, dim) => product * BigInt(dim || 1), 1n);
  if (count !== BigInt(data.length) || span >= 1n << 63n) input.fail('data and dimensions do not fit');
  readList(input, 8, () => input.i64());
  return { type, dims, data };
}

/** @param {Reader} input @param {Value['type']} type @param {number} depth @returns {Value} */
function read(input, type, depth) {
  switch (type) {
    case 'Trigger': case 'Unit': return { type };
    case 'PeerId': case 'RawPeer': return { type, peer: readPeerId(input) };
    case 'PeerIdVec': case 'RawPeerVec': return { type, peers: readList(input, 8, readPeerId) };
    case 'CommandId': case 'Timestamp': case 'WireReqId': case 'CorrelationToken': case 'U64': case 'RawU64': case 'FedAvgMeta':
      return { type, value: input.u64() };
    case 'RawU32': return { type, value: input.u32() };
    case 'RawF32': return { type, value: input.f32() };
    case 'Address': return { type, address: readAddress(input) };
    case 'AddressVec': return { type, addresses: readList(input, 8, readAddress) };
    case 'Bytes': case 'ByteSlice': return { type, bytes: input.blob().slice() };
    case 'Composite':
      if (depth >= COMPOSITE_DEPTH_MAX) throw new BbwError('E_DEPTH', 'composites are nested too deeply', { cap: COMPOSITE_DEPTH_MAX });
      return {
        type,
        values: readList(input, 16, () => {
          const hash = input.u64();
          const child = TYPE_OF.get(hash);
          const payload = input.blob();
          return child === undefined ? input.fail(`no decoder for type hash ${hash}`) : read(new Reader(payload), child, depth + 1);
        }),
      };
    case 'CpuTensor': case 'BoxedCpuTensor': return readTensor(input, type);
    case 'F32Slice': return { type, data: readSlice(input) };
    case 'F32SliceVec': return { type, slices: readList(input, 8, readSlice) };
    case 'Hits': return { type, hits: readList(input, 12, () => ({ id: input.u64(), score: input.f32() })) };
  }
}

/**
 * Decodes a payload. Bytes after the value are ignored, as the reference does. Nothing of `payload` is kept.
 * @param {bigint} hash @param {import('./internal/bytes.js').BytesLike} payload
 * @returns {Value}
 * @throws {BbwError} E_UNKNOWN_TYPE_HASH, E_DECODE (summary, offset), E_DEPTH
 */
export function decodeValue(hash, payload) {
  const type = TYPE_OF.get(hash);
  if (type === undefined) throw new BbwError('E_UNKNOWN_TYPE_HASH', `no decoder for type hash ${hash}`, { hash });
  return read(new Reader(asBytes(payload)), type, 0);
}
