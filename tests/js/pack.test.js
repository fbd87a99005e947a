// What crosses the wasm boundary: error blocks, step records, calls into JavaScript components.
import assert from 'node:assert/strict';
import test from 'node:test';
import { createDispatch, defineComponent } from '../../js/component.js';
import { BbwError } from '../../js/errors.js';
import { STATUS, STEP } from '../../js/generated/constants.js';
import { Reader, Writer } from '../../js/internal/bytes.js';
import { errorOf, readSteps, unpackList } from '../../js/internal/pack.js';
import { PeerId } from '../../js/peer-id.js';
import { decodeValue, encodeValue, tensor, typeHash } from '../../js/values.js';

/** The block of a struct bbw_error as C lays it out. */
function block(status, fields, offset = 0n) {
  const body = Buffer.from(fields.map(([kind, name, value]) => `${kind}${name}\0${value}\0`).join(''), 'utf8');
  const out = Buffer.alloc(4024);
  out.writeInt32LE(status, 0);
  out.writeUInt32LE(body.length, 4);
  out.writeBigUInt64LE(offset, 8);
  body.copy(out, 24);
  return new Uint8Array(out);
}

test('an error has the name of its status, its fields in camelCase, numbers as numbers, lists as lists', () => {
  const error = errorOf(STATUS.E_INST_UNRESOLVED, block(STATUS.E_INST_UNRESOLVED, [
    ['s', 'slot_name', 'zwölf'], ['u', 'got_bytes', '12'], ['u', 'site_id', '18446744073709551615'], ['l', 'nodes', 'one'], ['l', 'nodes', 'two'],
  ], 7n));
  assert.ok(error instanceof BbwError);
  assert.equal(error.code, 'E_INST_UNRESOLVED');
  assert.deepEqual(error.details, { offset: 7, slotName: 'zwölf', gotBytes: 12, siteId: 18446744073709551615n, nodes: ['one', 'two'] });
  assert.match(error.message, /operators without an implementation.*one; two/);
});

test('a block of another status is not believed, an unknown status has a name', () => {
  assert.deepEqual(errorOf(STATUS.E_NOMEM, block(STATUS.E_ARG, [['s', 'x', 'y']])).details, {});
  assert.equal(errorOf(-9999).code, 'E_-9999');
});

/** @param {number} number @param {(out: Writer) => void} fields */
function record(number, fields) {
  const body = new Writer();
  fields(body);
  const out = new Writer();
  out.u32(number);
  out.u32(8 + body.length);
  out.raw(body.finish());
  return out.finish();
}
/** u64 length, the bytes, padding to 8. */
const padded = (out, bytes) => { out.blob(bytes); out.raw(new Uint8Array((8 - (bytes.length % 8)) % 8)); };
const utf8 = (text) => new TextEncoder().encode(text);

test('step records become objects; unknown ones are skipped; broken sizes are refused', () => {
  const peer = PeerId.fromU64(5);
  const buffer = Buffer.concat([
    record(STEP.APP_EVENT, (o) => { padded(o, utf8('')); padded(o, utf8('loss')); padded(o, Uint8Array.of(1, 2, 3)); }),
    record(9999, (o) => o.u64(1)),
    record(STEP.SEND_ENVELOPE, (o) => { padded(o, peer.toBytes()); o.u64(2); padded(o, Uint8Array.of(1)); padded(o, Uint8Array.of()); padded(o, Uint8Array.of(9)); o.u64(1); }),
    record(STEP.PEER_DOWN, (o) => padded(o, new Uint8Array())),
    record(STEP.OP_COMPLETED, (o) => { o.u64(1n << 40n); o.u64(2); o.u64(2); o.u64(7); o.u64(8); }),
  ]);
  const steps = readSteps(new Uint8Array(buffer));
  assert.deepEqual(steps.map((s) => s.type), ['AppEvent', 'SendEnvelope', 'PeerDown', 'OpCompleted']);
  assert.deepEqual(steps[0], { type: 'AppEvent', moduleName: '', topic: 'loss', valueBytes: Uint8Array.of(1, 2, 3) });
  assert.ok(steps[1].peer.equals(peer));
  assert.deepEqual([steps[1].destPeerAddresses, steps[1].bytes], [[Uint8Array.of(1), Uint8Array.of()], Uint8Array.of(9)]);
  assert.equal(steps[1].isRedelivered, true);
  assert.equal(steps[2].peer, undefined);
  assert.deepEqual(steps[3].sitesWritten, [7n, 8n]);
  const broken = record(STEP.PEER_UP, (o) => padded(o, new Uint8Array()));
  new DataView(broken.buffer).setUint32(4, 4000, true);
  assert.throws(() => readSteps(broken), { code: 'E_ABI' });
});

