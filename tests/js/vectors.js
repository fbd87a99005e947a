// Reads a set of vectors: tests/vectors/SET/index.json, or the folder that BBW_VECTORS names.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = process.env.BBW_VECTORS ?? 'tests/vectors';

/** @param {string} set @returns {any[]} the cases; another folder (BBW_VECTORS) may lack the set, ours may not */
export function cases(set) {
  const file = join(ROOT, set, 'index.json');
  return existsSync(file) || process.env.BBW_VECTORS === undefined ? JSON.parse(readFileSync(file, 'utf8')).cases : [];
}

/** @param {string} set @param {string} name */
export const fileOf = (set, name) => readFileSync(join(ROOT, set, name));
/** @param {string} hex */
export const unhex = (hex) => Uint8Array.from(Buffer.from(hex, 'hex'));
/** @param {Uint8Array} bytes */
export const hex = (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');

/** What the vectors call an error, as our code. */
export const CODE_OF = {
  Truncated: 'E_TRUNCATED',
  UnknownCode: 'E_UNKNOWN_CODE',
  InvalidValue: 'E_INVALID_VALUE',
  MalformedString: 'E_MALFORMED_STRING',
  DecodeFailed: 'E_DECODE',
  UnknownTypeHash: 'E_UNKNOWN_TYPE_HASH',
};
