// Every way in which install refuses: the code, and the fields of its variant (Node specification, section 13.6).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { compileIn, createRuntime, decodeModel, defineComponent, defineModule, denseNetwork, encodeModel, install, installIn, PeerId, slots, syscalls } from '../../js/index.js';
import { STATUS } from '../../js/generated/constants.js';

const runtime = createRuntime(new WebAssembly.Module(readFileSync('build/wasm/bb.wasm')));
const self = PeerId.fromU64(1);
const vector = (name) => readFileSync(`tests/vectors/artifacts/${name}.pb`);
const passOne = vector('pass_one.compiled');
const PASS_ONE = 'PassOne#2a002826f29c55cd';
const CPU = 'bytesandbrains::backends::cpu::CpuBackend';

const model = slots.model(), peers = slots.peerSelector(), index = slots.index(), backend = slots.backend();
const compiled = (name, body, bindings) => compileIn(runtime, defineModule(name, body), { bindings, permissiveTypes: true });
const withModel = compiled('WithModel', (g) => g.output('y', model.forward(g, g.input('x'))), { model: { role: 'Model', type: 'OnnxModel' } });
const withPeers = compiled('WithPeers', (g) => g.output('y', peers.currentView(g, g.input('x'))), { view: { role: 'PeerSelector', type: 'ConstantView' } });
const oddFile = () => {
  const file = decodeModel(denseNetwork([4, 3, 2]));
  file.graph.node.push({ opType: 'Fold', name: 'first', input: ['logits'], output: ['a'] }, { opType: 'Unfold', name: 'second', input: ['a'], output: ['b'] });
  return encodeModel(file);
};

/** @type {[name: string, code: string, options: object, details: object][]}  details: a value to equal, or a pattern for text */
const cases = [
  ['no targets', 'E_INST_EMPTY_TARGETS', { artifact: passOne, targets: [] }, {}],
  ['a model that was not compiled', 'E_INST_NOT_COMPILED', { artifact: vector('pass_one.recorded'), targets: ['PassOne'] }, {}],
  ['another version', 'E_INST_VERSION', { artifact: vector('broken_version_v2'), targets: ['PassOne'] }, { got: 'v2', expected: 'v1' }],
  ['an unknown target', 'E_INST_UNKNOWN_TARGET', { artifact: passOne, targets: ['Nope'] }, { target: 'Nope', available: [PASS_ONE] }],
  ['a binding key without a slot', 'E_INST_BINDING_TABLE', { artifact: vector('broken_binding_no_dot'), targets: ['PassOne'] },
    { key: 'ai.bytesandbrains.binding.abc', detail: /key/ }],
  ['a binding value of two parts', 'E_INST_BINDING_TABLE', { artifact: vector('broken_binding_value_two_parts'), targets: ['PassOne'] },
    { key: `ai.bytesandbrains.binding.${PASS_ONE}.model`, detail: /value/ }],
  ['a component type that nobody registered', 'E_INST_UNREGISTERED', { artifact: vector('broken_binding_unknown_type'), targets: ['PassOne'] }, { typeName: 'NoSuchType' }],
  ['a model component without its file', 'E_INST_MISSING_CONFIG', { artifact: withModel, targets: ['WithModel'] },
    { slot: 'model', typeName: 'OnnxModel', detail: /configuration/ }],
  ['a configuration of another type', 'E_INST_CONFIG_TYPE', { artifact: withPeers, targets: ['WithPeers'], config: { view: 'garbage' } },
    { slot: 'view', typeName: 'ConstantView', detail: /expected a list of peer ids/ }],
  ['a model component with garbage for a file', 'E_INST_CONSTRUCTION', { artifact: withModel, targets: ['WithModel'], config: { model: Uint8Array.of(1, 2, 3) } },
    { slot: 'model', typeName: 'OnnxModel', detail: /protobuf/ }],
  ['a model component with operators that it does not know', 'E_INST_CONSTRUCTION', { artifact: withModel, targets: ['WithModel'], config: { model: oddFile() } },
    { slot: 'model', typeName: 'OnnxModel', detail: /ONNX/, nodes: ['first: Fold (opset 17)', 'second: Unfold (opset 17)'] }],
  ['targets that bind one slot to two types', 'E_INST_SLOT_CONFLICT',
    { artifact: vector('broken_slot_conflict_type'), targets: ['FedNetwork#b9fb9de4ac1fd191', 'FedNetwork_sink_peers#522925b233039e9b'] },
    { slot: 'model', conflicts: ['FedNetwork#b9fb9de4ac1fd191 StubModel Model', 'FedNetwork_sink_peers#522925b233039e9b MyModel Model'] }],
  ['targets that bind one slot in two roles', 'E_INST_SLOT_CONFLICT',
    { artifact: vector('broken_slot_conflict_role'), targets: ['FedNetwork#b9fb9de4ac1fd191', 'FedNetwork_sink_peers#522925b233039e9b'] },
    { slot: 'model', conflicts: ['FedNetwork#b9fb9de4ac1fd191 StubModel Model', 'FedNetwork_sink_peers#522925b233039e9b StubModel Index'] }],
  ['bytes that are no model', 'E_INST_MODEL_DECODE', { artifact: vector('broken_truncated_10'), targets: ['PassOne'] }, { cause: 'E_PROTOBUF', detail: /protobuf/ }],
];
for (const [name, code, options, want] of cases) {
  test(`${name}: ${code}`, () => {
    const attempt = () => installIn(runtime, { peerId: self, ...options });
    assert.throws(attempt, (error) => {
      assert.equal(error.code, code, error.message);
      const { offset: _, ...details } = error.details;
      assert.deepEqual(Object.keys(details).sort(), Object.keys(want).sort());
      for (const [field, value] of Object.entries(want)) {
        if (value instanceof RegExp) assert.match(details[field], value);
        else assert.deepEqual(details[field], value, field);
      }
      return true;
    });
    const before = runtime.memoryUsed; // the first attempt may have grown the buffer for requests
    assert.throws(attempt);
    assert.equal(runtime.memoryUsed, before, 'nothing is left behind');
  });
}

