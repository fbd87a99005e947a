// The node in JavaScript, over the real wasm: install, delivery, components, errors, memory, disposal.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { bytes, compileIn, createRuntime, defineComponent, defineModule, install, installIn, loadRuntime, PeerId, syscalls, tensor } from '../../js/index.js';
import { drive } from '../../js/driver.js';

const artifact = (name) => readFileSync(`tests/vectors/artifacts/${name}.compiled.pb`);
const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const self = PeerId.fromU64(1);
const passOne = (runtime, options = {}) => installIn(runtime, { peerId: self, artifact: artifact('pass_one'), targets: ['PassOne'], ...options });
const events = (steps) => steps.filter((s) => s.type === 'AppEvent').map((s) => [s.topic, [...s.valueBytes]]);
const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

test('the module imports two functions of ours and nothing else', () => {
  const imports = WebAssembly.Module.imports(module).map((i) => `${i.module}.${i.name}`);
  assert.deepEqual(imports.filter((name) => !['bbw.host_dispatch', 'bbw.host_time_is_up', 'bbw.host_log', 'bbw.host_read'].includes(name)), []);
});

test('a runtime is made from a module, bytes, a URL or a response; anything else is refused', async () => {
  const file = readFileSync('build/wasm/bb.wasm');
  const response = (type) => new Response(file, { headers: { 'content-type': type } });
  for (const source of [undefined, module, file, file.buffer.slice(file.byteOffset, file.byteOffset + file.length), new URL('../../build/wasm/bb.wasm', import.meta.url), response('application/wasm'), response('')]) {
    const runtime = await loadRuntime(source);
    assert.equal(runtime.isPoisoned, false);
  }
  await assert.rejects(loadRuntime(new Response('<html>', { headers: { 'content-type': 'text/html' } })), { code: 'E_ABI' });
  await assert.rejects(loadRuntime(new Response('', { status: 404 })), { code: 'E_ABI' });
  const empty = new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  assert.throws(() => createRuntime(empty), { code: 'E_ABI' });
});

test('data goes in, steps come out', async () => {
  const node = await install({ peerId: self, artifact: artifact('pass_one'), targets: ['PassOne'], wasm: module });
  assert.deepEqual(node.modules.map((name) => name.split('#')[0]), ['PassOne']);
  assert.deepEqual(node.poll(), []);
  assert.equal(node.isPending, true);
  node.deliverEvent('PassOne', 'x', Uint8Array.of(1, 2, 3));
  assert.equal(node.isPending, false);
  assert.deepEqual(events(node.poll()).at(-1), ['y', [1, 2, 3]]);
  assert.equal(typeof node.invoke('PassOne', { x: bytes('hi') }), 'bigint');
  assert.deepEqual(events(node.poll()).at(-1), ['y', [104, 105]]);
  const stats = node.stats();
  assert.deepEqual([stats.ingressBytesInFlight, stats.executions, stats.graphSlots], [0, 0, 1]);
  node.dispose();
});

test('errors have the name and the fields of the variant', () => {
  const runtime = createRuntime(module);
  const node = passOne(runtime);
  assert.throws(() => node.deliverEvent('Nope', 'x', bytes('')), (e) => e.code === 'E_UNKNOWN_MODULE' && e.details.module === 'Nope' && e.details.available.length === 1);
  assert.throws(() => node.deliverInbound(PeerId.fromU64(2), Uint8Array.of(0xff)), { code: 'E_INVALID_ENVELOPE' });
  assert.throws(() => node.complete(77n, []), { code: 'E_UNKNOWN_COMMAND' });
  assert.throws(() => passOne(runtime, { targets: [] }), { code: 'E_INST_EMPTY_TARGETS' });
  assert.throws(() => passOne(runtime, { targets: ['Other'] }), (e) => e.code === 'E_INST_UNKNOWN_TARGET');
  assert.throws(() => passOne(runtime, { artifact: Uint8Array.of(1, 2) }), { code: 'E_INST_MODEL_DECODE' });
  assert.throws(() => passOne(runtime, { artifact: readFileSync('tests/vectors/artifacts/broken_version_v2.pb') }), { code: 'E_INST_VERSION' });
  assert.deepEqual(events((node.deliverEvent('PassOne', 'x', bytes('a')), node.poll())).at(-1), ['y', [97]]);
  node.dispose();
});

