// Runs a WASI command with its output on ours: node run_wasi.mjs FILE.wasm [ARG...]
import { readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';

process.removeAllListeners('warning'); // node:wasi announces on every start that it is experimental
const [file, ...args] = process.argv.slice(2);
const wasi = new WASI({ version: 'preview1', args: [file, ...args], env: {}, returnOnExit: true });
const module = await WebAssembly.compile(await readFile(file));
const imports = { ...wasi.getImportObject(), env: { emscripten_notify_memory_growth() {} } };
process.exitCode = wasi.start(await WebAssembly.instantiate(module, imports));
