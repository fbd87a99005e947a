// Models give the same bits in every engine: V8 (Node, Chromium), SpiderMonkey (Firefox) and JavaScriptCore (WebKitGTK).
//
// Browsers that are not installed are skipped by name; `make test` installs Chromium and Firefox. WebKitGTK: Debian's webkit2gtk-driver, xvfb and xauth.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import test from 'node:test';
import { launch } from 'puppeteer-core';
import { createRuntime, createSessionIn } from '../../js/index.js';
import { denseClassifier, encoder, mnistCnn, mobilenetV2 } from '../models/models.js';
import { bitsOf } from './bits.mjs';

const MODELS = { dense: denseClassifier(), mnist_cnn: mnistCnn(), mobilenet_v2: mobilenetV2({ classes: 10 }), encoder: encoder({ layers: 2, width: 64, heads: 4 }) };
const TYPES = { '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };
const PAGE = `<!doctype html><meta charset="utf-8"><title>bits</title><script type="module">
import { createRuntime, createSessionIn } from '/js/index.js';
import { bitsOf } from '/tests/browser/bits.mjs';
try {
  const runtime = createRuntime(await WebAssembly.compile(await (await fetch('/build/wasm/bb.wasm')).arrayBuffer()));
  const load = async (name) => new Uint8Array(await (await fetch('/models/' + name)).arrayBuffer());
  window.result = JSON.stringify(await bitsOf(runtime, createSessionIn, load));
} catch (error) { window.result = 'failed: ' + error; }
</script>`;

/** @returns {Promise<{url: string, close: () => void}>} */
async function serve() {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, 'http://localhost').pathname);
    const model = MODELS[path.replace('/models/', '')];
    if (path === '/') response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
    else if (model !== undefined) response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(model);
    else if (/^\/(js|tests\/browser|build\/wasm)\//.test(path) && existsSync(`.${path}`)) response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'text/plain' }).end(readFileSync(`.${path}`));
    else response.writeHead(404).end();
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => { server.closeAllConnections(); server.close(); } };
}

const here = () => {
  const runtime = createRuntime(new WebAssembly.Module(readFileSync('build/wasm/bb.wasm')));
  return bitsOf(runtime, createSessionIn, async (name) => MODELS[name]);
};

async function inPuppeteer(options) {
  const { url, close } = await serve();
  const browser = await launch({ headless: true, ...options });
  try {
    const page = await browser.newPage();
    await page.goto(url);
    await page.waitForFunction('window.result !== undefined', { timeout: 60_000 });
    return await page.evaluate('window.result');
  } finally {
    await browser.close();
    close();
  }
}

/** W3C WebDriver by fetch. */
async function inWebKit(binary) {
  const { url, close } = await serve();
  const port = 20_000 + process.pid % 20_000;
  const driver = spawn('xvfb-run', ['-a', 'WebKitWebDriver', `--port=${port}`, '--host=127.0.0.1'], { stdio: 'ignore', detached: true });
  const call = async (method, path, body) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, ...(body !== undefined && { body: JSON.stringify(body) }) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${path}: ${JSON.stringify(value)}`);
    return value;
  };
  try {
    let session;
    for (let i = 0; session === undefined; i++) {
      await new Promise((resolve) => { setTimeout(resolve, 250); });
      try {
        session = (await call('POST', '/session', { capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': { binary, args: ['--automation'] } } } })).sessionId;
      } catch (error) { if (i > 60) throw error; }
    }
    await call('POST', `/session/${session}/url`, { url });
    for (let i = 0; i < 240; i++) {
      const value = await call('POST', `/session/${session}/execute/sync`, { script: 'return window.result ?? null', args: [] });
      if (value !== null) return value;
      await new Promise((resolve) => { setTimeout(resolve, 250); });
    }
    throw new Error('no result after a minute');
  } finally {
    try { process.kill(-driver.pid); } catch { /* gone already */ }
    close();
  }
}

const expected = here().then(JSON.stringify);
const CHROMIUM = '/usr/bin/chromium', FIREFOX = '/usr/bin/firefox-esr';
const webkits = existsSync('/usr/lib/x86_64-linux-gnu') ? readdirSync('/usr/lib/x86_64-linux-gnu').filter((name) => name.startsWith('webkit2gtk-4')).map((name) => `/usr/lib/x86_64-linux-gnu/${name}/MiniBrowser`).filter(existsSync) : [];

test('Chromium computes the bits of Node', { skip: !existsSync(CHROMIUM) && 'not installed', timeout: 120_000 }, async () => {
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
  assert.equal(await inPuppeteer({ executablePath: CHROMIUM, args }), await expected);
});

test('Firefox computes the bits of Node', { skip: !existsSync(FIREFOX) && 'not installed', timeout: 120_000 }, async () => {
  const profile = mkdtempSync(join(tmpdir(), 'bits-'));
  try {
    assert.equal(await inPuppeteer({ browser: 'firefox', executablePath: FIREFOX, userDataDir: profile }), await expected);
  } finally {
    rmSync(profile, { recursive: true, force: true });
  }
});

test('WebKitGTK computes the bits of Node', { skip: (webkits.length === 0 || !existsSync('/usr/bin/WebKitWebDriver')) && 'not installed', timeout: 120_000 }, async () => {
  assert.equal(await inWebKit(webkits[0]), await expected);
});
