// Every error variant of the Node specification, section 13: raised through JavaScript with its fields. Those of install are in install-errors.test.js.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { Address, bytes, compileIn, createRuntime, defineComponent, defineModule, installIn, Module, PeerId, slots, syscalls } from '../../js/index.js';

const module = new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'));
const [self, B] = [1, 2].map((n) => PeerId.fromU64(n));
const model = () => slots.model();

class Booting extends Module {
  model = model();
  body(g) { g.output('y', this.model.forward(g, g.input('x'))); }
  bootstrap(g) { syscalls.appEmit(g, 'seen', g.input('start')); }
}

/** One module with a bootstrap that has an input, and a component that can be set up. */
function make({ runtimeOptions, ...more } = {}) {
  const runtime = createRuntime(module, runtimeOptions);
  const artifact = compileIn(runtime, new Booting(), { bindings: { model: { role: 'Model', type: 'Mine' } }, permissiveTypes: true });
  const component = defineComponent({ typeName: 'Mine', role: 'Model', create: () => ({ forward: ([x]) => x, bootstrap: () => undefined, save: () => Uint8Array.of(1), restore(state) { if (state[0] !== 1) throw new Error('not mine'); } }) });
  return installIn(runtime, { peerId: self, artifact, targets: ['Booting'], components: [component], ...more });
}
const edge = (part) => ({ nodeConfig: { envelopeCaps: part } });

/** Protobuf by hand: a field of bytes. */
const field = (number, ...content) => [number << 3 | 2, content.length, ...content];
const VERSION = [0x38, 1];
const fill = (...payload) => field(2, ...field(1), ...field(2, ...payload));
const address = [...new Address().p2p(B).toBytes()];

/** The bytes of a snapshot with one changed, and the checksum left as it was. */
const changed = (snapshot, at) => snapshot.map((byte, i) => (i === at ? byte ^ 1 : byte));

