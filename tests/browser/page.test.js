// The demo's page in a real browser: a tab joins, trains, leaves and rejoins while the rounds go on.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import test from 'node:test';
import { Worker } from 'node:worker_threads';
import { launch } from 'puppeteer-core';
import { dealDigits, loadDigits, packSamples } from '../../demo/digits.js';
import { createFederation } from '../../demo/server.js';
import { PeerId } from '../../js/index.js';

const CLIENTS = 2;
const SHOTS = 'build/browser';

/** Rounds without an end, until told. */
function roundsOf(federation) {
  const results = [];
  let isRunning = true;
  const ended = (async () => {
    while (isRunning) {
      const result = await federation.runRound();
      if (result) results.push(result);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  return { results, stop: () => { isRunning = false; return ended; } };
}

/** @param {() => boolean} isTrue @param {string} what */
async function eventually(isTrue, what, ms = 30_000) {
  for (const end = Date.now() + ms; !isTrue();) {
    if (Date.now() > end) assert.fail(`it did not happen that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('a tab joins, trains, draws, leaves and rejoins while the round goes on', { timeout: 180_000 }, async () => {
  mkdirSync(SHOTS, { recursive: true });
  const deal = dealDigits(loadDigits(), CLIENTS);
  const failed = [];
  const federation = await createFederation({ deal, training: { epochs: 1 }, onStep: (step) => { if (step.type === 'OpFailed') failed.push(step); } });
  const workers = deal.shares.map((share, i) => new Worker(new URL('../../demo/client-worker.js', import.meta.url), {
    workerData: {
      peer: String(PeerId.fromU64(100 + i)), serverPeer: String(federation.serverPeer), url: federation.socketUrl,
      artifact: federation.artifact, onnx: federation.onnx, samples: packSamples(share),
    },
  }));
  const browser = await launch({
    executablePath: '/usr/bin/chromium', headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  let rounds;
  try {
    assert.equal(await federation.peersConnected(CLIENTS, 20_000), true);
    rounds = roundsOf(federation);
    const { results } = rounds;
    await eventually(() => results.length > 0, 'a round ends');

    const page = await browser.newPage();
    await page.setViewport({ width: 900, height: 700 });
    const complaints = [], hosts = new Set();
    page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
    page.on('console', (message) => { if (['error', 'warn'].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`); });
    page.on('request', (request) => { if (!request.url().startsWith('data:')) hosts.add(new URL(request.url()).host); });
    const text = (id) => page.$eval(`#${id}`, (node) => node.textContent);
    const trainedRounds = async (count) => {
      try {
        await page.waitForFunction((n) => Number(document.querySelector('#trained').textContent) >= n, { timeout: 30_000 }, count);
      } catch {
        assert.fail(`the tab did not train ${count} rounds: "${await text('status')}" ${complaints.join('; ')} ${failed.map((s) => `${s.reason} ${s.detail}`).join('; ')}`);
      }
    };

    // It joins and trains.
    const response = await page.goto(federation.url);
    assert.match(response.headers()['content-security-policy'], /^default-src 'none'; script-src 'self' 'wasm-unsafe-eval';/);
    await trainedRounds(3);
    await eventually(() => results.at(-1).updates === CLIENTS + 1, 'the tab is part of a round');
    assert.match(await text('status'), /Connected/);
    assert.ok(Number(await text('loss')) > 0 && Number(await text('loss')) < 5);
    assert.match(await text('accuracy'), /^\d+\.\d\d %$/);
    for (const chart of ['loss-chart', 'accuracy-chart']) {
      const points = await page.$eval(`#${chart} polyline`, (node) => node.getAttribute('points').split(' ').length);
      assert.ok(points >= 2, `${chart} has ${points} points`);
      const labels = await page.$$eval(`#${chart} text`, (nodes) => nodes.map((node) => node.textContent));
      assert.ok(labels.includes('round') && labels.length >= 7, `${chart} has axes: ${labels}`);
      assert.match(await page.$eval(`#${chart}`, (node) => node.getAttribute('aria-label')), /after round \d+$/);
    }
    assert.equal(await text('peers'), String(CLIENTS + 1));
    assert.match(await text('share-text'), /^\d+ × \d, \d+ × \d and \d+ × \d:/);
    const inked = await page.$eval('#share', (canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.filter((v, i) => i % 4 === 3 && v > 0).length);
    assert.ok(inked > 1000, `${inked} pixels of the tab's own digits are drawn`);
    await page.screenshot({ path: `${SHOTS}/joined.png`, fullPage: true });
    // Nothing sticks out on a small screen.
    await page.setViewport({ width: 320, height: 640 });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'no sideways scrolling at 320 pixels');
    await page.screenshot({ path: `${SHOTS}/small.png`, fullPage: true });
    await page.setViewport({ width: 900, height: 700 });

    // It leaves; the others go on.
    await page.focus('#toggle'); // by keyboard
    await page.keyboard.press('Enter');
    await eventually(() => federation.peers.size === CLIENTS, 'the tab is gone');
    const before = results.length;
    await eventually(() => results.length >= before + 3, 'rounds go on without the tab');
    assert.equal(results.at(-1).updates, CLIENTS);
    assert.match(await text('status'), /left/);
    const peer = await text('peer');

    // It comes back under its id and goes on.
    const trained = Number(await text('trained'));
    await page.click('#toggle');
    await trainedRounds(trained + 2);
    assert.ok(federation.peers.has(peer));

    // Closing the tab in the middle of things is leaving too; a reload is coming back with the same id.
    await page.reload();
    await trainedRounds(1);
    assert.equal(await text('peer'), peer);
    await page.screenshot({ path: `${SHOTS}/rejoined.png` });
    await page.close();
    await eventually(() => federation.peers.size === CLIENTS, 'the closed tab is gone');

    assert.deepEqual(complaints, []);
    assert.deepEqual([...hosts], [new URL(federation.url).host]);
    assert.deepEqual(failed.map((s) => `${s.kind} ${s.reason} ${s.detail}`), []);
    assert.ok(results.at(-1).accuracy > 0.5, `accuracy ${results.at(-1).accuracy}`);
  } finally {
    await rounds?.stop();
    await browser.close();
    workers.forEach((worker) => worker.postMessage('leave'));
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))));
    await federation.close();
  }
});
