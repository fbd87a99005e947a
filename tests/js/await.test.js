// Questions that wait for their answer, recorded here, between nodes with drivers over the memory transport.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { compileIn, createRuntime, defineModule, installIn, PeerId, slots, syscalls, types } from '../../js/index.js';
import { drive } from '../../js/driver.js';
import { createMemoryHub } from '../../js/transports/memory.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const MS = 1_000_000n;
const text = (bytes) => new TextDecoder().decode(bytes);
const utf8 = (string) => new TextEncoder().encode(string);

/** Asks the peers of its input; each of them echoes. `silent`: nobody answers. */
const asking = ({ catchesFailure = false, isSilent = false } = {}) => defineModule('Ask', (g) => {
  const { asked, answer, failure } = g.ask('question', g.input('peers'), g.input('x'), { catchesFailure });
  const heard = syscalls.passThrough(g, asked);
  if (!isSilent) g.reply(heard);
  else g.output('heard', heard);
  g.output('answer', answer);
  if (failure !== undefined) {
    const [kind, reason, peers] = g.unbundle(failure, [types.bytes, types.bytes, types.peerIdVec]);
    g.output('kind', kind);
    g.output('reason', reason);
    g.output('whom', peers);
  }
});

function compileAsk(options, perHopBudgetNs = 5_000n * MS) {
  return compileIn(createRuntime(module), asking(options), { perHopBudgetNs, targetNames: { '@self': 'Asker', peers: 'Asked' }, permissiveTypes: true });
}

/** A bincode list of peers. */
function listOf(...numbers) {
  const ids = numbers.map((n) => PeerId.fromU64(n).toBytes());
  const out = new Uint8Array(8 + ids.reduce((sum, id) => sum + 8 + id.length, 0));
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(ids.length), true);
  let at = 8;
  for (const id of ids) {
    view.setBigUint64(at, BigInt(id.length), true);
    out.set(id, at + 8);
    at += 8 + id.length;
  }
  return out;
}

function join(hub, artifact, n, target) {
  const self = PeerId.fromU64(n);
  const transport = hub.connect(self);
  const node = installIn(createRuntime(module), { peerId: self, artifact, targets: [target] });
  const steps = [];
  const driver = drive(node, { transports: [transport], schedule: 'timer', onStep: (step) => steps.push(step) });
  return {
    node, steps,
    of: (topic) => steps.filter((step) => step.type === 'AppEvent' && step.moduleName === '' && step.topic === topic).map((step) => step.valueBytes),
    failed: () => steps.filter((step) => step.type === 'OpFailed'),
    leave() { driver.stop(); transport.close(); node.dispose(); },
  };
}

