// The node's other methods through JavaScript: peers and addresses, phases, limits that change, clearing. C tests have the rules; these the way.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { Address, bytes, compileIn, createRuntime, defineComponent, defineModule, installIn, PeerId, readSnapshotInfo, slots, syscalls } from '../../js/index.js';

const runtime = createRuntime(new WebAssembly.Module(readFileSync('build/wasm/bb.wasm')));
const [self, B, C] = [1, 2, 3].map((n) => PeerId.fromU64(n));
const topics = (steps) => steps.filter((s) => s.type === 'AppEvent').map((s) => s.topic);
const echo = (body = (g) => g.output('y', g.input('x')), more = {}) => {
  const artifact = compileIn(runtime, defineModule('Echo', body), { permissiveTypes: true });
  return installIn(runtime, { peerId: self, artifact, targets: ['Echo'], ...more });
};

test('peers that are known, their addresses and their health', () => {
  const node = echo();
  assert.deepEqual(node.knownPeers.map(String), [String(self)]);
  node.addPeer(B, ['/site/5']);
  node.addPeer(C);
  assert.deepEqual(node.knownPeers.map(String), [self, B, C].map(String));
  assert.deepEqual(node.peerAddresses(B).map(String), ['/site/5']);
  assert.equal(node.peerAddresses(PeerId.fromU64(9)), undefined);
  assert.equal(node.peerHealth(B), undefined);
  node.tick(5n);
  for (let i = 0; i < 5; i++) {
    node.sendFailed(B, 0n, 'no route');
    node.poll();
  }
  assert.deepEqual(node.peerHealth(B), { consecutiveFailures: 5, lastEventNs: 5n, isDown: true });
  assert.equal(node.peerHealth(C), undefined);
  node.dropPeer(C);
  assert.deepEqual(node.knownPeers.map(String), [self, B].map(String));
  node.dispose();
});

test('addresses of the node come and go', () => {
  const node = echo();
  const own = () => (node.peerAddresses(self) ?? []).map(String);
  const [first] = own();
  assert.equal(first, String(new Address().p2p(self)));
  node.addLocalAddress('/site/1');
  node.addLocalAddress('/site/1');
  assert.deepEqual(own(), [first, '/site/1']);
  node.forgetLocalAddress(first);
  node.forgetLocalAddress(first);
  assert.deepEqual(own(), ['/site/1']);
  assert.throws(() => node.addLocalAddress('nonsense'), { code: 'E_MALFORMED_STRING' });
  node.dispose();
});

test('where a peer was seen is kept beside what is known of it; room for its envelopes may be set', () => {
  const node = echo();
  node.addPeer(B, ['/site/5']);
  node.observePeer(B, '/site/6');
  node.observePeer(B, '/site/5');
  node.observePeer(C, '/site/7'); // makes it known
  assert.deepEqual(node.peerAddresses(B).map(String), ['/site/5', '/site/6']);
  assert.deepEqual(node.peerAddresses(C).map(String), ['/site/7']);
  assert.throws(() => node.observePeer(self, '/site/8'), { code: 'E_ARG' });
  assert.throws(() => node.observePeer(B, 'nonsense'), { code: 'E_MALFORMED_STRING' });
  node.poll();
  assert.equal(node.isPending, true);
  node.setSendRoom(B, 0);
  assert.equal(node.isPending, true); // nothing to do
  node.setSendRoom(B, 1000);
  assert.equal(node.isPending, false);
  node.setSendRoom(B);
  for (const bad of [-1, 1.5, '8', null, 2n ** 64n]) assert.throws(() => node.setSendRoom(B, bad), (e) => e.code === 'E_ARG', String(bad));
  node.dispose();
});

test('a lifecycle phase runs the operators that wait for it, and only those', () => {
  const node = echo((g) => {
    g.output('y', g.input('x'));
    syscalls.appNotify(g, 'resumed', syscalls.lifecyclePhase(g, 'resume'));
    syscalls.appNotify(g, 'paused', syscalls.lifecyclePhase(g, 'pause'));
  });
  node.poll();
  assert.equal(node.isPending, true);
  node.fireLifecycle('resume');
  assert.equal(node.isPending, false);
  const steps = node.poll();
  assert.deepEqual(topics(steps).filter((t) => /ed$/.test(t)), ['resumed']);
  assert.deepEqual(steps.filter((s) => s.type === 'LifecycleFired').map((s) => s.phase), ['resume']);
  node.dispose();
});

