// Runs a worker in the real workerd, from files and data that are given, until `close`.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';

const freePort = () => new Promise((done) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

/**
 * @param {object} options
 * @param {string} options.name  of the folder below build/edge
 * @param {string} options.worker  the worker's file
 * @param {readonly string[]} [options.files]  more modules, by their paths in the repository; every file of js/ that needs no Node is there
 * @param {Record<string, Uint8Array>} [options.data]  data modules
 */
export async function startWorkerd({ name, worker, files = [], data = {} }) {
  const out = resolve('build/edge', name), port = await freePort();
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const sources = [...readdirSync('js', { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js') && !/websocket-(node|server)/.test(file)).map((file) => `js/${file}`), ...files];
  for (const file of sources) {
    mkdirSync(dirname(join(out, file)), { recursive: true });
    cpSync(file, join(out, file));
  }
  cpSync(worker, join(out, 'worker.js'));
  cpSync('build/wasm/bb.wasm', join(out, 'bb.wasm'));
  for (const [file, bytes] of Object.entries(data)) writeFileSync(join(out, file), bytes);
  const modules = [
    '    (name = "worker.js", esModule = embed "worker.js"),', ...sources.map((file) => `    (name = "${file}", esModule = embed "${file}"),`), '    (name = "bb.wasm", wasm = embed "bb.wasm"),',
    ...Object.keys(data).map((file) => `    (name = "${file}", data = embed "${file}"),`),
  ].join('\n');
  writeFileSync(join(out, 'config.capnp'), readFileSync('tests/edge/config.capnp', 'utf8').replace('@PORT@', String(port)).replace('@MODULES@', modules));
  const child = spawn(resolve('node_modules/.bin/workerd'), ['serve', join(out, 'config.capnp')], { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stdout.on('data', (chunk) => { log += chunk; });
  child.stderr.on('data', (chunk) => { log += chunk; });
  const ended = new Promise((done) => child.once('exit', done));
  const url = `http://127.0.0.1:${port}`;
  const close = async () => {
    child.kill();
    await ended;
  };
  for (let i = 0; ; i++) {
    try {
      await (await fetch(url)).text();
      return { url, close };
    } catch (error) {
      if (i === 100 || child.exitCode !== null) {
        await close();
        throw new Error(`workerd did not answer: ${error.message}\n${log}`);
      }
      await new Promise((done) => setTimeout(done, 100));
    }
  }
}
