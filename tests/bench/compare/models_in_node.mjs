// models_in_node: whole models in this Node, and what they leave in memory. Prints one JSON line per figure.
// usage: node models_in_node.mjs [memory MODEL SIDE]      memory: runs one model once on one side ('ours', 'theirs') and prints the bytes of its wasm memory
import { readFileSync } from 'node:fs';
import { createRuntime, createSessionIn } from '../../../js/index.js';
import { hasRelaxedSimd } from '../../../js/internal/simd.js';
import { MODELS } from '../../models/models.js';
import { COMPARED, compareModels, measureGrowth, onnxruntime, ours } from './model_cases.mjs';

Object.defineProperty(globalThis, 'Worker', { get: () => undefined, set() {} }); // one thread
const [task, only, side] = process.argv.slice(2);
const load = async (/** @type {string} */ name) => /** @type {Record<string, () => Uint8Array>} */ (MODELS)[name]();
const runtimeOf = (/** @type {string} */ file) => createRuntime(new WebAssembly.Module(readFileSync(new URL(`../../../build/wasm/${file}`, import.meta.url))));
const engine = `node${process.versions.node.split('.')[0]}`;
const report = (/** @type {object} */ line) => console.log(JSON.stringify(line));

if (task === 'memory') {
  // What the memory of the wasm instance grows to: loading, planning and one run.
  const memories = /** @type {WebAssembly.Memory[]} */ ([]);
  const { Memory, Instance, instantiate } = WebAssembly;
  /** @type {any} */ (WebAssembly).Memory = new Proxy(Memory, { construct: (target, args) => { const memory = new target(.../** @type {[any]} */ (args)); memories.push(memory); return memory; } });
  const note = (/** @type {any} */ result) => { const memory = (result.instance ?? result).exports.memory; if (memory instanceof Memory) memories.push(memory); return result; };
  /** @type {any} */ (WebAssembly).instantiate = async (/** @type {any[]} */ ...args) => note(await /** @type {any} */ (instantiate)(...args));
  /** @type {any} */ (WebAssembly).Instance = new Proxy(Instance, { construct: (target, args) => note(new target(.../** @type {[any]} */ (args))) });
  const [, name, inputs] = /** @type {(typeof COMPARED)[number]} */ (COMPARED.find(([figure]) => figure === only));
  const ort = side === 'theirs' ? await import('onnxruntime-web/wasm') : undefined;
  if (ort !== undefined) ort.env.wasm.numThreads = 1;
  const prepared = await (ort === undefined ? ours(runtimeOf('bb.wasm'), createSessionIn) : onnxruntime(ort)).prepare(await load(name), inputs);
  await prepared.run();
  report({ bytes: Math.max(...memories.map(({ buffer }) => buffer.byteLength)) });
  process.exit(0);
}
const ort = await import('onnxruntime-web/wasm');
ort.env.wasm.numThreads = 1;
const strict = ours(runtimeOf('bb.wasm'), createSessionIn);
await compareModels({ engine, sides: [strict, onnxruntime(ort)], load, report });
if (hasRelaxedSimd()) await compareModels({ engine: `relaxed.${engine}`, sides: [ours(runtimeOf('bb-relaxed.wasm'), createSessionIn), onnxruntime(ort)], load, report });
if (task === 'growth') await measureGrowth({ engine, sides: [strict], load, report });
process.exit(0);