test('limits change while the node runs; a bad one changes nothing', () => {
  const node = echo();
  node.deliverEvent('Echo', 'x', new Uint8Array(10));
  node.setConfig({ maxAppEventBytes: 4, envelopeCaps: { maxTotalBytes: 8 } });
  assert.throws(() => node.deliverEvent('Echo', 'x', new Uint8Array(5)), (e) => e.code === 'E_OVERSIZE_PAYLOAD');
  assert.throws(() => node.deliverInbound(B, new Uint8Array(9)), (e) => e.details.cause === 'E_ENV_OVERSIZE');
  assert.throws(() => node.setConfig({ maxAppEventBytes: 1000, busCapacity: 0 }), { code: 'E_ARG' });
  assert.throws(() => node.setConfig({ maxAppEventBytes: 1000, noSuch: 1 }), { code: 'E_ARG' });
  assert.throws(() => node.deliverEvent('Echo', 'x', new Uint8Array(5)), { code: 'E_OVERSIZE_PAYLOAD' });
  node.setConfig({ edge: true });
  node.deliverEvent('Echo', 'x', new Uint8Array(65_536));
  assert.throws(() => node.deliverEvent('Echo', 'x', new Uint8Array(65_537)), { code: 'E_OVERSIZE_PAYLOAD' });
  assert.equal(topics(node.poll()).filter((t) => t === 'y').length, 2); // what was held already stayed
  node.dispose();
});

test('clear forgets what waits and keeps the rest', () => {
  const node = echo((g) => g.output('y', syscalls.gate(g, g.input('x'), syscalls.after(g, g.input('t'), { delayNs: 1000 }))));
  node.addPeer(B);
  node.invoke('Echo', { x: bytes('a'), t: bytes('b') });
  node.poll();
  node.deliverEvent('Echo', 'x', bytes('c'));
  assert.ok(node.stats().executions > 0 && node.nextTimerNs !== undefined && node.stats().ingressDepth > 0);
  node.clear();
  const { executions, ingressDepth, ingressBytesInFlight, timers } = node.stats();
  assert.deepEqual({ executions, ingressDepth, ingressBytesInFlight, timers }, { executions: 0, ingressDepth: 0, ingressBytesInFlight: 0, timers: 0 });
  assert.equal(node.nextTimerNs, undefined);
  assert.deepEqual(node.knownPeers.map(String), [self, B].map(String));
  node.invoke('Echo', { x: bytes('a'), t: bytes('b') });
  node.poll();
  node.tick(2000n);
  assert.ok(topics(node.poll()).includes('y'));
  node.dispose();
  assert.throws(() => node.clear(), { code: 'E_STATE' });
});

test('what a node is made of can be read back', () => {
  const node = echo();
  assert.deepEqual(node.slot('x'), undefined);
  assert.deepEqual(node.localAddresses.map(String), [String(new Address().p2p(self))]);
  assert.equal(node.config.cycleOpBudget, 1000);
  assert.equal(node.config.envelopeCaps.maxTotalBytes, 16_777_216);
  node.setConfig({ ...node.config, cycleOpBudget: 7, asyncDeadlineNs: 5n, envelopeCaps: { maxSlotFills: 3 } });
  assert.deepEqual([node.config.cycleOpBudget, node.config.asyncDeadlineNs, node.config.envelopeCaps.maxSlotFills], [7, 5, 3]);
  assert.equal(installIn(runtime, { peerId: self, artifact: node.model, targets: ['Echo'] }).modules[0], node.modules[0]);
  assert.equal(node.execution(99n), undefined);
  node.dispose();
  assert.throws(() => node.config, { code: 'E_STATE' });
});

test('an execution can be looked at and ended', () => {
  const node = echo((g) => g.output('y', syscalls.gate(g, g.input('x'), syscalls.after(g, g.input('x'), { delayNs: 1000 }))));
  const execId = node.invoke('Echo', { x: bytes('a') });
  node.poll();
  assert.deepEqual(node.execution(execId), { filledSites: 1 });
  node.cancel(execId);
  assert.equal(node.execution(execId), undefined);
  assert.throws(() => node.cancel(execId), (e) => e.code === 'E_UNKNOWN_EXECUTION' && e.details.execId === Number(execId));
  node.tick(5000n);
  assert.deepEqual(topics(node.poll()).filter((t) => t === 'y'), []);
  assert.equal(node.stats().ingressBytesInFlight, 0);
  node.dispose();
});

test('a tap sees every step in order before poll returns, and must not call the node', () => {
  const node = echo();
  const seen = [];
  node.onStep = (step) => {
    seen.push(step);
    assert.throws(() => node.stats(), { code: 'E_BUSY' });
  };
  node.deliverEvent('Echo', 'x', bytes('a'));
  const steps = node.poll();
  assert.ok(steps.length > 1);
  assert.deepEqual(seen, steps);
  node.onStep = () => { throw new Error('mine'); };
  node.deliverEvent('Echo', 'x', bytes('b'));
  assert.throws(() => node.poll(), /mine/);
  node.onStep = undefined;
  node.deliverEvent('Echo', 'x', bytes('c'));
  assert.ok(node.poll().length > 1);
  node.dispose();
});

