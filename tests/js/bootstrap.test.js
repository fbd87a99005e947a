// Bootstraps through JavaScript: recorded with a module, compiled, run by request, and what waits for them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { bytes, compileIn, createRuntime, defineComponent, defineModule, denseNetwork, installIn, Module, PeerId, slots, syscalls, tensor } from '../../js/index.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const self = PeerId.fromU64(1);
const names = (steps) => steps.filter((s) => ['AppEvent', 'BootstrapComplete', 'WaitingOnBootstrap', 'OpFailed'].includes(s.type)).map((s) => s.topic ?? s.type);
/** Polls until nothing is left to do. */
function run(node) {
  const steps = [];
  do steps.push(...node.poll()); while (!node.isPending);
  return steps;
}

/** Loads parameters before the body runs. */
class Warm extends Module {
  model = slots.model();
  body(g) { g.output('y', this.model.params(g, g.input('x'))); }
  bootstrap(g) {
    const loaded = this.model.loadParameters(g, g.input('start'));
    syscalls.appNotify(g, 'warm', syscalls.onTrigger(g, loaded));
  }
}

function warmNode() {
  const runtime = createRuntime(module);
  const artifact = compileIn(runtime, new Warm(), { bindings: { model: { role: 'Model', type: 'OnnxModel' } } });
  return installIn(runtime, { peerId: self, artifact, targets: ['Warm'], config: { model: denseNetwork([2, 2]) } });
}

test('a bootstrap runs before what was delivered after it', () => {
  const node = warmNode();
  assert.deepEqual(node.bootstraps, [{ target: 'Warm__bootstrap', isDone: false, isSlot: false }]);
  assert.equal(node.bootstrapStatus, 'Idle');
  node.runBootstrap([{ target: 'Warm__bootstrap', inputs: { start: tensor([1, 2, 3, 4, 5, 6]) } }]);
  assert.equal(node.bootstrapStatus, 'WaitingForInput');
  assert.equal(node.isPending, false);
  node.deliverEvent('Warm', 'x', bytes('go'));
  const steps = run(node);
  const order = names(steps).filter((name) => name !== 'PassThrough');
  assert.ok(order.indexOf('BootstrapComplete') >= 0 && order.indexOf('BootstrapComplete') < order.lastIndexOf('y'), order.join(' '));
  assert.ok(order.includes('warm'));
  const y = steps.filter((s) => s.type === 'AppEvent' && s.topic === 'y').at(-1);
  assert.ok(Buffer.from(y.valueBytes).includes(Buffer.from(Float32Array.of(1, 2, 3, 4, 5, 6).buffer)), 'the body sees what the bootstrap loaded');
  assert.deepEqual([node.bootstraps, node.bootstrapStatus], [[{ target: 'Warm__bootstrap', isDone: true, isSlot: false }], 'Idle']);
  assert.equal(node.stats().ingressBytesInFlight, 0);
  node.dispose();
});

test('requests are taken all or none, each refusal with its fields', () => {
  const node = warmNode();
  const target = 'Warm__bootstrap', start = tensor(new Float32Array(6));
  const refuses = (requests, code, details) => assert.throws(() => node.runBootstrap(requests), (error) => {
    assert.deepEqual([error.code, { ...error.details }], [code, details]);
    return true;
  });
  refuses([{ target: 'Nope' }], 'E_BOOT_UNKNOWN_TARGET', { targetName: 'Nope', available: [target] });
  refuses([{ target }], 'E_BOOT_MISSING_INPUT', { targetName: target, inputName: 'start' });
  refuses([{ target, inputs: { start, more: start } }], 'E_BOOT_UNKNOWN_INPUT', { targetName: target, inputName: 'more', declared: ['start'] });
  refuses([{ target, inputs: { start } }, { target: 'Nope' }], 'E_BOOT_UNKNOWN_TARGET', { targetName: 'Nope', available: [target] });
  assert.equal(node.bootstrapStatus, 'Idle'); // the good one of the last pair was not queued
  assert.equal(node.stats().ingressBytesInFlight, 0);
  node.runBootstrap([{ target, inputs: { start } }]);
  refuses([{ target, inputs: { start } }], 'E_BOOT_ALREADY_QUEUED', { targetName: target });
  run(node);
  node.runBootstrap([{ target, inputs: { start } }]); // when it is over it may run again
  node.dispose();
  assert.throws(() => node.runBootstrap(), { code: 'E_STATE' });
});

