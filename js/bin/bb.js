#!/usr/bin/env node
// bb: the command line of the package.
//
//   npx bb sim --seed 7 --trace            one simulated network of Nodes, everything that happens
//   npx bb sim --from 1 --seeds 100        a hundred of them, one line each
//
// The simulator is a module of its own beside bb.wasm: the same C core with many Nodes, a virtual clock and a network that loses, delays and repeats.

import { readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';

const USAGE = `usage: bb sim [--seed S] [--trace] [--from F --seeds N] [--scenario storm|join|fedavg|gossip|churn] [--nodes N] [--calm] [--twice] [--quiet]
  --seed S       one run; the seed draws scenario, Nodes, network and faults
  --trace        print what happens
  --from --seeds many runs, a line each; exits 1 when one fails
  --scenario     instead of what the seed chooses; also --nodes
  --calm         no faults
  --twice        run each seed twice and compare the traces
  --quiet        print only runs that fail, and a summary
`;

/** @param {string[]} args @returns {Promise<number>} */
async function sim(args) {
  const module = await WebAssembly.compile(await readFile(new URL('../../build/wasm/bb-sim.wasm', import.meta.url)));
  const wasi = new WASI({ version: 'preview1', args: ['bb sim', ...args], env: {}, returnOnExit: true });
  const imports = { wasi_snapshot_preview1: wasi.wasiImport, env: { emscripten_notify_memory_growth() {} } };
  return Number(wasi.start(await WebAssembly.instantiate(module, imports)));
}

process.removeAllListeners('warning'); // node:wasi announces on every start that it is experimental
const [command, ...args] = process.argv.slice(2);
if (command === 'sim' && !args.includes('--help')) {
  process.exitCode = await sim(args);
} else {
  (command === undefined || command.endsWith('help') || args.includes('--help') ? process.stdout : process.stderr).write(USAGE);
  process.exitCode = command === undefined || command.endsWith('help') || args.includes('--help') ? 0 : 2;
}
