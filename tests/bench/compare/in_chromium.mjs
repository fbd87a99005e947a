// in_chromium: the comparison in a page of headless Chromium. Prints one JSON line per figure.  usage: node in_chromium.mjs [models] FOLDER-OF-KERNELS-WASM
// Runs in a network namespace with loopback only (scripts/netns.sh).  The page is not isolated, so everybody computes with one thread.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import puppeteer from 'puppeteer-core';

const isModels = process.argv[2] === 'models';
const here = fileURLToPath(new URL('.', import.meta.url));
/** What each first part of a path stands for. @type {Record<string, string>} */
const ROOTS = { compare: here, node_modules: join(here, 'node_modules'), js: join(here, '../../../js'), build: join(here, '../../../build'), kernels: process.argv[isModels ? 3 : 2] };
/** @type {Record<string, string>} */
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };

const server = createServer(async (request, response) => {
  const [, root, ...rest] = normalize(decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname)).split('/');
  try {
    if (root === 'models') {
      const { MODELS } = await import('../../models/models.js');
      response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(/** @type {any} */ (MODELS)[rest[0]]());
      return;
    }
    const body = await readFile(join(ROOTS[root], ...rest));
    response.writeHead(200, { 'content-type': TYPES[extname(request.url ?? '')] ?? 'application/octet-stream' }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());

const profile = await mkdtemp(join(tmpdir(), 'compare-'));
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  userDataDir: profile,
  protocolTimeout: 480_000,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error(String(error)));
  page.on('console', (message) => console.error(message.text()));
  await page.goto(`http://127.0.0.1:${port}/compare/page.html`);
  await page.waitForFunction('window.isReady === true', { timeout: 30_000 });
  const lines = await page.evaluate((what) => /** @type {any} */ (globalThis)[what]('chromium'), isModels ? 'compareModelsHere' : 'compareAll');
  for (const line of lines) console.log(JSON.stringify(line));
} finally {
  await browser.close();
  server.close();
  await rm(profile, { recursive: true, force: true });
}
