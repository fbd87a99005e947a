// train_compare: steps of training beside jax-js and TensorFlow.js, in this Node and in Node 24. `make` built the modules and installed the others' packages.
// One JSON line per figure: train.MODEL.SIDE.ENGINE and train.MODEL.vs.SIDE.ENGINE; where a side lacks an operator, its words instead of a number.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (/** @type {string} */ relative) => fileURLToPath(new URL(relative, import.meta.url));
for (const [what, command] of [[`Node ${process.versions.node}`, process.execPath], ['Node 24', path('./compare/node_modules/node24/bin/node')]]) {
  if (!existsSync(command)) {
    console.error(`train_compare: ${what} is missing (${command}); its figures are left out`);
    continue;
  }
  const { status, stdout, stderr } = spawnSync(command, [path('./compare/train_in_node.mjs')], { encoding: 'utf8', timeout: 400_000 });
  process.stdout.write(stdout);
  if (status === 0) continue;
  console.error(`train_compare: ${what} failed\n${stderr}`);
  process.exitCode = 1;
}
