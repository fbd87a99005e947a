// The node's other methods through JavaScript: peers and addresses, phases, limits that change, clearing. C tests have the rules; these the way.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { Address, bytes, compileIn, createRuntime, defineModule, installIn, PeerId, syscalls } from '../../js/index.js';

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
