// Peer ids and addresses against the vectors of the reference.  Source: wire specification, sections 2 and 3.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Address, readAddress, readPeerId, writeAddress } from '../../js/address.js';
import { PeerId } from '../../js/peer-id.js';
import { Reader, Writer } from '../../js/internal/bytes.js';
import { cases, CODE_OF, hex, unhex } from './vectors.js';

const byKind = (set) => Map.groupBy?.(cases(set), (c) => c.kind) ?? cases(set).reduce((m, c) => m.set(c.kind, [...(m.get(c.kind) ?? []), c]), new Map());
const peers = byKind('peer_ids');
const addresses = byKind('addresses');
const payloadOf = (address) => { const out = new Writer(); writeAddress(out, address); return hex(out.finish()); };

/** @param {() => unknown} run @param {string} code @param {string} id */
function refuses(run, code, id) {
  let error;
  try { run(); } catch (caught) { error = caught; }
  assert.equal(error?.code, code, id);
  return error;
}

test('valid peer ids round-trip through bytes, text and payload', () => {
  let seen = 0;
  for (const kind of ['u64', 'sha2_256', 'identity_ed25519', 'identity_size', 'identity_zeros', 'code']) {
    for (const c of peers.get(kind) ?? []) {
      const peer = PeerId.fromBytes(unhex(c.bytes));
      assert.equal(hex(peer.toBytes()), c.bytes, c.id);
      assert.equal(peer.toString(), c.text, c.id);
      assert.ok(PeerId.fromText(c.text).equals(peer), c.id);
      assert.equal(peer.code.toString(), c.code, c.id);
      assert.equal(hex(peer.digest), c.digest, c.id);
      assert.equal(peer.asU64()?.toString() ?? null, c.identity_u64, c.id);
      if (c.identity_u64 !== null) assert.ok(PeerId.fromU64(BigInt(c.identity_u64)).equals(peer), c.id);
      assert.ok(readPeerId(new Reader(unhex(c.payload))).equals(peer), c.id);
      seen++;
    }
  }
  assert.equal(seen, cases('peer_ids').filter((c) => c.digest_fnv).length);
});

test('malformed peer id bytes are refused with the reason of the reference', () => {
  for (const c of peers.get('bad_bytes') ?? []) {
    assert.equal(refuses(() => PeerId.fromBytes(unhex(c.bytes)), 'E_PEER_ID', c.id).details.reason, c.error, c.id);
  }
});

test('unusual bytes and texts become canonical', () => {
  for (const c of peers.get('unusual_bytes') ?? []) assert.equal(hex(PeerId.fromBytes(unhex(c.bytes)).toBytes()), c.canonical, c.id);
  for (const c of peers.get('unusual_text') ?? []) assert.equal(Address.fromText(`/p2p/${c.text}`).peerId?.toString(), c.canonical_text, c.id);
});

test('malformed texts and payloads are refused', () => {
  for (const c of peers.get('bad_text') ?? []) {
    const error = refuses(() => Address.fromText(`/p2p/${c.text}`), CODE_OF[c.error.variant], c.id);
    if (c.error.protocol !== undefined) assert.deepEqual([error.details.protocol, error.details.value], [c.error.protocol, c.error.value], c.id);
  }
  for (const c of peers.get('bad_payload') ?? []) refuses(() => readPeerId(new Reader(unhex(c.payload))), 'E_DECODE', c.id);
  for (const c of peers.get('payload') ?? []) assert.equal(hex(readPeerId(new Reader(unhex(c.payload))).toBytes()), c.bytes, c.id);
});

test('peers are ordered by code, size and digest', () => {
  for (const c of peers.get('ordering') ?? []) {
    const sorted = c.ascending.map((b) => PeerId.fromBytes(unhex(b))).reverse().sort(PeerId.compare);
    assert.deepEqual(sorted.map((p) => hex(p.toBytes())), c.ascending, c.id);
  }
});

test('a change to returned bytes does not change the peer', () => {
  const peer = PeerId.fromU64(7);
  peer.toBytes().fill(9);
  peer.digest.fill(9);
  assert.equal(peer.asU64(), 7n);
});

test('valid addresses round-trip through binary, text and payload', () => {
  let seen = 0;
  for (const c of cases('addresses').filter((x) => x.ok)) {
    const source = c.input ?? c.binary;
    let address = Address.fromBytes(unhex(source));
    if (c.input_text !== undefined) address = Address.fromText(c.input_text);
    if (c.input_payload !== undefined) address = readAddress(new Reader(unhex(c.input_payload)));
    assert.equal(hex(address.toBytes()), c.binary, c.id);
    if (c.text !== undefined && !c.segments.some((s) => s.op_utf8 !== undefined && s.op === undefined)) assert.equal(address.toString(), c.text, c.id);
    assert.equal(payloadOf(address), c.payload, c.id);
    assert.ok(readAddress(new Reader(unhex(c.payload))).equals(address), c.id);
    if (c.text_reparse === 'same') assert.ok(Address.fromText(c.text).equals(address), c.id);
    assert.equal(address.peerId ? hex(address.peerId.toBytes()) : null, c.first_p2p, c.id);
    assert.equal(address.siteId?.toString() ?? null, c.first_site?.toString() ?? null, c.id);
    assert.equal(address.componentRef ?? null, c.first_component, c.id);
    assert.equal(address.opName ?? null, c.first_op, c.id);
    seen++;
  }
  assert.ok(seen > 0 || cases('addresses').length === 0);
});

test('malformed binaries, texts and payloads are refused with the variant of the reference', () => {
  for (const kind of ['bad_binary', 'bad_text', 'bad_payload']) {
    for (const c of addresses.get(kind) ?? []) {
      const run = kind === 'bad_binary' ? () => Address.fromBytes(unhex(c.input))
        : kind === 'bad_text' ? () => Address.fromText(c.input_text) : () => readAddress(new Reader(unhex(c.payload)));
      const error = refuses(run, kind === 'bad_payload' ? 'E_DECODE' : CODE_OF[c.error.variant], c.id);
      if (c.error?.code !== undefined) assert.equal(error.details.code, c.error.code, c.id);
      if (c.error?.protocol !== undefined) assert.equal(error.details.protocol, c.error.protocol, c.id);
      if (c.error?.text !== undefined) assert.equal(error.details.text, c.error.text, c.id);
      if (kind === 'bad_text' && c.error?.value !== undefined) assert.equal(error.details.value, c.error.value, c.id);
    }
  }
});

test('builders append, and refuse what has no encoding', () => {
  const address = new Address().p2p(PeerId.fromU64(1)).site(17);
  assert.equal(address.toString(), '/p2p/16uZAbWC1AJvL/site/17');
  refuses(() => new Address().component(-1), 'E_INVALID_VALUE', 'component -1');
  refuses(() => new Address().site(1n << 64n), 'E_INVALID_VALUE', 'site 2^64');
  refuses(() => new Address().op('\ud800'), 'E_UTF8', 'half a surrogate pair');
});