/** A call as the engine packs it. */
function call({ role = 2, opType, cmdId = 9n, src = new Uint8Array(), inputs = [], attributes = [] }) {
  const out = new Writer();
  out.u32(role);
  out.text32(opType);
  out.u64(1000);
  out.u64(cmdId);
  out.bytes32(src);
  out.u32(2);
  out.u32(inputs.length);
  for (const input of inputs) {
    const { typeHash: hash, payload } = input === undefined ? { typeHash: 0n, payload: new Uint8Array() } : input.payload === undefined ? encodeValue(input) : input;
    out.u32(input === undefined ? 0 : 1);
    out.u64(hash);
    out.bytes32(payload);
  }
  out.u32(attributes.length);
  for (const [name, i, f] of attributes) {
    out.text32(name);
    out.u32(2);
    out.i64(i);
    out.f32(f);
    out.bytes32(new Uint8Array());
    out.u32(0);
  }
  return new Reader(out.finish());
}
const outputs = (reply) => unpackList(new Reader(reply), (input) => decodeValue(input.u64(), input.bytes32()));
const model = (methods) => createDispatch(defineComponent({ typeName: 'M', role: 'Model', ...methods }), methods, () => assert.fail('not async'));

test('a component method gets values and context, and gives values', () => {
  const src = PeerId.fromU64(3);
  const dispatch = model({
    train([x, labels], context) {
      assert.deepEqual([x.type, [...x.data], labels], ['CpuTensor', [1, 2], undefined]);
      assert.deepEqual([context.opType, context.role, context.nowNs, context.outputCount, context.attributes.epochs.i], ['Train', 'Model', 1000n, 2, 3n]);
      assert.ok(context.srcPeer.equals(src));
      return [0.5, { type: 'FedAvgMeta', value: 2n }];
    },
  });
  const { status, reply } = dispatch(call({ opType: 'Train', src: src.toBytes(), inputs: [tensor([1, 2]), undefined], attributes: [['epochs', 3n, 0]] }));
  assert.equal(status, 0);
  assert.deepEqual(outputs(reply), [{ type: 'RawF32', value: 0.5 }, { type: 'FedAvgMeta', value: 2n }]);
});

test('what a method returns becomes a value of the right carrier', () => {
  const of = (result) => outputs(model({ params: () => result })(call({ opType: 'Params' })).reply);
  assert.deepEqual(of(undefined), []);
  assert.deepEqual(of(Float32Array.of(1, 2)), [{ type: 'CpuTensor', dims: [2], data: Float32Array.of(1, 2) }]);
  assert.deepEqual(of(Uint8Array.of(7)), [{ type: 'Bytes', bytes: Uint8Array.of(7) }]);
});

test('a method that throws, is missing or returns nonsense fails the operator with a reason', () => {
  const fail = (methods, opType = 'Params') => {
    const { status, reply } = model(methods)(call({ opType }));
    const input = new Reader(reply);
    return [status, input.text32(), input.text32(), input.text32()];
  };
  assert.deepEqual(fail({ params: () => { throw new Error('no disk'); } }), [STATUS.E_COMPONENT, 'ExecutionFailed', 'component_error', 'no disk']);
  assert.deepEqual(fail({ params: () => { throw new BbwError('E_EMPTY', 'nothing'); } }), [STATUS.E_COMPONENT, 'ExecutionFailed', 'E_EMPTY', 'E_EMPTY: nothing']);
  assert.deepEqual(fail({ params: () => 1 }, 'Forward').slice(0, 2), [STATUS.E_COMPONENT, 'NotRegistered']);
  assert.equal(fail({ params: () => ({ nonsense: 1 }) })[2], 'E_TYPE_MISMATCH');
});

