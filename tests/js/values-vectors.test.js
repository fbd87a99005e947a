// Value carriers against the vectors of the reference.  Source: install specification, sections 6 to 8.
import assert from 'node:assert/strict';
import test from 'node:test';
import { TYPES_ROWS } from '../../js/generated/constants.js';
import { composite, decodeValue, encodeValue, tensor, typeHash } from '../../js/values.js';
import { cases, CODE_OF, hex, unhex } from './vectors.js';

const all = cases('values');
/** Dimensions that no JavaScript number can hold: C accepts them, we say why we do not. */
const TOO_LARGE_FOR_JS = /dimension is larger than JavaScript can count/;

test('valid payloads decode and encode to the same bytes', () => {
  for (const c of all.filter((x) => x.kind === 'value' || x.kind === 'nested')) {
    const hash = BigInt(c.type_hash ?? typeHash(c.type));
    let value;
    try {
      value = decodeValue(hash, unhex(c.payload));
    } catch (error) {
      if (error.code === 'E_UNKNOWN_TYPE_HASH' && c.has_decoder === false) continue;
      throw new Error(`${c.id}: ${error.message}`, { cause: error });
    }
    const again = encodeValue(value);
    assert.equal(again.typeHash, hash, c.id);
    assert.equal(hex(again.payload), c.payload, c.id);
  }
});

test('malformed payloads are refused, unusual ones become canonical', () => {
  let refused = 0, accepted = 0;
  for (const c of all.filter((x) => x.kind === 'malformed')) {
    if (c.ok) {
      let value;
      try {
        value = decodeValue(BigInt(c.type_hash), unhex(c.payload));
      } catch (error) {
        assert.match(error.message, TOO_LARGE_FOR_JS, c.id);
        continue;
      }
      // A shape copy that contradicts the shape is recomputed, so only its bytes may differ.
      const got = hex(encodeValue(value).payload);
      if (c.type === 'CpuTensor') assert.equal(got.length, c.reencoded.length, c.id);
      else assert.equal(got, c.reencoded, c.id);
      accepted++;
    } else {
      assert.throws(() => decodeValue(BigInt(c.type_hash), unhex(c.payload)), { code: CODE_OF[c.error ?? 'DecodeFailed'] }, c.id);
      refused++;
    }
  }
  assert.ok((refused > 0 && accepted > 0) || all.length === 0);
});

test('unknown type hashes are refused', () => {
  for (const c of all.filter((x) => x.kind === 'unknown_hash')) {
    if (isOurs(BigInt(c.type_hash))) continue;
    assert.throws(() => decodeValue(BigInt(c.type_hash), new Uint8Array()), { code: 'E_UNKNOWN_TYPE_HASH' }, c.id);
  }
});

/** Carriers that only this implementation decodes. @param {bigint} hash */
function isOurs(hash) {
  try {
    decodeValue(hash, new Uint8Array());
    return true;
  } catch (error) {
    return error.code !== 'E_UNKNOWN_TYPE_HASH';
  }
}

test('type hashes are those of the hashed paths', () => {
  const types = new Map(Object.values(TYPES_ROWS).map(([type, , path]) => [path, type]));
  for (const c of all.filter((x) => x.kind === 'type_path')) {
    // The notice of the back-pressure protocol is recognised by its hash but is not a value.
    if (c.type === 'BackoffNoticePayload') continue;
    assert.equal(typeHash(types.get(c.path)), BigInt(c.fnv1a64), c.id);
  }
});

test('a tensor keeps its bits, not-a-number payloads too', () => {
  const data = new Float32Array(new Uint32Array([0x7fc00001, 0xff800000, 0x80000000, 1]).buffer);
  const { typeHash: hash, payload } = encodeValue(tensor(data, [2, 2]));
  const back = decodeValue(hash, payload);
  assert.equal(back.type, 'CpuTensor');
  assert.deepEqual(new Uint32Array(back.data.buffer), new Uint32Array(data.buffer));
});

test('every cut of a payload is refused and changes nothing', () => {
  const { typeHash: hash, payload } = encodeValue(composite([tensor([1, 2, 3, 4, 5, 6], [2, 3]), { type: 'FedAvgMeta', value: 5n }]));
  for (let length = 0; length < payload.length; length++) {
    assert.throws(() => decodeValue(hash, payload.subarray(0, length)), { code: 'E_DECODE' }, `cut at ${length}`);
  }
});

test('shapes that do not fit the data and composites that are too deep are refused', () => {
  assert.throws(() => tensor([1, 2, 3], [2, 2]), { code: 'E_SHAPE' });
  assert.throws(() => tensor([1], [-1, -1]), { code: 'E_SHAPE' });
  let deep = composite([]);
  for (let i = 0; i < 255; i++) deep = composite([deep]);
  const ok = encodeValue(deep);
  assert.equal(hex(encodeValue(decodeValue(ok.typeHash, ok.payload)).payload), hex(ok.payload));
  assert.throws(() => encodeValue(composite([deep])), { code: 'E_DEPTH' });
});
