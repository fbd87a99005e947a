// The package inside the real workerd, where nothing may be compiled from bytes: a precompiled module is installed and polled.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import test from 'node:test';

const OUT = resolve('build/edge');

/** Writes a configuration that holds the worker, every file of js/ and the wasm. @param {number} port */
function configure(port) {
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(OUT, { recursive: true });
  cpSync('js', join(OUT, 'js'), { recursive: true });
  cpSync('tests/edge/worker.js', join(OUT, 'worker.js'));
  cpSync('build/wasm/bb.wasm', join(OUT, 'bb.wasm'));
  cpSync('tests/vectors/artifacts/pass_one.compiled.pb', join(OUT, 'artifact.pb'));
  // Files that need Node or ws are no part of a worker.
  const sources = readdirSync('js', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js') && !/websocket-(node|server)/.test(name));
  const modules = [
    '    (name = "worker.js", esModule = embed "worker.js"),',
    ...sources.map((name) => `    (name = "js/${name}", esModule = embed "js/${name}"),`),
    '    (name = "bb.wasm", wasm = embed "bb.wasm"),',
    '    (name = "artifact.pb", data = embed "artifact.pb"),',
  ].join('\n');
  const config = readFileSync('tests/edge/config.capnp', 'utf8').replace('@PORT@', String(port)).replace('@MODULES@', modules);
  writeFileSync(join(OUT, 'config.capnp'), config);
}

const freePort = () => new Promise((done) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

test('workerd installs and polls a node from a precompiled module', { timeout: 60_000 }, async () => {
  const port = await freePort();
  configure(port);
  const child = spawn(resolve('node_modules/.bin/workerd'), ['serve', join(OUT, 'config.capnp')], { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stdout.on('data', (chunk) => { log += chunk; });
  child.stderr.on('data', (chunk) => { log += chunk; });
  const ended = new Promise((done) => child.once('exit', done));
  try {
    const ask = async (text) => (await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: text })).json();
    let answer;
    for (let i = 0; i < 100 && answer === undefined && child.exitCode === null; i++) {
      answer = await ask('hello').catch(() => new Promise((done) => setTimeout(() => done(undefined), 100)));
    }
    assert.ok(answer, `workerd did not answer:\n${log}`);
    assert.equal(answer.y, 'hello');
    assert.match(answer.modules[0], /^PassOne#/);
    assert.equal(answer.inFlight, 0);
    assert.equal((await ask('again')).y, 'again');
  } finally {
    child.kill();
    await ended;
  }
});