/** @type {[variant: string, code: string, make: object, call: (node: any) => void, fields: Record<string, unknown>][]}  a function as a field: a test of it */
const cases = [
  // DeliveryError
  ['IngressClosed', 'E_INGRESS_FULL', { nodeConfig: { busCapacity: 1 } }, (n) => { for (let i = 0; i < 5; i++) n.deliverEvent('Booting', 'x', bytes('a')); }, { capacity: 4 }],
  ['UnknownModule', 'E_UNKNOWN_MODULE', {}, (n) => n.deliverEvent('Nope', 'x', bytes('a')), { module: 'Nope', available: (list) => list.length === 1 }],
  ['UnknownInput', 'E_UNKNOWN_INPUT', {}, (n) => n.invoke('Booting', { q: bytes('a') }), { module: (name) => name.startsWith('Booting'), input: 'q', available: ['x'] }],
  ['InvalidEnvelope', 'E_INVALID_ENVELOPE', {}, (n) => n.deliverInbound(B, Uint8Array.of(0xff)), { cause: 'E_ENV_MALFORMED', reason: (text) => text.length > 0 }],
  ['OversizePayload', 'E_OVERSIZE_PAYLOAD', { nodeConfig: { maxAppEventBytes: 4 } }, (n) => n.deliverEvent('Booting', 'x', new Uint8Array(5)), { byteCount: 5, cap: 4 }],
  ['TooManyInputs', 'E_TOO_MANY_INPUTS', { nodeConfig: { maxInvokeInputs: 1 } }, (n) => n.invoke('Booting', { x: bytes('a'), q: bytes('b') }), { count: 2, cap: 1 }],
  ['AllocationFailed', 'E_ALLOCATION_FAILED', { runtimeOptions: { maxMemoryBytes: 1_000_000 }, nodeConfig: { maxAppEventBytes: 10_000_000 } },
    (n) => { for (let i = 0; i < 20; i++) n.deliverEvent('Booting', 'x', new Uint8Array(200_000)); }, { byteCount: 200_000, reason: 'HeapExhausted' }],
  ['BudgetExceeded', 'E_BUDGET_EXCEEDED', { nodeConfig: { ingressByteBudget: 10 } }, (n) => { n.deliverEvent('Booting', 'x', new Uint8Array(8)); n.deliverEvent('Booting', 'x', new Uint8Array(3)); },
    { byteCount: 3, budgetRemaining: 2 }],
  // EnvelopeDecodeError, as the cause of InvalidEnvelope
  ['Malformed', 'E_INVALID_ENVELOPE', {}, (n) => n.deliverInbound(B, Uint8Array.of(0x3a, 5)), { cause: 'E_ENV_MALFORMED', reason: (text) => text.length > 0, offset: (at) => at > 0 }],
  ['OversizeEnvelope', 'E_INVALID_ENVELOPE', edge({ maxTotalBytes: 3 }), (n) => n.deliverInbound(B, new Uint8Array(4)), { cause: 'E_ENV_OVERSIZE', capBytes: 3, gotBytes: 4 }],
  ['OversizeSlotFill', 'E_INVALID_ENVELOPE', edge({ maxPerFillBytes: 2 }), (n) => n.deliverInbound(B, Uint8Array.of(...fill(1, 2, 3), ...VERSION)),
    { cause: 'E_ENV_OVERSIZE_FILL', which: 'payload', capBytes: 2, gotBytes: 3 }],
  ['TooManySlotFills', 'E_INVALID_ENVELOPE', edge({ maxSlotFills: 1 }), (n) => n.deliverInbound(B, Uint8Array.of(...fill(1), ...fill(2), ...VERSION)), { cause: 'E_ENV_TOO_MANY_FILLS', cap: 1, got: 2 }],
  ['VersionMismatch', 'E_INVALID_ENVELOPE', {}, (n) => n.deliverInbound(B, Uint8Array.of(0x38, 2)), { cause: 'E_ENV_VERSION', got: 2, supported: 1 }],
  ['TooManySrcPeerAddresses', 'E_INVALID_ENVELOPE', edge({ maxSrcPeerAddresses: 1 }), (n) => n.deliverInbound(B, Uint8Array.of(...VERSION, ...field(8, ...address), ...field(8, ...address))),
    { cause: 'E_ENV_TOO_MANY_SRC_ADDRESSES', cap: 1, got: 2 }],
  ['OversizeSrcPeerAddress', 'E_INVALID_ENVELOPE', edge({ maxSrcPeerAddressBytes: 5 }), (n) => n.deliverInbound(B, Uint8Array.of(...VERSION, ...field(8, ...address))),
    { cause: 'E_ENV_OVERSIZE_SRC_ADDRESS', capBytes: 5, gotBytes: address.length }],
  // BootstrapError
  ['UnknownTarget', 'E_BOOT_UNKNOWN_TARGET', {}, (n) => n.runBootstrap([{ target: 'Nope' }]), { targetName: 'Nope', available: ['Booting__bootstrap'] }],
  ['UnknownSlot', 'E_BOOT_UNKNOWN_SLOT', {}, (n) => n.runBootstrapSlots(['nope']), { slot: 'nope', available: ['model'] }],
  ['AlreadyTransitivelyQueued', 'E_BOOT_ALREADY_QUEUED', {}, (n) => n.runBootstrap([1, 2].map(() => ({ target: 'Booting__bootstrap', inputs: { start: bytes('a') } }))), { targetName: 'Booting__bootstrap' }],
  ['UnknownInput of a bootstrap', 'E_BOOT_UNKNOWN_INPUT', {}, (n) => n.runBootstrap([{ target: 'Booting__bootstrap', inputs: { start: bytes('a'), q: bytes('b') } }]),
    { targetName: 'Booting__bootstrap', inputName: 'q', declared: ['start'] }],
  ['MissingInput', 'E_BOOT_MISSING_INPUT', {}, (n) => n.runBootstrap([{ target: 'Booting__bootstrap' }]), { targetName: 'Booting__bootstrap', inputName: 'start' }],
  ['AllocationFailed of a bootstrap', 'E_BOOT_ALLOCATION_FAILED', { nodeConfig: { ingressByteBudget: 2 } }, (n) => n.runBootstrap([{ target: 'Booting__bootstrap', inputs: { start: bytes('abc') } }]),
    { targetName: 'Booting__bootstrap', byteCount: 3, budgetRemaining: 2 }],
  // RestoreError; SnapshotError has only BusNotDrained, which is never raised here
  ['SpecVersionMismatch', 'E_RESTORE_SPEC_VERSION', {}, (n) => n.restore(changed(n.snapshot(), 5)), { got: 257, expected: 1, offset: 4 }],
  ['SnapshotMismatch', 'E_RESTORE_MISMATCH', {}, (n) => n.restore(make({ peerId: B }).snapshot()), { what: 'peer_id', got: String(B), expected: String(self) }],
  ['ComponentRestoreFailed', 'E_RESTORE_COMPONENT', { components: [defineComponent({ typeName: 'Mine', role: 'Model', create: () => ({ forward: ([x]) => x, save: () => Uint8Array.of(9), restore() { throw new Error('not mine'); } }) })] },
    (n) => n.restore(n.snapshot()), { slot: 'model', typeName: 'Mine', detail: 'not mine' }],
  ['a damaged snapshot', 'E_SNAP_DECODE', {}, (n) => n.restore(n.snapshot().slice(0, 30)), { detail: (text) => /truncated/.test(text), offset: 30 }],
  ['a damaged snapshot of the reference', 'E_SNAP_DECODE', {}, (n) => n.importSnapshot(new Uint8Array(7)), { detail: (text) => /ends/.test(text) }],
  // AddressBookError
  ['UnknownPeer', 'E_AB_UNKNOWN_PEER', {}, (n) => n.dropPeer(B), { peer: String(B) }],
  ['EmptyAddressList', 'E_AB_EMPTY', {}, (n) => n.addPeer(B, []), {}],
  ['Full', 'E_AB_FULL', {}, (n) => { for (let i = 2; i < 20_000; i++) n.addPeer(PeerId.fromU64(i), ['/site/1']); }, { cap: 16_384 }],
  ['AllocationFailed of the address book', 'E_AB_ALLOCATION_FAILED', { runtimeOptions: { maxMemoryBytes: 400_000 } }, (n) => { for (let i = 2; i < 20_000; i++) n.addPeer(PeerId.fromU64(i), ['/site/1']); }, { requested: 1 }],
  // AddressError
  ['Truncated', 'E_TRUNCATED', {}, () => Address.fromBytes(Uint8Array.of(0xe2, 0x01, 0)), { offset: () => true }],
  ['UnknownCode', 'E_UNKNOWN_CODE', {}, () => Address.fromBytes(Uint8Array.of(4, 127, 0, 0, 1)), { code: 4 }],
  ['MalformedString', 'E_MALFORMED_STRING', {}, () => Address.from('nonsense'), { text: 'nonsense' }],
  ['InvalidValue', 'E_INVALID_VALUE', {}, () => Address.from('/site/x'), { protocol: 'site', value: 'x' }],
  // additions of this implementation
  ['an execution that is not', 'E_UNKNOWN_EXECUTION', {}, (n) => n.cancel(7n), { execId: 7 }],
  ['an outcome that nobody waits for', 'E_UNKNOWN_COMMAND', {}, (n) => n.complete(7n, []), { cmdId: 7, reason: 'unknown' }],
  ['a call on a node that is disposed', 'E_STATE', {}, (n) => { n.dispose(); n.poll(); }, {}],
  ['a call from inside a component', 'E_BUSY', {}, (n) => { n.onStep = () => n.poll(); n.deliverEvent('Booting', 'x', bytes('a')); n.poll(); }, {}],
];

for (const [variant, code, options, call, fields] of cases) {
  test(`${variant}: ${code}`, () => {
    const node = make(options);
    assert.throws(() => call(node), (error) => {
      assert.equal(error.code, code, `${error.code}: ${error.message}`);
      for (const [name, value] of Object.entries(fields)) {
        if (typeof value === 'function') assert.ok(value(error.details[name]), `${name}: ${error.details[name]}`);
        else assert.deepEqual(error.details[name], value, name);
      }
      return true;
    });
  });
}

test('a topic of the framework is refused: ReservedPrefix', () => {
  const runtime = createRuntime(module);
  const artifact = compileIn(runtime, defineModule('Loud', (g) => { syscalls.appEmit(g, 'bb.mine', g.input('x')); }), { permissiveTypes: true });
  const node = installIn(runtime, { peerId: self, artifact, targets: ['Loud'] });
  node.deliverEvent('Loud', 'x', bytes('a'));
  const failed = node.poll().find((s) => s.type === 'OpFailed');
  assert.equal(failed.reason, 'reserved_topic_prefix');
  assert.match(failed.detail, /bb\./);
});
