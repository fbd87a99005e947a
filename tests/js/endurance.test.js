// Nothing wears out: every export a million times, and a million deliveries with their polls, leave memory and stack as they were.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { compileIn, createRuntime, defineModule, denseNetwork, installIn, PeerId } from '../../js/index.js';

const file = readFileSync('build/wasm/bb.wasm');
const module = new WebAssembly.Module(file);
const CALLS = 1_000_000;

/** The raw exports of an instance of its own, with imports that answer nothing. */
function rawInstance() {
  const { exports } = new WebAssembly.Instance(module, { bbw: { host_dispatch: () => -4, host_log() {}, host_time_is_up: () => 0, host_read: () => 0 } });
  exports._initialize?.();
  const bytes = () => new Uint8Array(exports.memory.buffer);
  const put = (content) => {
    const at = exports.bbw_abi_alloc(Math.max(content.length, 8)) >>> 0;
    bytes().set(content, at);
    return at;
  };
  return { exports, bytes, put };
}
const u32 = (n) => [n & 255, n >>> 8 & 255, n >>> 16 & 255, n >>> 24];
const text = (s) => { const utf8 = new TextEncoder().encode(s); return [...u32(utf8.length), ...utf8]; };
const blob = (b) => [...u32(b.length), ...b];

/** A node of one PassThrough, and the arguments that every export gets: valid ones where that can be repeated. */
function subject() {
  const { exports, bytes, put } = rawInstance();
  const self = PeerId.fromU64(1).toBytes(), peer = PeerId.fromU64(2).toBytes();
  const artifact = readFileSync('tests/vectors/artifacts/pass_one.compiled.pb');
  const request = Uint8Array.from([...blob(self), ...u32(0), ...blob(artifact), ...u32(1), ...text('PassOne'), ...u32(0), ...u32(0), ...u32(0), ...u32(0)]);
  const out = put(new Uint8Array(16)), err = put(new Uint8Array(exports.bbw_abi_error_size()));
  const requestAt = put(request);
  assert.equal(exports.bbw_abi_node_install(requestAt, request.length, out, err), 0);
  const node = new DataView(exports.memory.buffer).getUint32(out, true);
  const peerAt = put(peer), none = put(u32(0)), moduleAt = put(new TextEncoder().encode('PassOne')), inputAt = put(new TextEncoder().encode('x'));
  const envelope = Uint8Array.of(0x1a, 0, 0x38, 1), envelopeAt = put(envelope), data = put(Uint8Array.of(1, 2, 3, 4));
  const site = Uint8Array.of(0xe2, 1, 0, 0, 0, 0, 0, 0, 0, 7), siteAt = put(site);
  const addresses = Uint8Array.from([...u32(1), ...blob(site)]), addressesAt = put(addresses);
  const invoke = Uint8Array.from([...u32(1), ...text('x'), ...blob([1])]), invokeAt = put(invoke);
  const fields = Uint8Array.from([...u32(1), ...text('cycle_op_budget'), 232, 3, 0, 0, 0, 0, 0, 0]), fieldsAt = put(fields);
  const onnx = denseNetwork([2, 2]), onnxAt = put(onnx);
  let model = 0;
  if (exports.bbw_abi_model_new !== undefined) {
    assert.equal(exports.bbw_abi_model_new(onnxAt, onnx.length, out, err), 0);
    model = new DataView(exports.memory.buffer).getUint32(out, true);
  }
  const params = put(new Uint8Array(new Float32Array(6).buffer)), x = put(new Uint8Array(new Float32Array(2).buffer));
  assert.equal(exports.bbw_abi_session_new(onnxAt, onnx.length, 0, 0, 0, out, err), 0);
  const session = new DataView(exports.memory.buffer).getUint32(out, true);
  // One array of shape [1, 2] in, room for one out: {dtype, rank, dims[8], count, data} each.
  const frame = put(Uint8Array.from([u32(1), u32(2), u32(1), u32(2), ...Array(6).fill(u32(0)), u32(2), u32(x), ...Array(12).fill(u32(0))].flat()));
  const f32 = (n) => [...new Uint8Array(Float32Array.of(n).buffer)], u64 = (n) => [...u32(n), ...u32(0)];
  // The mean of the output, by plain descent: {loss, output, has_ignored, ignored, smoothing, huber, class weights}, the optimizer, the schedule, {freeze, seed, memory, outputs}.
  const training = Uint8Array.from([
    ...u32(4), ...text(''), ...u32(0), ...u64(0), ...f32(0), ...f32(1), ...u32(0),
    ...u32(0), ...f32(0.01), ...f32(0), ...u32(0), ...f32(0.9), ...f32(0.999), ...f32(1e-8), ...f32(0), ...u32(0), ...f32(0), ...f32(0),
    ...u32(0), ...u64(0), ...u64(0), ...f32(1), ...u32(0), ...u64(1), ...u32(0), ...u32(0), ...u32(0), ...u32(0), ...u32(0),
  ]), trainingAt = put(training);
  assert.equal(exports.bbw_abi_trainer_new(onnxAt, onnx.length, trainingAt, training.length, out, err), 0);
  const trainer = new DataView(exports.memory.buffer).getUint32(out, true);
  const batch = put(Uint8Array.from([u32(1), u32(2), u32(1), u32(2), ...Array(6).fill(u32(0)), u32(2), u32(x), ...Array(24).fill(u32(0))].flat())); // input, no labels, output
  assert.equal(exports.bbw_abi_trainer_state_save(trainer, out), 0);
  const [stateAt, stateBytes] = new Uint32Array(exports.memory.buffer.slice(out, out + 8)), state = put(new Uint8Array(exports.memory.buffer.slice(stateAt, stateAt + stateBytes)));
  const poll = () => exports.bbw_abi_node_poll(node, out, err);
  const e = exports;
  /** What is called so often; what would pile up is undone at once. `every`: only one in so many, for what is slow. @type {Record<string, {call: () => unknown, every?: number}>} */
  const calls = {
    bbw_abi_version: { call: () => e.bbw_abi_version() },
    bbw_abi_alloc: { call: () => e.bbw_abi_free(e.bbw_abi_alloc(64), 64) },
    bbw_abi_free: { call: () => e.bbw_abi_free(0, 0) },
    bbw_abi_set_memory_max: { call: () => e.bbw_abi_set_memory_max(0) },
    bbw_abi_memory_used: { call: () => e.bbw_abi_memory_used() },
    bbw_abi_stack: { call: () => e.bbw_abi_stack() },
    bbw_abi_error_size: { call: () => e.bbw_abi_error_size() },
    bbw_abi_node_install: { call: () => { assert.equal(e.bbw_abi_node_install(requestAt, request.length, out, err), 0); e.bbw_abi_node_del(new DataView(e.memory.buffer).getUint32(out, true)); }, every: 50 },
    bbw_abi_node_del: { call: () => e.bbw_abi_node_del(0) },
    bbw_abi_node_tick: { call: () => e.bbw_abi_node_tick(node, 5n) },
    bbw_abi_node_deliver_inbound: { call: () => { e.bbw_abi_node_deliver_inbound(node, peerAt, peer.length, envelopeAt, envelope.length, err); poll(); } },
    bbw_abi_node_inbound_room: { call: () => assert.equal(e.bbw_abi_node_inbound_room(node, envelope.length, out, err), 0) },
    bbw_abi_node_deliver_room: {
      call: () => {
        e.bbw_abi_node_inbound_room(node, envelope.length, out, err);
        new Uint8Array(e.memory.buffer).set(envelope, new DataView(e.memory.buffer).getUint32(out, true));
        assert.equal(e.bbw_abi_node_deliver_room(node, peerAt, peer.length, err), 0);
        poll();
      },
    },
    bbw_abi_node_deliver_event: { call: () => { e.bbw_abi_node_deliver_event(node, moduleAt, 7, inputAt, 1, data, 4, err); poll(); } },
    bbw_abi_node_invoke: { call: () => { e.bbw_abi_node_invoke(node, moduleAt, 7, invokeAt, invoke.length, out, err); poll(); } },
    bbw_abi_node_complete: { call: () => e.bbw_abi_node_complete(node, 9n, none, 4, err) },
    bbw_abi_node_fail: { call: () => e.bbw_abi_node_fail(node, 9n, inputAt, 1, err) },
    bbw_abi_node_cancel: { call: () => e.bbw_abi_node_cancel(node, 999_999_999n, err) },
    bbw_abi_node_set_send_room: { call: () => { e.bbw_abi_node_set_send_room(node, peerAt, peer.length, 0n, err); e.bbw_abi_node_set_send_room(node, peerAt, peer.length, 2n ** 64n - 1n, err); } },
    bbw_abi_node_send_failed: { call: () => { e.bbw_abi_node_send_failed(node, peerAt, peer.length, 7n, inputAt, 1, err); poll(); } },
    bbw_abi_node_poll: { call: poll },
    bbw_abi_node_set_time_budget: { call: () => e.bbw_abi_node_set_time_budget(node, 0) },
    bbw_abi_node_next_timer: { call: () => e.bbw_abi_node_next_timer(node, out) },
    bbw_abi_node_run_bootstrap: { call: () => e.bbw_abi_node_run_bootstrap(node, none, 4, err) },
    bbw_abi_node_run_bootstrap_slots: { call: () => e.bbw_abi_node_run_bootstrap_slots(node, none, 4, err) },
    bbw_abi_node_bootstrap_status: { call: () => e.bbw_abi_node_bootstrap_status(node) },
    bbw_abi_node_bootstraps: { call: () => e.bbw_abi_node_bootstraps(node, out) },
    bbw_abi_node_add_peer: { call: () => { e.bbw_abi_node_add_peer(node, peerAt, peer.length, addressesAt, addresses.length, err); e.bbw_abi_node_drop_peer(node, peerAt, peer.length, err); } },
    bbw_abi_node_observe_peer: { call: () => { assert.equal(e.bbw_abi_node_observe_peer(node, peerAt, peer.length, siteAt, site.length, err), 0); e.bbw_abi_node_drop_peer(node, peerAt, peer.length, err); } },
    bbw_abi_node_drop_peer: { call: () => e.bbw_abi_node_drop_peer(node, peerAt, peer.length, err) },
    bbw_abi_node_block_peer: { call: () => { e.bbw_abi_node_block_peer(node, peerAt, peer.length, err); e.bbw_abi_node_unblock_peer(node, peerAt, peer.length, err); } },
    bbw_abi_node_unblock_peer: { call: () => e.bbw_abi_node_unblock_peer(node, peerAt, peer.length, err) },
    bbw_abi_node_set_allowlist: { call: () => e.bbw_abi_node_set_allowlist(node, 1, none, 4, err) },
    bbw_abi_node_peer_health: { call: () => e.bbw_abi_node_peer_health(node, peerAt, peer.length, out) },
    bbw_abi_node_peer_addresses: { call: () => e.bbw_abi_node_peer_addresses(node, peerAt, peer.length, out) },
    bbw_abi_node_known_peers: { call: () => e.bbw_abi_node_known_peers(node, out) },
    bbw_abi_node_add_local_address: { call: () => { e.bbw_abi_node_add_local_address(node, siteAt, site.length, err); e.bbw_abi_node_forget_local_address(node, siteAt, site.length, err); } },
    bbw_abi_node_forget_local_address: { call: () => e.bbw_abi_node_forget_local_address(node, siteAt, site.length, err) },
    bbw_abi_node_fire_lifecycle: { call: () => { e.bbw_abi_node_fire_lifecycle(node, inputAt, 1, err); poll(); } },
    bbw_abi_node_set_config: { call: () => e.bbw_abi_node_set_config(node, fieldsAt, fields.length, err) },
    bbw_abi_node_config: { call: () => e.bbw_abi_node_config(node, out), every: 5 },
    bbw_abi_node_clear: { call: () => e.bbw_abi_node_clear(node, err) },
    bbw_abi_node_snapshot: { call: () => e.bbw_abi_node_snapshot(node, out, err), every: 20 },
    bbw_abi_node_restore: { call: () => e.bbw_abi_node_restore(node, data, 4, err) },
    bbw_abi_node_import_snapshot: { call: () => e.bbw_abi_node_import_snapshot(node, data, 4, err) },
    bbw_abi_snapshot_info: { call: () => e.bbw_abi_snapshot_info(data, 4, out, err) },
    bbw_abi_node_incarnation: { call: () => e.bbw_abi_node_incarnation(node) },
    bbw_abi_node_stats: { call: () => e.bbw_abi_node_stats(node, out) },
    bbw_abi_node_modules: { call: () => e.bbw_abi_node_modules(node, out) },
    bbw_abi_node_components: { call: () => e.bbw_abi_node_components(node, out) },
    bbw_abi_node_counter: { call: () => e.bbw_abi_node_counter(node, inputAt, 1, out) },
    bbw_abi_node_execution: { call: () => e.bbw_abi_node_execution(node, 999_999_999n, out) },
    bbw_abi_node_model: { call: () => e.bbw_abi_node_model(node, out) },
    bbw_abi_compile: { call: () => e.bbw_abi_compile(none, 4, out, err) },
    bbw_abi_shipped_components: { call: () => e.bbw_abi_shipped_components(out) },
    bbw_abi_model_new: { call: () => { e.bbw_abi_model_new(onnxAt, onnx.length, out, err); e.bbw_abi_model_del(new DataView(e.memory.buffer).getUint32(out, true)); }, every: 100 },
    bbw_abi_model_del: { call: () => e.bbw_abi_model_del(0) },
    bbw_abi_model_param_count: { call: () => e.bbw_abi_model_param_count(model) },
    bbw_abi_model_input_width: { call: () => e.bbw_abi_model_input_width(model) },
    bbw_abi_model_output_width: { call: () => e.bbw_abi_model_output_width(model) },
    bbw_abi_model_params: { call: () => e.bbw_abi_model_params(model, out, err) },
    bbw_abi_model_load: { call: () => e.bbw_abi_model_load(model, params, 6, err) },
    bbw_abi_model_forward: { call: () => e.bbw_abi_model_forward(model, x, 1, out, err) },
    bbw_abi_session_new: { call: () => { assert.equal(e.bbw_abi_session_new(onnxAt, onnx.length, 0, 0, 0, out, err), 0); e.bbw_abi_session_del(new DataView(e.memory.buffer).getUint32(out, true)); }, every: 200 },
    bbw_abi_session_share: { call: () => { assert.equal(e.bbw_abi_session_share(session, out, err), 0); e.bbw_abi_session_del(new DataView(e.memory.buffer).getUint32(out, true)); }, every: 20 },
    bbw_abi_session_del: { call: () => e.bbw_abi_session_del(0) },
    bbw_abi_session_ports: { call: () => e.bbw_abi_session_ports(session, out) },
    bbw_abi_session_run: { call: () => assert.equal(e.bbw_abi_session_run(session, frame, err), 0), every: 5 },
    bbw_abi_session_stats: { call: () => e.bbw_abi_session_stats(session, out) },
    bbw_abi_trainer_new: { call: () => { assert.equal(e.bbw_abi_trainer_new(onnxAt, onnx.length, trainingAt, training.length, out, err), 0); e.bbw_abi_trainer_del(new DataView(e.memory.buffer).getUint32(out, true)); }, every: 500 },
    bbw_abi_trainer_del: { call: () => e.bbw_abi_trainer_del(0) },
    bbw_abi_trainer_ports: { call: () => e.bbw_abi_trainer_ports(trainer, out), every: 5 },
    bbw_abi_trainer_run: { call: () => assert.equal(e.bbw_abi_trainer_run(trainer, batch, 0, 0, out, err), 0), every: 20 },
    bbw_abi_trainer_values: { call: () => e.bbw_abi_trainer_values(trainer, out) },
    bbw_abi_trainer_load: { call: () => assert.equal(e.bbw_abi_trainer_load(trainer, params, 6, 0, err), 0) },
    bbw_abi_trainer_initialize: { call: () => e.bbw_abi_trainer_initialize(trainer, 1, 7n), every: 5 },
    bbw_abi_trainer_state_save: { call: () => e.bbw_abi_trainer_state_save(trainer, out), every: 5 },
    bbw_abi_trainer_state_load: { call: () => assert.equal(e.bbw_abi_trainer_state_load(trainer, state, stateBytes, err), 0), every: 5 },
    bbw_abi_trainer_export: { call: () => assert.equal(e.bbw_abi_trainer_export(trainer, onnxAt, onnx.length, out, err), 0), every: 200 },
    bbw_abi_trainer_stats: { call: () => e.bbw_abi_trainer_stats(trainer, out) },
  };
  return { exports, bytes, calls };
}