test('operators without an implementation or a component are listed by function, place, operator and name', () => {
  const domain = 'ai.bytesandbrains.syscall';
  const refuses = (artifact, targets, nodes, components = []) => assert.throws(() => installIn(runtime, { peerId: self, artifact, targets, components }), (error) => {
    assert.equal(error.code, 'E_INST_UNRESOLVED');
    assert.deepEqual(error.details.nodes.map((node) => node.replace(/#[0-9a-f]{16}/, '#')), nodes);
    assert.equal(error.details.count, nodes.length);
    for (const node of error.details.nodes) assert.ok(error.message.includes(node));
    return true;
  });
  const artifact = compiled('Odd', (g) => {
    const x = g.input('x');
    const [a] = g.node({ domain, opType: 'NoSuch', inputs: [x], outputs: [''] });
    const [b] = g.node({ domain, opType: 'NorThis', inputs: [syscalls.passThrough(g, a)], outputs: [''] });
    g.output('y', b);
  });
  refuses(artifact, ['Odd'], [`Odd#/0 ${domain}::NoSuch: no such operator`, `Odd#/2 ${domain}::NorThis: no such operator`]);

  // A name of the node, where it has one.
  const named = decodeModel(artifact);
  named.functions[0].node[0].name = 'my node';
  refuses(encodeModel(named), ['Odd'], [`Odd#/0 ${domain}::NoSuch (my node): no such operator`, `Odd#/2 ${domain}::NorThis: no such operator`]);

  // The component is there, but does not know the operator.
  const odd = decodeModel(compiled('Neg', (g) => g.output('y', backend.neg(g, g.input('x'))), { backend: { role: 'Backend', type: CPU } }));
  for (const { node } of odd.functions) for (const op of node) if (op.opType === 'Neg') op.opType = 'Negate';
  refuses(encodeModel(odd), ['Neg'], ['Neg#/0 ai.onnx::Negate: not implemented by the bound component']);

  // There is no component for the role any more.
  const unbound = decodeModel(compiled('Find', (g) => g.output('y', index.search(g, g.input('x'), 3)), { index: { role: 'Index', type: 'Vectors' } }));
  unbound.metadataProps = unbound.metadataProps.filter(({ key }) => !key.startsWith('ai.bytesandbrains.binding.'));
  refuses(encodeModel(unbound), ['Find'], ['Find#/0 ai.bytesandbrains.role.index::Search: no component for role Index, slot id 0']);
});

test('a node installs with unresolved operators when that is asked for; they fail when they fire', async () => {
  const artifact = compiled('Odd', (g) => g.output('y', g.node({ domain: 'ai.bytesandbrains.syscall', opType: 'NoSuch', inputs: [g.input('x')], outputs: [''] })[0]));
  const node = installIn(runtime, { peerId: self, artifact, targets: ['Odd'], isUnresolvedAllowed: true });
  assert.equal(node.stats().unresolvedOps, 1);
  node.deliverEvent('Odd', 'x', Uint8Array.of(1));
  const failed = node.poll().filter((s) => s.type === 'OpFailed');
  assert.equal(failed.length, 1);
  assert.match(`${failed[0].kind} ${failed[0].reason} ${failed[0].detail}`, /NoSuch|NotRegistered|unresolved/i);
  node.dispose();
});

test('options that make no sense are refused before anything is built', async () => {
  const component = defineComponent({ typeName: 'Vectors', role: 'Index', search: () => undefined });
  for (const [options, code] of [
    [{ peerId: 'nobody' }, 'E_PEER_ID'], [{ addresses: ['/nope/1'] }, 'E_INVALID_VALUE'], [{ nodeConfig: { busCapacity: 0 } }, 'E_ARG'],
    [{ nodeConfig: { noSuchField: 1 } }, 'E_ARG'], [{ artifact: 'text' }, 'E_ARG'],
  ]) {
    await assert.rejects(install({ runtime, peerId: self, artifact: passOne, targets: ['PassOne'], components: [component], ...options }),
      (error) => error.code === code || assert.fail(`${JSON.stringify(options)}: ${error.code} ${error.message}`));
  }
});

test('every install code of the status table is tested here', () => {
  const codes = Object.keys(STATUS).filter((code) => code.startsWith('E_INST_'));
  assert.deepEqual(codes.filter((code) => code !== 'E_INST_UNRESOLVED' && !cases.some(([, c]) => c === code)), []);
});