test('a poll ends when its time is up, and a clock that stands still leaves it to the operator budget', () => {
  const node = echo();
  const completed = (steps) => steps.filter((s) => s.type === 'OpCompleted').length;
  for (let i = 0; i < 100; i++) node.invoke('Echo', { x: bytes('a') });
  let time = 0;
  const first = completed(node.poll({ timeBudgetMs: 3, checkEveryOps: 2, now: () => time++ }));
  assert.equal(first, 6); // looked at the clock after 2, 4 and 6 operators
  assert.equal(node.isPending, false);
  assert.equal(completed(node.poll({ timeBudgetMs: 0, checkEveryOps: 10, now: () => 5 })), 10);
  node.setConfig({ cycleOpBudget: 30 });
  assert.equal(completed(node.poll({ timeBudgetMs: 1, now: () => 5 })), 30);
  node.setConfig({ cycleOpBudget: 1000 });
  const rest = completed(node.poll()); // no time budget any more
  assert.equal((first + 10 + 30 + rest) % 100, 0);
  assert.throws(() => node.poll({ timeBudgetMs: -1 }), { code: 'E_ARG' });
  assert.throws(() => node.poll({ timeBudgetMs: NaN }), { code: 'E_ARG' });
  node.dispose();
});

test('a deadline fails what waits for a component, and the component is told', async () => {
  const model = slots.model();
  const artifact = compileIn(runtime, defineModule('Slow', (g) => g.output('y', model.forward(g, g.input('x')))), { bindings: { model: { role: 'Model', type: 'Slow' } }, permissiveTypes: true });
  const told = [];
  const component = defineComponent({
    typeName: 'Slow', role: 'Model',
    forward: (_, { signal }) => new Promise((resolve, reject) => signal.addEventListener('abort', () => { told.push(signal.reason.code); reject(signal.reason); })),
  });
  const node = installIn(runtime, { peerId: self, artifact, targets: ['Slow'], components: [component], nodeConfig: { asyncDeadlineNs: 1000 } });
  node.deliverEvent('Slow', 'x', bytes('a'));
  node.poll();
  assert.equal(node.nextTimerNs, 1000n);
  node.tick(1000n);
  const [failed] = node.poll().filter((s) => s.type === 'OpFailed');
  assert.deepEqual([failed.kind, failed.reason], ['Timeout', 'deadline_exceeded']);
  const doomed = node.invoke('Slow', { x: bytes('b') });
  node.poll();
  node.cancel(doomed);
  await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual(told, ['E_STATE', 'E_STATE']);
  const { lateCompletions, pendingAsync, executions } = node.stats();
  assert.deepEqual({ lateCompletions, pendingAsync, executions }, { lateCompletions: 2, pendingAsync: 0, executions: 0 });
  node.dispose();
});

test('components are set up by their slot, at once or later', async () => {
  const model = slots.model();
  const artifact = compileIn(runtime, defineModule('Ready', (g) => g.output('y', model.forward(g, g.input('x')))), { bindings: { model: { role: 'Model', type: 'Ready' } }, permissiveTypes: true });
  for (const answer of [() => undefined, async () => undefined]) {
    const calls = [];
    const component = defineComponent({ typeName: 'Ready', role: 'Model', bootstrap(inputs, { opType, outputCount }) { calls.push([inputs.length, opType, outputCount]); return answer(); }, forward: ([x]) => { calls.push('forward'); return x; } });
    const node = installIn(runtime, { peerId: self, artifact, targets: ['Ready'], components: [component] });
    assert.deepEqual(node.bootstraps, [{ target: 'model', isDone: false, isSlot: true }]);
    node.runBootstrapSlots(['model']);
    node.deliverEvent('Ready', 'x', bytes('a'));
    const steps = node.poll();
    await new Promise((resolve) => setTimeout(resolve, 1));
    do steps.push(...node.poll()); while (!node.isPending);
    assert.deepEqual(calls, [[0, 'Bootstrap', 0], 'forward']);
    assert.equal(steps.filter((s) => s.type === 'BootstrapComplete').length, 1);
    assert.deepEqual(node.bootstraps, [{ target: 'model', isDone: true, isSlot: true }]);
    node.dispose();
  }
});

test('a snapshot of the reference is taken over; one of our own says what it is', () => {
  const vector = (name) => readFileSync(`tests/vectors/snapshots/${name}`);
  const node = installIn(runtime, { peerId: self, artifact: vector('pass_one.model.pb'), targets: ['PassOne'] });
  node.importSnapshot(vector('pass_one.snapshot.bin'));
  assert.equal(node.counter('hits'), 42n);
  assert.equal(node.incarnation, 1n);
  assert.deepEqual(node.peerAddresses(B).length, 2);
  node.deliverEvent('PassOne', 'x', bytes('a'));
  assert.ok(topics(node.poll()).includes('y'));
  node.tick(77n);
  node.poll();
  const info = readSnapshotInfo(runtime, node.snapshot());
  assert.deepEqual([info.version, info.incarnation, String(info.peerId), info.nowNs], [1, 1n, String(self), 77n]);
  assert.throws(() => node.importSnapshot(node.snapshot()), (e) => ['E_SNAP_DECODE', 'E_RESTORE_MISMATCH'].includes(e.code));
  assert.throws(() => node.importSnapshot(vector('timers.snapshot.bin')), (e) => e.code === 'E_RESTORE_MISMATCH' && e.details.what === 'graph');
  assert.equal(node.counter('hits'), 42n);
  node.dispose();
});