test('an input beyond the byte budget is refused with what is left of it', () => {
  const runtime = createRuntime(module);
  const artifact = compileIn(runtime, new Warm(), { bindings: { model: { role: 'Model', type: 'OnnxModel' } } });
  const node = installIn(runtime, { peerId: self, artifact, targets: ['Warm'], config: { model: denseNetwork([2, 2]) }, nodeConfig: { ingressByteBudget: 100 } });
  assert.throws(() => node.runBootstrap([{ target: 'Warm__bootstrap', inputs: { start: new Uint8Array(101) } }]), (error) => {
    assert.deepEqual([error.code, { ...error.details }], ['E_BOOT_ALLOCATION_FAILED', { targetName: 'Warm__bootstrap', byteCount: 101, budgetRemaining: 100 }]);
    return true;
  });
  node.dispose();
});

test('a bootstrap that waits for a promise holds deliveries back until it is over', async () => {
  const runtime = createRuntime(module);
  const data = slots.dataSource();
  const preload = defineModule('Preload', (g) => g.output('y', g.input('x')), (g) => {
    const [batch] = data.nextBatch(g);
    syscalls.appNotify(g, 'loaded', syscalls.onTrigger(g, batch));
  });
  const artifact = compileIn(runtime, preload, { bindings: { data: { role: 'DataSource', type: 'Slow' } } });
  let release;
  const slow = defineComponent({ typeName: 'Slow', role: 'DataSource', nextBatch: () => new Promise((resolve) => { release = () => resolve([tensor([1]), tensor([0])]); }) });
  const node = installIn(runtime, { peerId: self, artifact, targets: ['Preload'], components: [slow] });
  node.runBootstrap(); // every target without inputs
  node.deliverEvent('Preload', 'x', bytes('early'));
  const before = run(node);
  assert.deepEqual(names(before), ['WaitingOnBootstrap']);
  assert.notEqual(node.bootstrapStatus, 'Idle');
  assert.deepEqual(run(node).filter((s) => s.type === 'WaitingOnBootstrap'), []); // said once
  release();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(node.isPending, false); // the completion woke the node
  const after = names(run(node));
  assert.ok(after.includes('BootstrapComplete') && after.includes('loaded'), after.join(' '));
  assert.ok(after.indexOf('BootstrapComplete') < after.lastIndexOf('y'), after.join(' '));
  assert.deepEqual([node.bootstrapStatus, node.bootstraps], ['Idle', [{ target: 'Preload__bootstrap', isDone: true, isSlot: false }]]);
  node.runBootstrap(); // nothing is left to do
  assert.equal(node.bootstrapStatus, 'Idle');
  node.dispose();
});

test('a bootstrap that fails is over, but not done', () => {
  const runtime = createRuntime(module);
  const data = slots.dataSource();
  const broken = defineModule('Broken', (g) => g.output('y', g.input('x')), (g) => void data.nextBatch(g));
  const artifact = compileIn(runtime, broken, { bindings: { data: { role: 'DataSource', type: 'Bad' } } });
  const bad = defineComponent({ typeName: 'Bad', role: 'DataSource', nextBatch: () => { throw new Error('no disk'); } });
  const node = installIn(runtime, { peerId: self, artifact, targets: ['Broken'], components: [bad] });
  node.runBootstrap();
  const steps = run(node);
  assert.match(steps.find((s) => s.type === 'OpFailed').detail, /no disk/);
  assert.deepEqual([node.bootstrapStatus, node.bootstraps], ['Idle', [{ target: 'Broken__bootstrap', isDone: false, isSlot: false }]]);
  node.dispose();
});
