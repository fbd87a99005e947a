// The smaller modules: bb-engine.wasm installs and runs what was compiled elsewhere, bb-infer.wasm runs models too; both say what they cannot do. And the relaxed one.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import {
  compile, createRuntime, createSession, createSessionIn, createTrainer, decodeValue, defineComponent, defineModule, denseNetwork, install, isBbwError, loadRuntime, PeerId, slots, tensor, typeHash,
} from '../../js/index.js';
import { mnistCnn } from '../models/models.js';

const engine = new WebAssembly.Module(readFileSync('build/wasm/bb-engine.wasm'));
const infer = new WebAssembly.Module(readFileSync('build/wasm/bb-infer.wasm'));
const whole = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const model = slots.model();
const doubling = defineModule('Doubling', (g) => { g.output('y', model.forward(g, g.input('x'))); });
const compiled = () => compile(doubling, { permissiveTypes: true, bindings: { model: { role: 'Model', type: 'Twice' } } });

test('an artifact runs with components of the host', async () => {
  const twice = defineComponent({ typeName: 'Twice', role: 'Model', forward: ([x]) => ({ type: 'Bytes', bytes: x.bytes.map((b) => 2 * b) }) });
  const node = await install({ artifact: await compiled(), targets: ['Doubling'], peerId: PeerId.fromU64(1), wasm: engine, components: [twice] });
  node.deliverEvent('Doubling', 'x', Uint8Array.of(1, 2, 3));
  const [event] = node.poll().filter((step) => step.type === 'AppEvent' && step.topic === 'y');
  assert.deepEqual([...event.valueBytes], [2, 4, 6]);
  node.dispose();
});

test('what it has not is said by name', async () => {
  const runtime = createRuntime(engine);
  assert.throws(() => createSessionIn(runtime, new Uint8Array(4)), (e) => isBbwError(e, 'E_UNSUPPORTED'));
  await assert.rejects(compile(doubling, { runtime }), (e) => isBbwError(e, 'E_UNSUPPORTED'));
});

test('a model gives the same bits in the module for inference', async () => {
  const image = { data: Float32Array.from({ length: 784 }, (_, i) => Math.sin(i * 0.37)), dims: [1, 1, 28, 28] };
  const results = [];
  for (const wasm of [whole, infer]) {
    const session = await createSession(mnistCnn(), { wasm });
    results.push(session.run({ [session.inputs[0].name]: image })[session.outputs[0].name]);
    session.dispose();
  }
  assert.deepEqual(results[0], results[1]);
});

test('an artifact with a backend runs in the module for inference', async () => {
  const backend = slots.backend();
  const negate = defineModule('Negate', (g) => { g.output('y', backend.neg(g, g.input('x'))); });
  const artifact = await compile(negate, { permissiveTypes: true, bindings: { backend: { role: 'Backend', type: 'bytesandbrains::backends::cpu::CpuBackend' } } });
  const node = await install({ artifact, targets: ['Negate'], peerId: PeerId.fromU64(1), wasm: infer });
  node.deliverEvent('Negate', 'x', tensor([1, -2], [2]));
  const [event] = node.poll().filter((step) => step.type === 'AppEvent' && step.topic === 'y');
  assert.deepEqual([...decodeValue(typeHash('CpuTensor'), event.valueBytes).data], [-1, 2]);
  node.dispose();
});

test('the module for inference trains nothing, and says so', async () => {
  const net = denseNetwork([4, 3]);
  await assert.rejects(createTrainer(net, { loss: 'mse', wasm: infer }), (e) => isBbwError(e, 'E_UNSUPPORTED'));
  await assert.rejects(compile(doubling, { runtime: createRuntime(infer) }), (e) => isBbwError(e, 'E_UNSUPPORTED'));
});

test('the relaxed module is taken when it is asked for and the engine can', async () => {
  const runtime = await loadRuntime(undefined, { simd: 'relaxed' });
  assert.ok(runtime.memoryBytes > 0);
  await assert.rejects(loadRuntime(undefined, { simd: 'fast' }), (e) => isBbwError(e, 'E_ARG'));
});