const exported = readFileSync('wasm/exports.txt', 'utf8').split('\n').filter((line) => /^\w/.test(line));

test('every export a million times leaves memory and stack as they were', () => {
  const { exports, calls } = subject();
  assert.deepEqual(exported.filter((name) => calls[name] === undefined), [], 'an export without a call in this test');
  for (const name of exported) {
    const { call, every = 1 } = calls[name];
    const count = Math.ceil(CALLS / every);
    for (let i = 0; i < 2000 / every; i++) call(); // tables take their size
    const before = [exports.memory.buffer.byteLength, exports.bbw_abi_stack()];
    const used = exports.bbw_abi_memory_used();
    for (let i = 0; i < count; i++) call();
    assert.deepEqual([exports.memory.buffer.byteLength, exports.bbw_abi_stack()], before, name);
    assert.equal(exports.bbw_abi_memory_used(), used, name);
  }
});

test('a million deliveries and polls leave memory as it was', () => {
  const runtime = createRuntime(module);
  const artifact = compileIn(runtime, defineModule('Echo', (g) => g.output('y', g.input('x'))), { permissiveTypes: true });
  const node = installIn(runtime, { peerId: PeerId.fromU64(1), artifact, targets: ['Echo'], nodeConfig: { stepMask: 0n } });
  const data = Uint8Array.of(1, 2, 3, 4);
  const cycle = () => {
    node.deliverEvent('Echo', 'x', data);
    if (node.poll().length === 0) throw new Error('nothing came out');
  };
  for (let i = 0; i < 1000; i++) cycle();
  const before = [runtime.memoryBytes, runtime.memoryUsed];
  for (let i = 0; i < 1_000_000; i++) cycle();
  assert.deepEqual([runtime.memoryBytes, runtime.memoryUsed], before);
});