test('a promise parks the operator and completes its command', async () => {
  const seen = [];
  const methods = { params: async () => Float32Array.of(4) };
  const dispatch = createDispatch(defineComponent({ typeName: 'M', role: 'Model', ...methods }), methods, (cmdId, outcome) => seen.push([cmdId, outcome]));
  assert.deepEqual(dispatch(call({ opType: 'Params', cmdId: 77n })), { status: 1 });
  assert.equal(seen[0][0], 77n);
  assert.deepEqual((await seen[0][1]).map((v) => v.typeHash), [typeHash('CpuTensor')]);
});

/** A component whose calls end when they are aborted, in a state that a snapshot holds. */
function resuming() {
  const signals = [];
  const create = () => ({
    forward: (_, { signal }) => new Promise((_, reject) => { signals.push(signal); signal.addEventListener('abort', () => reject(signal.reason)); }),
    save: () => Uint8Array.of(5), restore() {}, resumes: true,
  });
  const type = defineComponent({ typeName: 'M', role: 'Model', create });
  const dispatch = createDispatch(type, type.create(), (_, outcome) => outcome.catch(() => {}));
  const engine = (opType, cmdId, payload = new Uint8Array()) => dispatch(call({ role: 0xffffffff, opType, cmdId, inputs: [{ typeHash: 0n, payload }] }));
  const state = () => unpackList(new Reader(engine('save', 0n).reply), (input) => [input.u64(), input.bytes32()][1])[0];
  return { dispatch, engine, state, signals };
}
const settle = () => new Promise((resolve) => setImmediate(resolve));

test('a call that is made again after a restore can be cancelled, though the one before it had the same number', async () => {
  const { dispatch, engine, state, signals } = resuming();
  dispatch(call({ opType: 'Forward', cmdId: 7n }));
  engine('restore', 0n, state());
  dispatch.commit();
  await settle();
  assert.deepEqual(signals.map((signal) => signal.aborted), [true, false]);
  engine('cancel', 7n);
  await settle();
  assert.deepEqual(signals.map((signal) => signal.aborted), [true, true]);
});

test('a state whose calls are none is refused before anything is restored', () => {
  const { dispatch, engine, state, signals } = resuming();
  dispatch(call({ opType: 'Forward', cmdId: 7n }));
  const good = state(), made = (calls) => {
    const out = new Writer();
    out.u32(calls.length);
    for (const one of calls) out.bytes32(one);
    out.bytes32(Uint8Array.of(5));
    return out.finish();
  };
  const bytesOf = (reader) => reader.view(reader.left).slice();
  const bad = [made([Uint8Array.of(1, 2, 3)]), made([bytesOf(call({ role: 99, opType: 'Forward' }))]), made([bytesOf(call({ role: 0xffffffff, opType: 'restore' }))]), made([1, 2].map(() => bytesOf(call({ opType: 'Forward' })))), Uint8Array.of(...good, 0)];
  for (let cut = 0; cut < good.length; cut++) bad.push(good.slice(0, cut));
  for (const one of bad) {
    assert.equal(engine('restore', 0n, one).status, STATUS.E_COMPONENT);
    dispatch.commit();
  }
  assert.equal(signals.length, 1); // nothing was made again
  assert.deepEqual(engine('restore', 0n, good).status, 0);
  dispatch.commit();
  assert.equal(signals.length, 2);
});

test('a component is checked when it is defined', () => {
  for (const bad of [
    { typeName: '', role: 'Model', forward() {} }, { typeName: 'a|b', role: 'Model', forward() {} }, { typeName: 'M', role: [], forward() {} },
    { typeName: 'M', role: 'Modell', forward() {} }, { typeName: 'M', role: 'Model', forwards() {} }, { typeName: 'M', role: 'Model', forward: 1 }, { typeName: 'M', role: 'Model' },
  ]) assert.throws(() => defineComponent(bad), { code: 'E_ARG' });
  assert.equal(defineComponent({ typeName: 'M', role: ['Model', 'PeerSelector'], forward() {}, sample() {} }).roleBits, 0b100100);
});
