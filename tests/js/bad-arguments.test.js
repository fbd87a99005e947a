// Arguments of the wrong kind: refused with a code and the field, nothing is changed, and the runtime lives on.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { compileIn, createModelIn, createRuntime, defineComponent, defineModule, denseNetwork, encodeValue, installIn, PeerId, slots, u64 } from '../../js/index.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const echo = defineModule('Echo', (g) => g.output('out', g.input('in')));
const echoIn = (runtime, more = {}) => installIn(runtime, { peerId: PeerId.fromU64(1), artifact: compileIn(runtime, echo), targets: ['Echo'], ...more });
/** A node whose model is a component that answers with `forward`. */
function withComponent(forward, nodeConfig = {}) {
  const runtime = createRuntime(module), model = slots.model();
  const artifact = compileIn(runtime, defineModule('M', (g) => g.output('y', model.forward(g, g.input('x')))), { bindings: { model: { role: 'Model', type: 'Mine' } }, permissiveTypes: true });
  const node = installIn(runtime, { peerId: PeerId.fromU64(1), artifact, targets: ['M'], nodeConfig, components: [defineComponent({ typeName: 'Mine', role: 'Model', forward })] });
  node.deliverEvent('M', 'x', new Uint8Array(1));
  return node;
}

test('a model takes a Float32Array and nothing else', () => {
  const runtime = createRuntime(module), model = createModelIn(runtime, denseNetwork([4, 3, 2]));
  for (const x of [[9, 9, 9, 9], new Float64Array(4), new Uint8Array(4), { length: 2 ** 30 }, undefined]) assert.throws(() => model.forward(x), { code: 'E_ARG' });
  for (const x of [{ length: model.paramCount }, new Float64Array(model.paramCount)]) assert.throws(() => model.load(x), { code: 'E_ARG' });
  assert.equal(model.forward(new Float32Array(4)).length, 2);
});

test('values whose parts are of the wrong kind are refused before the engine sees them', () => {
  const node = echoIn(createRuntime(module));
  for (const bytes of [70000, 'hello', [1, 2], undefined, { bytes: new Uint8Array(1), count: 900000 }]) {
    assert.throws(() => node.deliverEvent('Echo', 'in', { type: 'Bytes', bytes }), { code: 'E_ARG' });
    assert.throws(() => encodeValue({ type: 'Bytes', bytes }), { code: 'E_ARG' });
  }
  for (const value of [null, 5, { type: 'Hits', hits: null }, { type: 'Hits', hits: [null] }, { type: 'PeerId', peer: 5 }, { type: 'U64', value: -1n }, { type: 'RawU32', value: NaN },
    { type: 'CpuTensor', dims: [2], data: new Float64Array(2) }, { type: 'F32Slice', data: [1] }]) assert.throws(() => encodeValue(value), { code: 'E_ARG' });
  for (const dims of [[1e15], [-1], [2]]) assert.throws(() => encodeValue({ type: 'CpuTensor', dims, data: new Float32Array(1) }), { code: 'E_SHAPE' });
  node.deliverEvent('Echo', 'in', { type: 'Bytes', bytes: new ArrayBuffer(3) });
  assert.equal(node.poll().find((s) => s.type === 'AppEvent').valueBytes.length, 3);
});

test('two gigabytes are refused, and the runtime lives on', () => {
  const runtime = createRuntime(module), node = echoIn(runtime), big = new Uint8Array(2 ** 31);
  for (const call of [() => node.deliverInbound(PeerId.fromU64(2), big), () => node.deliverEvent('Echo', 'in', big), () => node.invoke('Echo', { in: big.subarray(8) }),
    () => createModelIn(runtime, big), () => compileIn(runtime, big.subarray(8))]) assert.throws(call, { code: 'E_OVERSIZE_PAYLOAD' });
  assert.equal(runtime.isPoisoned, false);
  node.deliverEvent('Echo', 'in', new Uint8Array(1));
});

test('a promise that rejects with anything ends its execution', async () => {
  for (const thrown of [new Error('\ud800x'), { toString() { throw new Error('mine'); } }, Object.create(null)]) {
    const node = withComponent(() => Promise.reject(thrown));
    node.poll();
    await new Promise((resolve) => setTimeout(resolve, 1));
    assert.ok(node.poll().some((s) => s.type === 'OpFailed'));
    assert.deepEqual([node.stats().pendingAsync, node.stats().executions], [0, 0]);
  }
});

test('numbers that fit no u64 are refused with the field', () => {
  const runtime = createRuntime(module), node = echoIn(runtime);
  for (const value of [-1, NaN, 2 ** 64, 1.5, 'x', null, -1n, 2n ** 64n]) {
    assert.throws(() => node.setConfig({ cycleOpBudget: value }), (e) => e.code === 'E_ARG' && e.details.field === 'cycleOpBudget');
    assert.throws(() => echoIn(runtime, { nodeConfig: { envelopeCaps: { maxSlotFills: value } } }), (e) => e.code === 'E_ARG' && e.details.field === 'envelopeCaps.maxSlotFills');
    assert.throws(() => u64(value), { code: 'E_ARG' });
    assert.throws(() => node.tick(value), (e) => e.code === 'E_ARG' && e.details.field === 'nowNs');
  }
  for (const maxMemoryBytes of [2 ** 32 + 70000, -1, NaN, 'x']) assert.throws(() => createRuntime(module, { maxMemoryBytes }), { code: 'E_ARG' });
});

test('results of a component have one cap, at once and later', async () => {
  for (const answer of [(x) => x, async (x) => x]) {
    for (const [result, code] of [[new Uint8Array(2000), 'E_OVERSIZE_PAYLOAD'], [Array(1e5).fill(1), 'E_LIMIT']]) {
      const node = withComponent(() => answer(result), { maxCompletionResultBytes: 1000 });
      const steps = node.poll();
      await new Promise((resolve) => setTimeout(resolve, 1));
      const failed = [...steps, ...node.poll()].filter((s) => s.type === 'OpFailed');
      assert.equal(failed.length, 1);
      assert.match(failed[0].detail, new RegExp(code));
    }
  }
});

test('what must be text, a list or a known name says so', () => {
  const runtime = createRuntime(module), node = echoIn(runtime), one = new Uint8Array(1);
  const field = (name) => (e) => e.code === 'E_ARG' && e.details.field === name;
  assert.throws(() => node.deliverEvent(5, 'in', one), field('module'));
  assert.throws(() => node.deliverEvent('Echo', undefined, one), field('input'));
  for (const inputs of [5, null, undefined, one]) assert.throws(() => node.invoke('Echo', inputs), field('inputs'));
  assert.throws(() => echoIn(runtime, { targets: 'Echo' }), field('targets'));
  assert.throws(() => compileIn(runtime, echo, { routing: 'toString' }), { code: 'E_ARG' });
  assert.throws(() => echoIn(runtime, { nodeConfig: { nope: 1 } }), field('nope'));
  assert.throws(() => node.setConfig({ nope: 1 }), field('nope'));
});
