// The module without compute: installs and runs what was compiled elsewhere; says what it cannot do.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { compile, createRuntime, createSessionIn, defineComponent, defineModule, install, isBbwError, loadRuntime, PeerId, slots } from '../../js/index.js';

const engine = new WebAssembly.Module(readFileSync('build/wasm/bb-engine.wasm'));
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

test('the relaxed module is taken when it is asked for and the engine can', async () => {
  const runtime = await loadRuntime(undefined, { simd: 'relaxed' });
  assert.ok(runtime.memoryBytes > 0);
  await assert.rejects(loadRuntime(undefined, { simd: 'fast' }), (e) => isBbwError(e, 'E_ARG'));
});
