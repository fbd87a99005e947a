// Snapshots through JavaScript: the node goes on elsewhere, components keep their state, a refused restore changes nothing.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { bytes, createRuntime, defineComponent, installIn, PeerId, tensor } from '../../js/index.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const artifact = (name) => readFileSync(`tests/vectors/artifacts/${name}.compiled.pb`);
const events = (steps) => steps.filter((s) => s.type === 'AppEvent').map((s) => [s.topic, [...s.valueBytes]]);
const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

/** A loader that counts its batches, and a model that shows the count. @param {Record<string, any>} [loader] */
function counting(loader = {}, { peer = 1, name = 'quickstart', target = 'Quickstart' } = {}) {
  const components = [
    defineComponent({
      typeName: 'NoopDataLoader',
      role: 'DataSource',
      create() {
        let count = 0;
        return {
          nextBatch: () => [tensor([++count]), tensor([0])],
          save: () => Uint8Array.of(count),
          restore(state) {
            if (state.length !== 1) throw new Error('one byte, please');
            [count] = state;
          },
          ...loader,
        };
      },
    }),
    defineComponent({ typeName: 'NoopModel', role: 'Model', create: () => ({ forward: ([x]) => tensor(x.data) }) }),
  ];
  return installIn(createRuntime(module), { peerId: PeerId.fromU64(peer), artifact: artifact(name), targets: [target], components });
}

const drain = (node) => {
  const seen = [];
  do seen.push(...node.poll()); while (!node.isPending);
  return seen;
};
const round = (node) => {
  node.invoke('Quickstart', {});
  return events(drain(node));
};

test('a node goes on in another instance, with what its components knew', () => {
  const node = counting();
  round(node);
  round(node);
  node.invoke('Quickstart', {}); // still in the queue
  const snapshot = node.snapshot();
  assert.deepEqual(node.snapshot(), snapshot);
  assert.equal(node.incarnation, 0n);
  const expected = drain(node);
  const other = counting();
  round(other);
  other.restore(snapshot);
  assert.equal(other.isPending, false);
  assert.equal(other.incarnation, 1n);
  assert.deepEqual(drain(other), expected);
  assert.deepEqual(round(other), round(node));
  other.restore(other.snapshot());
  assert.equal(other.incarnation, 2n);
  assert.deepEqual(round(other), round(node));
  node.dispose();
  other.dispose();
});

test('damaged, newer and foreign snapshots are refused and change nothing', () => {
  const node = counting();
  round(node);
  const before = node.snapshot();
  const edited = (place, value) => Uint8Array.from(before, (byte, i) => (i === place ? value : byte));
  assert.throws(() => node.restore(before.subarray(0, 30)), (e) => e.code === 'E_SNAP_DECODE' && e.details.detail === 'the snapshot is truncated');
  assert.throws(() => node.restore(edited(before.length - 1, before.at(-1) ^ 1)), (e) => e.details.detail === 'the checksum is wrong');
  assert.throws(() => node.restore(edited(4, 9)), (e) => e.code === 'E_RESTORE_SPEC_VERSION' && Number(e.details.got) === 9 && Number(e.details.expected) === 1);
  const stranger = counting({}, { peer: 2 }), elsewhere = counting({}, { name: 'pass_one', target: 'PassOne' });
  assert.throws(() => node.restore(stranger.snapshot()), (e) => e.code === 'E_RESTORE_MISMATCH' && e.details.what === 'peer_id');
  assert.throws(() => node.restore(elsewhere.snapshot()), (e) => e.code === 'E_RESTORE_MISMATCH' && e.details.what === 'artifact');
  assert.deepEqual(node.snapshot(), before);
  assert.equal(node.incarnation, 0n);
  for (const one of [node, stranger, elsewhere]) one.dispose();
  assert.throws(() => node.snapshot(), { code: 'E_STATE' });
});

test('a component that refuses its state keeps the one that it has', () => {
  const node = counting({ save: () => bytes('too long').bytes });
  round(node);
  const bad = node.snapshot();
  const other = counting();
  const [[, first]] = round(other);
  assert.throws(() => other.restore(bad), (e) => e.code === 'E_RESTORE_COMPONENT' && e.details.typeName === 'NoopDataLoader' && e.details.detail === 'one byte, please');
  assert.equal(other.incarnation, 0n);
  const same = counting();
  round(same);
  assert.deepEqual(round(other), round(same)); // it counts on from where it was
  assert.notDeepEqual(round(other)[0][1], first);
  const careless = counting({ save: () => 'text' });
  assert.throws(() => careless.snapshot(), (e) => e.code === 'E_RESTORE_COMPONENT' && e.details.typeName === 'NoopDataLoader');
  for (const one of [node, other, same, careless]) one.dispose();
});

test('an operator that waits for a promise waits on; the promise of the life before answers nobody', async () => {
  let answer;
  const node = counting({ nextBatch: () => new Promise((resolve) => { answer = () => resolve([tensor([7]), tensor([0])]); }) });
  node.invoke('Quickstart', {});
  const [{ cmdId }] = drain(node).filter((s) => s.type === 'AsyncSuspended');
  node.restore(node.snapshot());
  answer();
  await settle();
  drain(node);
  assert.equal(node.stats().pendingAsync, 1);
  node.complete(cmdId, [tensor([8]), tensor([0])]);
  assert.equal(events(drain(node)).length, 1);
  node.dispose();
});
