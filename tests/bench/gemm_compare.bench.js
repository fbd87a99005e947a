// gemm_compare: our products beside those of onnxruntime-web, tfjs-wasm and jax-js, in this Node, in Node 24 and in Chromium.
// `make` built the modules and installed the others' packages. One JSON line per figure: gemm.N.vs.OTHER.ENGINE and the share of the peak.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (/** @type {string} */ relative) => fileURLToPath(new URL(relative, import.meta.url));
const kernels = path('../../build/compare');
const node24 = path('./compare/node_modules/node24/bin/node');
const netns = path('../../scripts/netns.sh');

/** [what, command, its arguments] @type {[string, string, string[]][]} */
const RUNS = [
  [`Node ${process.versions.node}`, process.execPath, [path('./compare/in_node.mjs'), kernels]],
  ['Node 24', node24, [path('./compare/in_node.mjs'), kernels]],
  ['Chromium', netns, ['540', process.execPath, path('./compare/in_chromium.mjs'), kernels]],
];
for (const [what, command, args] of RUNS) {
  if (!existsSync(command)) { console.error(`gemm_compare: ${what} is missing (${command}); its figures are left out`); continue; }
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 580_000 });
  process.stdout.write(stdout);
  if (status !== 0) {
    console.error(`gemm_compare: ${what} failed\n${stderr}`);
    process.exitCode = 1;
  }
}