test('a disposed node answers nothing, twice is fine, and its memory is free again', () => {
  const runtime = createRuntime(module);
  const cycle = () => {
    const node = passOne(runtime);
    node.deliverEvent('PassOne', 'x', new Uint8Array(1000));
    node.poll();
    node.dispose();
    node.dispose();
    assert.throws(() => node.poll(), { code: 'E_STATE' });
    assert.throws(() => node.deliverEvent('PassOne', 'x', bytes('')), { code: 'E_STATE' });
    return runtime.memoryUsed;
  };
  const first = cycle();
  for (let i = 0; i < 20; i++) assert.equal(cycle(), first);
});

test('several nodes in one runtime do not notice each other', () => {
  const runtime = createRuntime(module);
  const [a, b] = [passOne(runtime), passOne(runtime, { peerId: PeerId.fromU64(2) })];
  a.deliverEvent('PassOne', 'x', bytes('a'));
  assert.deepEqual(events(b.poll()), []);
  assert.equal(events(a.poll()).length > 0, true);
  a.dispose();
  b.deliverEvent('PassOne', 'x', bytes('b'));
  assert.deepEqual(events(b.poll()).at(-1), ['y', [98]]);
  b.dispose();
});

test('an instance with a memory cap answers E_NOMEM and goes on', () => {
  const runtime = createRuntime(module, { maxMemoryBytes: 400_000 });
  const node = passOne(runtime);
  assert.throws(() => node.deliverEvent('PassOne', 'x', new Uint8Array(1_000_000)), (e) => ['E_NOMEM', 'E_ALLOCATION_FAILED'].includes(e.code));
  node.deliverEvent('PassOne', 'x', bytes('ok'));
  assert.deepEqual(events(node.poll()).at(-1), ['y', [111, 107]]);
  node.dispose();
});

/** The quickstart module with components written here. */
function quickstart(methods, more = {}) {
  const components = [
    defineComponent({ typeName: 'NoopDataLoader', role: 'DataSource', nextBatch: methods.nextBatch }),
    defineComponent({ typeName: 'NoopModel', role: 'Model', forward: methods.forward }),
  ];
  return installIn(createRuntime(module), { peerId: self, artifact: artifact('quickstart'), targets: ['Quickstart'], components, ...more });
}

test('components in JavaScript answer role operators, now or later', async () => {
  for (const wrap of [(x) => x, async (x) => x]) {
    const node = quickstart({
      nextBatch: () => wrap([tensor([1, 2, 3, 4], [2, 2]), tensor([0, 1])]),
      forward: ([x], context) => {
        assert.deepEqual([x.dims, context.opType], [[2, 2], 'Forward']);
        return wrap(tensor(x.data.map((v) => v * 10), x.dims));
      },
    });
    assert.deepEqual(node.components.map((c) => [c.typeName, c.roles]).sort(), [['NoopDataLoader', ['DataSource']], ['NoopModel', ['Model']]]);
    const seen = [];
    node.onWake = () => seen.push(...node.poll());
    node.invoke('Quickstart', {});
    await settle();
    await settle();
    const [[topic, payload]] = events(seen);
    assert.equal(topic, 'prediction');
    assert.ok(Buffer.from(payload).includes(Buffer.from(Float32Array.of(10, 20, 30, 40).buffer)));
    assert.equal(node.stats().pendingAsync, 0);
    node.dispose();
  }
});

test('a component that throws or rejects fails its operator; the node goes on', async () => {
  for (const forward of [() => { throw new Error('no luck'); }, async () => { throw new Error('no luck'); }]) {
    const node = quickstart({ nextBatch: () => [tensor([1]), tensor([0])], forward });
    const seen = [];
    node.onWake = () => seen.push(...node.poll());
    node.invoke('Quickstart', {});
    await settle();
    const failed = seen.filter((s) => s.type === 'OpFailed');
    assert.equal(failed.length, 1);
    assert.match(failed[0].detail, /no luck/);
    assert.equal(node.stats().pendingAsync, 0);
    node.dispose();
  }
});

