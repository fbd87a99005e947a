// in_node: the comparison in this Node. Prints one JSON line per figure.  usage: node in_node.mjs FOLDER-OF-KERNELS-WASM
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { hasRelaxedSimd } from '../../../js/internal/simd.js';
import { compareGemm } from './gemm_cases.mjs';
import { instantiate, jaxjs, onnxruntime, ours, tfjs } from './sides.mjs';

const folder = process.argv[2];
const load = async (/** @type {string} */ name) => instantiate(await WebAssembly.compile(await readFile(join(folder, name))));
/** @type {[string, any][]} */
const builds = [['simd128', await load('kernels.wasm')]];
if (hasRelaxedSimd()) builds.unshift(['relaxed', await load('kernels-relaxed.wasm')]);

// With a Worker in sight jax-js computes with several threads; one is compared with one. (onnxruntime-web would set it.)
Object.defineProperty(globalThis, 'Worker', { get: () => undefined, set() {} });
const require = createRequire(import.meta.url);
const ort = await import('onnxruntime-web/wasm');
ort.env.wasm.numThreads = 1;
const tf = require('@tensorflow/tfjs-core');
require('@tensorflow/tfjs-backend-wasm');
console.info = console.warn = () => {}; // what libraries say while they start is no figure
await tf.setBackend('wasm');
const jax = await import('@jax-js/jax');
jax.defaultDevice('wasm');

const engine = `node${process.versions.node.split('.')[0]}`;
await compareGemm({ engine, builds, ours, others: [onnxruntime(ort), tfjs(tf), jaxjs(jax)], report: (line) => console.log(JSON.stringify(line)) });
process.exit(0);
