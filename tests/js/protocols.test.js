// Peers that find each other: the registry and the gossip, recorded here, between nodes with drivers.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { compileIn, createRuntime, defineModule, installIn, PeerId, slots, syscalls } from '../../js/index.js';
import { drive } from '../../js/driver.js';
import { createMemoryHub } from '../../js/transports/memory.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const MS = 1_000_000n;

async function eventually(isTrue, what) {
  for (let i = 0; i < 1500 && !isTrue(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(isTrue(), what);
}

/** A node with its driver on a hub. */
function join(hub, artifact, n, target, nodeConfig = {}) {
  const self = PeerId.fromU64(n);
  const transport = hub.connect(self);
  const node = installIn(createRuntime(module), { peerId: self, artifact, targets: [target], nodeConfig: { rngSeed: BigInt(n + 1), ...nodeConfig } });
  const failed = [];
  const views = [];
  const driver = drive(node, {
    transports: [transport], schedule: 'timer',
    onStep(step) {
      if (step.type === 'OpFailed') failed.push(`${n}: ${step.reason} ${step.detail}`);
      if (step.type === 'AppEvent' && step.topic === 'view') views.push(step.valueBytes);
    },
  });
  return { n, node, driver, failed, views, leave() { driver.stop(); transport.close(); node.dispose(); } };
}

/** The peers of a bincode list of PeerIds that came from fromU64. */
function numbersIn(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = [];
  for (let at = 8, i = view.getBigUint64(0, true); i > 0n; i--) {
    const len = Number(view.getBigUint64(at, true));
    out.push(Number(view.getBigUint64(at + 8 + len - 8)));
    at += 8 + len;
  }
  return out;
}

const gossiping = defineModule('Gossip', (g) => {
  const peers = slots.gossip();
  const tick = syscalls.onTrigger(g, syscalls.interval(g, { periodNs: 20n * MS }));
  g.output('view', peers.currentView(g, peers.shuffle(g, tick)));
});

test('nodes that know one of them come to know each other, and go on when it is gone', async () => {
  const artifact = compileIn(createRuntime(module), gossiping, { bindings: { peers: { role: 'PeerSelector', type: 'Cyclon' } } });
  const hub = createMemoryHub();
  const count = 10;
  const nodes = Array.from({ length: count }, (_, i) => join(hub, artifact, i + 1, 'Gossip'));
  const known = ({ views }) => new Set(views.slice(-40).flatMap(numbersIn));
  try {
    for (const { node } of nodes.slice(1)) node.addPeer(PeerId.fromU64(1)); // a star around the first
    await eventually(() => nodes.every((each) => known(each).size === count - 1), 'everybody knows all others');
    const [first, second, ...rest] = nodes;
    first.leave();
    second.leave();
    const others = rest.map(({ n }) => n);
    for (const each of rest) each.views.length = 0;
    await eventually(() => rest.every((each) => each.views.length > 150), 'the others go on');
    for (const each of rest) {
      const last = new Set(each.views.slice(-20).flatMap(numbersIn));
      assert.ok([...last].filter((n) => others.includes(n)).length >= 6, `${each.n} knows ${[...last]}`);
      assert.ok(!last.has(1) && !last.has(2), `${each.n} has forgotten the dead, not ${[...last]}`);
    }
    // A newcomer needs any of them.
    const late = join(hub, artifact, 50, 'Gossip');
    nodes.push(late);
    late.node.addPeer(PeerId.fromU64(others.at(-1)));
    await eventually(() => known(late).size >= 3, 'a newcomer finds others');
    assert.deepEqual(nodes.flatMap(({ failed }) => failed), []);
  } finally {
    nodes.forEach((each) => each.leave());
  }
});

const registry = defineModule('Registry', (g) => {
  const peers = slots.peerSelector();
  const tick = syscalls.onTrigger(g, syscalls.interval(g, { periodNs: 20n * MS }));
  g.output('view', peers.currentView(g, tick));
});
const announcing = defineModule('Client', (g) => {
  const client = slots.registryClient();
  g.output('announced', client.announce(g, g.input('server')));
});

test('a registry lists who has announced itself, and nobody else', async () => {
  const runtime = createRuntime(module);
  const server = compileIn(runtime, registry, { bindings: { peers: { role: 'PeerSelector', type: 'GlobalRegistryServer' } } });
  const client = compileIn(runtime, announcing, { bindings: { client: { role: 'Protocol', type: 'GlobalRegistryClient' } } });
  const hub = createMemoryHub();
  const home = join(hub, server, 1, 'Registry');
  const clients = [2, 3, 4].map((n) => join(hub, client, n, 'Client'));
  const listed = () => (home.views.length === 0 ? [] : numbersIn(home.views.at(-1)).sort());
  try {
    for (const { node } of clients.slice(0, 2)) node.deliverEvent('Client', 'server', PeerId.fromU64(1).toBytes());
    await eventually(() => listed().length === 2, 'two have announced themselves');
    assert.deepEqual(listed(), [2, 3]);
    assert.ok(home.node.knownPeers.map(String).includes(String(PeerId.fromU64(3))));
    await eventually(() => clients[0].node.knownPeers.map(String).includes(String(PeerId.fromU64(1))), 'the handshake tells the server\'s address');
    assert.deepEqual([home, ...clients].flatMap(({ failed }) => failed), []);
    // A peer that announces another one is not believed: the message of client 2, sent by 4.
    home.node.blockPeer(PeerId.fromU64(4));
    clients[2].node.deliverEvent('Client', 'server', PeerId.fromU64(1).toBytes());
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.deepEqual(listed(), [2, 3]);
  } finally {
    [home, ...clients].forEach((each) => each.leave());
  }
});