test('a component that calls into its node is refused with E_BUSY', () => {
  let code;
  const node = quickstart({
    nextBatch: () => {
      try { node.poll(); } catch (error) { code = error.code; }
      return [tensor([1]), tensor([0])];
    },
    forward: ([x]) => x,
  });
  node.invoke('Quickstart', {});
  assert.equal(events(node.poll()).at(-1)[0], 'prediction');
  assert.equal(code, 'E_BUSY');
  node.dispose();
});

test('a promise that is kept after the node was disposed harms nobody', async () => {
  let keep;
  const node = quickstart({ nextBatch: () => new Promise((resolve) => { keep = resolve; }), forward: ([x]) => x });
  node.invoke('Quickstart', {});
  node.poll();
  assert.equal(node.stats().pendingAsync, 1);
  node.dispose();
  keep([tensor([1]), tensor([0])]);
  await settle();
});

test('the driver polls when something comes in, fires timers, and stops', async () => {
  const runtime = createRuntime(module);
  const node = installIn(runtime, { peerId: self, artifact: artifact('timers'), targets: ['Timers'] });
  for (const schedule of ['microtask', 'timer', 'animation-frame']) {
    const seen = [];
    const driver = drive(node, { schedule, onStep: (step) => seen.push(step) });
    try {
      node.deliverEvent('Timers', 'x', bytes('go'));
      for (let i = 0; i < 1000 && !events(seen).some(([topic]) => topic === 'after'); i++) await settle();
      assert.ok(events(seen).some(([topic]) => topic === 'after'), schedule); // After, 1,000 ns
    } finally {
      driver.stop(); // its intervals would keep the process alive
    }
    driver.stop();
    assert.equal(driver.isStopped, true);
  }
  node.dispose();
});

test('the driver is an async iterator that ends with stop and throws the reason of its signal', async () => {
  const node = passOne(createRuntime(module));
  const driver = drive(node);
  const seen = [];
  node.deliverEvent('PassOne', 'x', bytes('a'));
  for await (const step of driver) {
    if (step.type !== 'AppEvent') continue;
    seen.push(step.topic);
    if (step.topic === 'y') driver.stop();
  }
  assert.equal(seen.at(-1), 'y');
  const abort = new AbortController();
  const other = drive(node, { signal: abort.signal });
  setTimeout(() => abort.abort(new Error('enough')), 5);
  await assert.rejects(async () => { for await (const step of other) void step; }, /enough/);
  node.dispose();
});

test('steps that nobody reads stop the polling, not the memory', async () => {
  const node = passOne(createRuntime(module));
  const driver = drive(node, { stepsMax: 4 });
  const iterator = driver[Symbol.asyncIterator]();
  for (let i = 0; i < 20; i++) node.deliverEvent('PassOne', 'x', Uint8Array.of(i));
  await settle();
  const polls = driver.counters.polls;
  await settle();
  assert.equal(driver.counters.polls, polls);
  const last = [];
  while (last.at(-1) !== 19) {
    const { value } = await iterator.next();
    if (value.type === 'AppEvent' && value.topic === 'y') last.push(value.valueBytes[0]);
  }
  assert.deepEqual(last, [...Array(20).keys()]);
  driver.stop();
  node.dispose();
});

test('every node has random numbers of its own, unless it is given a seed', () => {
  const runtime = createRuntime(module);
  const random = (nodeConfig) => {
    const dice = defineModule('Dice', (g) => g.output('y', syscalls.rngU64(g, g.input('x'))));
    const node = installIn(runtime, { peerId: self, artifact: compileIn(runtime, dice, { permissiveTypes: true }), targets: ['Dice'], nodeConfig });
    node.deliverEvent('Dice', 'x', bytes('?'));
    const [, value] = events(node.poll()).at(-1);
    node.dispose();
    return String(value);
  };
  assert.notEqual(random({}), random({}));
  assert.equal(random({ rngSeed: 5 }), random({ rngSeed: 5 }));
  assert.notEqual(random({ rngSeed: 5 }), random({ rngSeed: 6 }));
});
