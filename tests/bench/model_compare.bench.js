// model_compare: whole models beside onnxruntime-web, in this Node, in Node 24 and in Chromium; how cost grows; what memory they take.
// `make` built the modules and installed the other's package. One JSON line per figure: infer.MODEL.vs.onnxruntime-web.ENGINE and others.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (/** @type {string} */ relative) => fileURLToPath(new URL(relative, import.meta.url));
const node24 = path('./compare/node_modules/node24/bin/node');
const inNode = path('./compare/models_in_node.mjs');

/** @param {string} what @param {string} command @param {string[]} args @returns {string} */
function run(what, command, args) {
  if (!existsSync(command)) {
    console.error(`model_compare: ${what} is missing (${command}); its figures are left out`);
    return '';
  }
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 580_000 });
  if (status === 0) return stdout;
  console.error(`model_compare: ${what} failed\n${stderr}`);
  process.exitCode = 1;
  return '';
}

for (const figure of ['mnist_cnn', 'squeezenet', 'mobilenet_v2', 'encoder.128']) {
  const bytes = ['ours', 'theirs'].map((side) => Number(JSON.parse(run(`memory of ${figure}`, process.execPath, [inNode, 'memory', figure, side]) || '{"bytes":0}').bytes));
  process.stdout.write(`${JSON.stringify({ name: `infer.${figure}.wasm_memory.vs.onnxruntime-web`, value: Number((bytes[0] / bytes[1]).toPrecision(4)), unit: 'ratio', ours_bytes: bytes[0], theirs_bytes: bytes[1] })}\n`);
}
process.stdout.write(run(`Node ${process.versions.node}`, process.execPath, [inNode, 'growth']));
process.stdout.write(run('Node 24', node24, [inNode]));
process.stdout.write(run('Chromium', path('../../scripts/netns.sh'), ['540', process.execPath, path('./compare/in_chromium.mjs'), 'models', path('../../build/compare')]));
