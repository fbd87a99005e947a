// The two examples of training in Web Workers of Chromium: clients of the federation learn LeNet-5, the sentence encoder learns topics, with the bits of Node.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import test from 'node:test';
import { launch } from 'puppeteer-core';
import { dealDigits, loadDigits, packSamples } from '../../demo/digits.js';
import { createFederation } from '../../demo/server.js';
import { createStaticHandler } from '../../demo/static-server.js';
import { trainTopics } from '../../examples/topics/classifier.js';
import { unpackTexts } from '../../examples/topics/dataset.js';
import { loadRuntime, PeerId } from '../../js/index.js';

const CHROMIUM = '/usr/bin/chromium';
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const PUBLIC = ['/js/', '/demo/participant.js', '/demo/random.js', '/examples/index.html', '/examples/topics/', '/build/wasm/bb.wasm', '/build/examples/', '/tests/browser/'];

/** A page of its own that may talk to one more host. */
async function openPage(browser, connect) {
  const server = createServer(createStaticHandler({ publicPaths: PUBLIC, pages: { '/': '/examples/index.html' }, connect }));
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  return { page, close: () => { server.closeAllConnections(); server.close(); } };
}

test('Chromium trains in Web Workers', { skip: !existsSync(CHROMIUM) && 'not installed', timeout: 200_000 }, async (t) => {
  const browser = await launch({ headless: true, executablePath: CHROMIUM, args: ARGS });
  try {
    await t.test('two workers learn LeNet-5 together', async () => {
      const deal = dealDigits(loadDigits(), 2), failed = [];
      const federation = await createFederation({ deal, model: 'cnn', training: { epochs: 1, batchSize: 32 }, onStep: (step) => { if (step.type === 'OpFailed') failed.push(`${step.reason} ${step.detail}`); } });
      const { page, close } = await openPage(browser, new URL(federation.socketUrl).origin);
      try {
        const clients = deal.shares.map((share, i) => ({
          task: 'join', peer: String(PeerId.fromU64(100 + i)), serverPeer: String(federation.serverPeer), socketUrl: federation.socketUrl,
          artifact: [...federation.artifact], onnx: Buffer.from(federation.onnx).toString('base64'), samples: Buffer.from(packSamples(share)).toString('base64'),
        }));
        await page.evaluate((list) => {
          const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          window.seen = [];
          window.workers = list.map((client) => {
            const worker = new Worker('/tests/browser/training-worker.js', { type: 'module' });
            worker.onerror = (event) => window.seen.push({ event: 'failed', text: event.message });
            worker.onmessage = ({ data }) => window.seen.push(data);
            worker.postMessage({ ...client, artifact: Uint8Array.from(client.artifact), onnx: bytes(client.onnx), samples: bytes(client.samples) });
            return worker;
          });
        }, clients);
        assert.equal(await federation.peersConnected(2, 20_000), true, JSON.stringify(await page.evaluate('window.seen')));
        const rounds = [];
        for (let i = 0; i < 3; i++) rounds.push(await federation.runRound());
        const seen = await page.evaluate('window.seen');
        assert.deepEqual([failed, seen.filter(({ event }) => event === 'failed')], [[], []]);
        assert.deepEqual(rounds.map((r) => r.updates), [2, 2, 2]);
        assert.equal(seen.filter(({ event }) => event === 'round').length, 6);
        assert.ok(rounds[2].accuracy > 0.85 && rounds[2].testLoss < rounds[0].testLoss, JSON.stringify(rounds));
        t.diagnostic(`LeNet-5, two workers, three rounds: ${(rounds[2].accuracy * 100).toFixed(1)} %`);
        await page.evaluate(() => window.workers.forEach((worker) => worker.terminate()));
      } finally {
        await page.close();
        close();
        await federation.close();
      }
    });

    await t.test('the encoder learns topics, with the bits of Node', async () => {
      const read = (name) => new Uint8Array(readFileSync(name)), built = 'build/examples';
      const here = await trainTopics({
        runtime: await loadRuntime(read('build/wasm/bb.wasm')), encoder: read(`${built}/sentences/model.onnx`), train: unpackTexts(read(`${built}/topics/train.bin`)), test: unpackTexts(read(`${built}/topics/test.bin`)), epochs: 4,
      });
      const { page, close } = await openPage(browser, '');
      try {
        const there = await page.evaluate(() => new Promise((resolve) => {
          const worker = new Worker('/tests/browser/training-worker.js', { type: 'module' });
          worker.onerror = (event) => resolve({ event: 'failed', text: event.message });
          worker.onmessage = ({ data }) => resolve(data);
          worker.postMessage({ task: 'topics', epochs: 4 });
        }));
        assert.equal(there.text, undefined);
        assert.deepEqual(there, { event: 'done', accuracy: here.accuracy, before: here.before, steps: here.steps, events: here.steps, hash: createHash('sha256').update(here.model).digest('hex') });
        assert.ok(here.accuracy > 0.7, `accuracy ${here.accuracy}`);
      } finally {
        await page.close();
        close();
      }
    });
  } finally {
    await browser.close();
  }
});
