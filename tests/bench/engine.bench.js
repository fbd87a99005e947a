// Size of the module, time to start, cost of an operator, memory of a node.  One JSON line per figure.
import { readFileSync } from 'node:fs';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { createRuntime, encodeModel, installIn, PeerId } from '../../js/index.js';

const P = 'ai.bytesandbrains.';
const OPS = 1000;
const put = (name, value, unit, more = {}) => console.log(JSON.stringify({ name, value: Number(value.toPrecision(5)), unit, ...more }));

/** The median of several runs. @param {number} times @param {() => number} run */
function median(times, run) {
  const list = Array.from({ length: times }, run).sort((a, b) => a - b);
  return list[list.length >> 1];
}
/** @param {() => void} run @returns {number} ms */
function timed(run) {
  const begin = performance.now();
  run();
  return performance.now() - begin;
}

/** An artifact of `count` PassThrough operators in a row. @param {number} count */
const chain = (count) => encodeModel({
  metadataProps: [{ key: `${P}compiled`, value: 'v1' }],
  functions: [{
    name: 'Chain#0000000000000000', input: ['x'], output: ['y'],
    node: Array.from({ length: count }, (_, i) => ({
      opType: 'PassThrough', domain: `${P}syscall`, input: [i === 0 ? 'x' : `v${i - 1}`], output: [i === count - 1 ? 'y' : `v${i}`],
    })),
    metadataProps: [{ key: `${P}module_phase`, value: 'body' }],
  }],
});

const file = readFileSync('build/wasm/bb.wasm');
put('wasm.size.raw', file.length, 'bytes');
put('wasm.size.gzip', gzipSync(file, { level: 9 }).length, 'bytes');
put('wasm.size.br', brotliCompressSync(file, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length, 'bytes');

// V8 remembers modules by their bytes: a custom section (id 0, three bytes: an empty name and a number) makes each one new to it.
let serial = 0;
const fresh = () => Buffer.concat([file, Uint8Array.of(0, 3, 0, serial & 0xff, serial++ >> 8)]);
put('start.compile.ms', median(9, () => { const bytes = fresh(); return timed(() => new WebAssembly.Module(bytes)); }), 'ms');
const module = new WebAssembly.Module(file);
put('start.instantiate.ms', median(21, () => timed(() => createRuntime(module))), 'ms');
const artifact = chain(OPS), small = readFileSync('tests/vectors/artifacts/pass_one.compiled.pb');
const make = (runtime, bytes = artifact, target = 'Chain') => installIn(runtime, {
  peerId: PeerId.fromU64(1), artifact: bytes, targets: [target],
  nodeConfig: { cycleOpBudget: 10 * OPS, stepMask: 0 }, // the steps of each operator are not part of the figure
});
put('start.install_small.ms', median(21, () => {
  const runtime = createRuntime(module);
  return timed(() => make(runtime, small, 'PassOne'));
}), 'ms');
put('start.install_chain1000.ms.package', median(21, () => {
  const runtime = createRuntime(module);
  return timed(() => make(runtime));
}), 'ms');

const node = make(createRuntime(module));
const data = Uint8Array.of(1, 2, 3, 4);
const run = () => {
  node.deliverEvent('Chain', 'x', data);
  let isDone = false;
  while (!isDone) {
    isDone = node.poll().some((step) => step.type === 'AppEvent' && step.topic === 'y');
    if (!isDone && node.isPending) throw new Error('the chain did not reach its end');
  }
};
for (let i = 0; i < 500; i++) run(); // until the engine has optimized
put('engine.chain1000.ns.package', (median(31, () => timed(() => { for (let i = 0; i < 20; i++) run(); })) / 20 / OPS) * 1e6, 'ns/op');

const crowd = createRuntime(module);
make(crowd, small, 'PassOne');
const before = crowd.memoryUsed;
for (let i = 0; i < 100; i++) make(crowd, small, 'PassOne');
put('memory.idle_node.bytes', (crowd.memoryUsed - before) / 100, 'bytes');
put('memory.instance.bytes', createRuntime(module).memoryBytes, 'bytes');
