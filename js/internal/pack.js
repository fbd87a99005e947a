// pack: the form of requests and answers that cross the wasm boundary, and what is read out of the engine's buffers.
//
// Little-endian, no padding: bytes = u32 length and the bytes, text = bytes that are UTF-8, list = u32 count and the elements.
// Source: wasm/abi.h.  Not part of the public API.

import { BbwError } from '../errors.js';
import { STATUS, STATUS_ROWS, STEP_ROWS, STEP } from '../generated/constants.js';
import { PeerId } from '../peer-id.js';
import { decodeUtf8, listOf, Reader, Writer } from './bytes.js';

/** @type {Map<number, keyof typeof STATUS>} */
const NAME_OF = new Map(Object.entries(STATUS).map(([name, value]) => [value, /** @type {keyof typeof STATUS} */ (name)]));

/** @param {string} name  snake_case as in C @returns {string} */
export const camel = (name) => name.replace(/_([a-z0-9])/g, (_, c) => c.toUpperCase());

/** @param {(out: Writer) => void} fill @returns {Uint8Array} */
export function pack(fill) {
  const out = new Writer();
  fill(out);
  return out.finish();
}

/** @template T @param {Writer} out @param {readonly T[]} items @param {(item: T) => void} one @param {string} [field] */
export function packList(out, items, one, field = 'list') {
  out.u32(listOf(items, field).length);
  for (const item of items) one(item); // holes too, they are counted
}

/** @template T @param {Reader} input @param {(input: Reader) => T} one @returns {T[]} */
export function unpackList(input, one) {
  const list = [];
  for (let left = input.u32(); left > 0; left--) list.push(one(input));
  return list;
}

/** A u64 as a number where that is exact. @param {bigint} value */
export const narrow = (value) => (value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value);

/**
 * Makes the error of a failed call.
 * @param {number} status @param {Uint8Array} [block]  a copy of the engine's struct bbw_error, when it was filled
 * @returns {BbwError}
 */
export function errorOf(status, block) {
  const code = NAME_OF.get(status) ?? `E_${status}`;
  const text = NAME_OF.has(status) ? STATUS_ROWS[/** @type {keyof typeof STATUS_ROWS} */ (code)] : `status ${status}`;
  /** @type {Record<string, unknown>} */
  const details = {};
  if (block !== undefined) {
    const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
    if (view.getInt32(0, true) === status) {
      const used = Math.min(view.getUint32(4, true), block.length - 24);
      const offset = view.getBigUint64(8, true);
      if (offset !== 0n) details.offset = narrow(offset);
      const fields = block.subarray(24, 24 + used);
      let at = 0;
      const zero = () => { const end = fields.indexOf(0, at); return end < 0 ? fields.length : end; };
      const text = () => { const end = zero(); const out = decodeUtf8(fields.subarray(at, end)) ?? ''; at = end + 1; return out; };
      while (at < fields.length) {
        const kind = String.fromCharCode(fields[at++]);
        const name = camel(text()), value = text();
        if (kind === 'l') (/** @type {string[]} */ (details[name] ??= [])).push(value);
        else details[name] ??= kind === 'u' ? narrow(BigInt(value)) : value;
      }
      if (view.getUint32(16, true) !== 0) details.isTruncated = true;
    }
  }
  const shown = Object.entries(details).map(([k, v]) => `${k}: ${Array.isArray(v) ? v.join('; ') : v}`).join(', ');
  return new BbwError(code, shown === '' ? text : `${text} (${shown})`, details);
}

/**
 * What a poll reports. The fields of each type are those of include/bbw/step.def, in camelCase.
 * @typedef {{type: 'OpCompleted', opRef: bigint, execId: bigint, sitesWritten: bigint[]}
 *   | {type: 'AsyncSuspended', opRef: bigint, execId: bigint, cmdId: bigint}
 *   | {type: 'SendEnvelope', peer: PeerId | undefined, destPeerAddresses: Uint8Array[], bytes: Uint8Array, isRedelivered: boolean}
 *   | {type: 'AppEvent', moduleName: string, topic: string, valueBytes: Uint8Array}
 *   | {type: 'LifecycleFired', phase: string}
 *   | {type: 'BootstrapComplete'} | {type: 'WaitingOnBootstrap'}
 *   | {type: 'OpFailed', opRef: bigint, execId: bigint, kind: string, reason: string, detail: string}
 *   | {type: 'CycleBudgetExceeded', opsInvoked: bigint} | {type: 'OutboundDropped', count: bigint}
 *   | {type: 'WireDecodeFailed', hash: bigint, payloadSize: bigint, detail: string}
 *   | {type: 'WireReceiveFailed', srcPeer: PeerId | undefined, fillIndex: bigint, actualHash: bigint, payloadSize: bigint, kind: string, detail: string}
 *   | {type: 'WireTimeout', wireReqId: bigint, targetSite: bigint, startedAtNs: bigint}
 *   | {type: 'PeerResolveFailed', peer: PeerId | undefined, opRef: bigint, execId: bigint}
 *   | {type: 'PeerBlocked', peer: PeerId | undefined, reason: string}
 *   | {type: 'PeerDown', peer: PeerId | undefined} | {type: 'PeerUp', peer: PeerId | undefined}} Step
 */

/** number -> type and fields. @type {Map<number, {type: string, fields: (readonly [string, string])[]}>} */
const STEP_FORM = new Map(Object.entries(STEP).map(([name, number]) => {
  const [type, fields] = STEP_ROWS[/** @type {keyof typeof STEP_ROWS} */ (name)];
  return [number, { type, fields: fields.split(' ').filter(Boolean).map((f) => f.split(':')).map(([field, kind]) => /** @type {const} */ ([camel(field), kind])) }];
}));

/** @param {Reader} input @returns {Uint8Array} a copy of a padded byte string */
function readPadded(input) {
  const length = input.count(1);
  const out = input.view(length).slice();
  input.view((8 - (length % 8)) % 8);
  return out;
}

/** @type {Record<string, (input: Reader) => unknown>} */
const READ = {
  u: (input) => input.u64(),
  f: (input) => input.u64() !== 0n,
  U: (input) => Array.from({ length: input.count(8) }, () => input.u64()),
  s: (input) => input.utf8(readPadded(input)),
  b: readPadded,
  B: (input) => Array.from({ length: input.count(8) }, () => readPadded(input)),
  p: (input) => { const bytes = readPadded(input); return bytes.length === 0 ? undefined : PeerId.fromBytes(bytes); },
};

/** Reads the records of a poll; unknown ones are skipped. @param {Uint8Array} bytes @returns {Step[]} */
export function readSteps(bytes) {
  /** @type {Step[]} */
  const steps = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 8 <= bytes.length;) {
    const size = view.getUint32(at + 4, true);
    if (size < 8 || size > bytes.length - at) throw new BbwError('E_ABI', 'a step record has no sensible size', { offset: at, size });
    const form = STEP_FORM.get(view.getUint32(at, true));
    if (form !== undefined) {
      const input = new Reader(bytes.subarray(at + 8, at + size));
      /** @type {Record<string, unknown>} */
      const step = { type: form.type };
      for (const [field, kind] of form.fields) step[field] = READ[kind](input);
      steps.push(/** @type {Step} */ (step));
    }
    at += size;
  }
  return steps;
}
