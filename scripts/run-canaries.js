// Plants one bug of each class in a copy of one source file, builds the simulator with it, and sees that it is found within 200 seeds.
// usage: node scripts/run-canaries.js BUILD [ONLY]      needs BUILD/native/libbbw.a; exits 1 when a bug is not found, or when its place is gone from the source
//        node scripts/run-canaries.js --check           looks for the places only
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';

const [build, only] = process.argv.slice(2);
const SEEDS = 200;

/** A class of bugs, the file, what stands there and what the bug puts in its place; arguments of the simulator and the first seed, where they are not the usual ones. @type {[string, string, string, string, string?, number?][]} */
const CANARIES = [
  ['leak', 'src/engine/outbound.c', '--tail->refs == 0)', '--tail->refs == 0 && tail->len % 7 != 0)'],
  ['byte charge that stays', 'src/engine/inbound.c', 'bbw_engine_release(engine, event->charge);', '(void)0;'],
  ['lost request', 'src/engine/poll.c', 'if (bbw_step_begin(&engine->steps, BBW_STEP_WIRE_TIMEOUT)) {', 'if (request->id % 8 != 3 && bbw_step_begin(&engine->steps, BBW_STEP_WIRE_TIMEOUT)) {'],
  ['operator that nobody tells', 'src/engine/poll.c', 'if (waiter != NULL) { bbw_engine_resume', 'if (waiter != NULL && request->id % 4 != 1) { bbw_engine_resume'],
  ['answer of whom nobody asked', 'src/peers/request_tracker.c', 'return k <= request->other_count ? k : UINT32_MAX;', 'return k <= request->other_count ? k : 0;'],
  ['table over its cap', 'src/engine/frame.c', 'if (engine->frame_count >= engine->config.max_executions)', 'if (engine->frame_count > engine->config.max_executions)'],
  ['more addresses than are kept', 'src/peers/address_book.c', 'if (d->count <= BBW_ADDRESSES_PER_PEER_MAX) { return; }', 'if (d->count <= BBW_ADDRESSES_PER_PEER_MAX + 1) { return; }'],
  ['block list not enforced', 'src/peers/governor.c', 'if (bbw_peer_table_find(&governor->blocked, peer) != NULL)', 'if (peer->size == 0 && bbw_peer_table_find(&governor->blocked, peer) != NULL)'],
  ['allow list not enforced', 'src/peers/governor.c', 'if (governor->has_allowlist && bbw_peer_table_find(&governor->allowed, peer) == NULL)', 'if (governor->has_allowlist && governor->allowed.count == 0 && bbw_peer_table_find(&governor->allowed, peer) == NULL)'],
  ['not deterministic', 'src/engine/engine.c', 'uint64_t bbw_engine_random(bbw_engine *engine) { return next_random(&engine->rng_state); }', 'uint64_t bbw_engine_random(bbw_engine *engine) { return next_random(&engine->rng_state) ^ (uint64_t)(uintptr_t)engine >> 12; }'],
  ['work that never goes on', 'src/engine/poll.c', 'if (parked == NULL || parked->frame == NULL) { return; }\n  bbw_engine_finish_parked(engine, parked);', 'if (parked == NULL || parked->frame == NULL || cmd_id % 16 == 5) { return; }\n  bbw_engine_finish_parked(engine, parked);'],
  ['round that does not end', 'src/components/fedavg.c', 'bbw_ctx_set_output(ctx, 0, params);', 'if (samples % 4 == 2) { bbw_value_release(params, f->mem); bbw_value_release(metadata, f->mem); uint64_t cmd; return bbw_ctx_later(ctx, &cmd) == BBW_OK ? BBW_LATER : BBW_E_NOMEM; }\n  bbw_ctx_set_output(ctx, 0, params);'],
  ['state wrong after a restore', 'src/node/snapshot_rebuild.c', 'requests->next_token = r->snap->next_token;', 'requests->next_token = r->snap->next_token + 1;'],
  ['component wrong after a restore', 'src/components/onnx_state.c', 'm->trainings = l.trainings;', 'm->trainings = l.trainings / 2;'],
  ['training goes on elsewhere after a restore', 'src/components/onnx_state.c', 'at->epoch = words[3];', 'at->epoch = 0;'],
  ['repeat let through', 'src/peers/dedup.c', 'if (bbw_dedup_contains(dedup, hash)) {', 'if (hash % 4 != 0 && bbw_dedup_contains(dedup, hash)) {'],
  ['identity taken from the envelope', 'src/node/node.c', 'event->inbound.src_peer = *peer;',
    'event->inbound.src_peer = *peer;\n  if (event->envelope.src_peer_bytes.len != 0) { (void)bbw_peer_id_decode(&event->inbound.src_peer, event->envelope.src_peer_bytes, NULL); }'],
  ['crash on bytes of a stranger', 'src/engine/inbound.c', 'if (*number < count && serves(bbw_engine_component(engine, (size_t)*number), op_type)) { return true; }', 'if (serves(bbw_engine_component(engine, (size_t)*number), op_type)) { return true; }'],
  ['models that differ', 'src/components/onnx_model.c', 'if (count > 0) { memcpy(data, bbw_onnx_net_parameters(m->net), count * sizeof(float)); }', 'if (count > 0) { memcpy(data, bbw_onnx_net_parameters(m->net), count * sizeof(float)); data[0] += m->trainings % 5 == 4 ? 1.0f : 0.0f; }'],
  ['ids of requests that two Nodes share', 'src/engine/engine.c', 'if (config->rng_seed != 0) { engine->requests.next_token', 'if (config->rng_seed == 0) { engine->requests.next_token', '--scenario storm'],
  ['ids of requests that an earlier life gave', 'src/node/snapshot.c', 'next->requests.next_token = installed->requests.next_token;', '', '--scenario storm'],
];