async function eventually(isTrue, what) {
  for (let i = 0; i < 500 && !isTrue(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(isTrue(), what);
}
const settle = () => new Promise((resolve) => setTimeout(resolve, 100));

/** Two nodes that know each other, for one test. */
async function withTwo(artifact, run) {
  const hub = createMemoryHub();
  const asker = join(hub, artifact, 1, 'Asker'), asked = join(hub, artifact, 2, 'Asked');
  try {
    await eventually(() => asker.steps.some((step) => step.type === 'Connected'), 'they meet');
    await run(asker, asked, hub);
  } finally {
    for (const each of [asker, asked]) each.leave();
  }
}

test('an answer comes into the execution that asked, and every question gets its own', async () => {
  await withTwo(compileAsk(), async (asker) => {
    for (let i = 0; i < 20; i++) asker.node.invoke('Asker', { peers: listOf(2), x: utf8(`question ${i}`) });
    await eventually(() => asker.of('answer').length === 20, 'twenty answers');
    assert.deepEqual(asker.of('answer').map(text).sort(), Array.from({ length: 20 }, (_, i) => `question ${i}`).sort());
    await settle();
    assert.equal(asker.of('answer').length, 20);
    assert.deepEqual(asker.failed(), []);
    assert.equal(asker.steps.filter((step) => step.type === 'WireTimeout').length, 0);
    const { executions, pendingAsync } = asker.node.stats();
    assert.deepEqual([executions, pendingAsync].map(Number), [0, 0]);
  });
});

test('who asks a peer that nobody knows is told at once, and only once', async () => {
  await withTwo(compileAsk(), async (asker) => {
    const execId = asker.node.invoke('Asker', { peers: listOf(7), x: utf8('?') });
    await eventually(() => asker.failed().length === 1, 'it fails');
    const [{ kind, reason, detail, execId: failedIn }] = asker.failed();
    assert.deepEqual({ kind, reason, detail, failedIn }, { kind: 'RemoteFailed', reason: 'peer_resolve_failed', detail: String(PeerId.fromU64(7)), failedIn: execId });
    await settle();
    assert.equal(asker.failed().length, 1);
    assert.equal(asker.steps.filter((step) => step.type === 'PeerResolveFailed').length, 1);
    assert.equal(asker.steps.filter((step) => step.type === 'WireTimeout').length, 0);
  });
});

test('who asks a peer that goes away is told when the transport cannot send', async () => {
  await withTwo(compileAsk(), async (asker, asked) => {
    // The node still knows the peer; its transport does not any more.
    asked.leave();
    asker.node.addPeer(PeerId.fromU64(2));
    await eventually(() => asker.steps.some((step) => step.type === 'Disconnected'), 'it is gone');
    asker.node.addPeer(PeerId.fromU64(2));
    asker.node.invoke('Asker', { peers: listOf(2), x: utf8('?') });
    await eventually(() => asker.failed().length === 1, 'it fails');
    const [{ kind, reason, detail }] = asker.failed();
    assert.deepEqual({ kind, reason, detail }, { kind: 'RemoteFailed', reason: 'send_failed', detail: String(PeerId.fromU64(2)) });
    await settle();
    assert.equal(asker.failed().length, 1);
  });
});

test('who asks a peer that never answers is told when the time is up, as a value where the graph takes it', async () => {
  await withTwo(compileAsk({ isSilent: true, catchesFailure: true }, 200n * MS), async (asker, asked) => {
    asker.node.invoke('Asker', { peers: listOf(2), x: utf8('?') });
    await eventually(() => asked.of('heard').length === 1, 'it has heard the question');
    assert.deepEqual(asker.of('reason'), []);
    await eventually(() => asker.of('whom').length === 1, 'the time is up');
    assert.deepEqual([...asker.of('kind'), ...asker.of('reason')].map(text), ['Timeout', 'chain_timeout']);
    assert.deepEqual(asker.of('whom'), [listOf(2)]);
    await settle();
    assert.deepEqual([asker.of('kind').length, asker.of('answer').length, asker.failed().length], [1, 0, 0]);
    assert.equal(asker.steps.filter((step) => step.type === 'WireTimeout').length, 1);
  });
});

test('who asks a peer that goes away before it answers is told when the time is up', async () => {
  await withTwo(compileAsk({ isSilent: true }, 300n * MS), async (asker, asked) => {
    asker.node.invoke('Asker', { peers: listOf(2), x: utf8('?') });
    await eventually(() => asked.of('heard').length === 1, 'it has heard the question');
    asked.leave();
    await eventually(() => asker.failed().length === 1, 'the time is up');
    const [{ kind, reason, detail }] = asker.failed();
    assert.deepEqual({ kind, reason, detail }, { kind: 'Timeout', reason: 'chain_timeout', detail: String(PeerId.fromU64(2)) });
    await settle();
    assert.equal(asker.failed().length, 1);
    assert.equal(Number(asker.node.stats().pendingAsync), 0);
  });
});

test('of several that are asked the first one answers', async () => {
  const artifact = compileAsk();
  await withTwo(artifact, async (asker, asked, hub) => {
    const third = join(hub, artifact, 3, 'Asked');
    try {
      await eventually(() => asker.steps.filter((step) => step.type === 'Connected').length === 2, 'they meet');
      asker.node.blockPeer(PeerId.fromU64(2)); // the first that is named is forbidden
      asker.node.invoke('Asker', { peers: listOf(2, 3), x: utf8('who?') });
      await eventually(() => asker.of('answer').length === 1, 'an answer');
      await settle();
      assert.deepEqual(asker.of('answer').map(text), ['who?']);
      assert.deepEqual(asker.failed(), []);
    } finally {
      third.leave();
    }
  });
});