const FLAGS = ['-std=c11', '-ffp-contract=off', '-Iinclude', '-Isrc', '-O1', '-g', '-fno-lto', '-w'];
const simulator = readdirSync('tests/sim').filter((name) => name.endsWith('.c')).map((name) => `${build}/native/obj/tests/sim/${name.slice(0, -2)}.o`);

/** Builds the simulator with one file changed. @param {number} k @param {string} file @param {string} text */
function make(k, file, text) {
  const dir = `${build}/canary/${k}`, source = `${dir}/${basename(file)}`;
  mkdirSync(dir, { recursive: true });
  writeFileSync(source, `#line 1 "${file}"\n${text}`);
  execFileSync('gcc', [...FLAGS, `-I${file.slice(0, file.lastIndexOf('/'))}`, '-c', source, '-o', `${dir}/changed.o`], { stdio: 'inherit' });
  execFileSync('gcc', ['-fno-lto', ...simulator, `${dir}/changed.o`, `${build}/native/libbbw.a`, '-lm', '-o', `${dir}/sim`], { stdio: 'inherit' });
  return `${dir}/sim`;
}

/** The lines of a run of seeds; a run that crashed or did not come back ends early. */
function lines(program, from, count, limitMs, more) {
  const { stdout, status, signal } = spawnSync(program, ['--from', String(from), '--seeds', String(count), ...more], { encoding: 'utf8', timeout: limitMs, maxBuffer: 1 << 26 });
  return { list: stdout.split('\n').filter((line) => / hash=/.test(line)), died: signal ?? (status > 1 ? `exit ${status}` : null) };
}

/** The first of the seeds that shows the bug, and how. */
function find(program, more, from) {
  const a = lines(program, from, SEEDS, 120_000, more);
  const failed = a.list.findIndex((line) => !/ ok\s*$/.test(line));
  if (failed >= 0) return [from + failed, a.list[failed].replace(/.*FAILED /, '')];
  if (a.died !== null) return [from + a.list.length, `ended by ${a.died}`];
  const b = lines(program, from, SEEDS, 120_000, more); // another process: memory lies elsewhere
  const other = a.list.findIndex((line, i) => line !== b.list[i]);
  return other >= 0 ? [from + other, 'the same seed gives another trace in another process'] : null;
}

let missing = 0;
CANARIES.forEach(([name, file, place, bug, more = '', from = 1], k) => {
  if (only !== undefined && !name.includes(only)) return;
  const text = readFileSync(file, 'utf8');
  if (text.split(place).length !== 2) {
    console.error(`canary "${name}": its place in ${file} is gone or there twice; see scripts/run-canaries.js`);
    missing++;
    return;
  }
  if (build === '--check') return;
  const found = find(make(k, file, text.replace(place, () => bug)), more.split(' ').filter((word) => word !== ''), from);
  console.log(`canary "${name}": ${found === null ? `NOT FOUND in ${SEEDS} seeds` : `found by seed ${found[0]}: ${found[1]}`}`);
  if (found === null) missing++;
});
process.exitCode = missing === 0 ? 0 : 1;
