// Data that only browsers have: sets in IndexedDB, larger than what is held in memory, over reloads; picture files decoded. In pages and workers.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { launch } from 'puppeteer-core';
import { createStaticHandler } from '../../demo/static-server.js';

const BROWSERS = {
  chromium: {
    browser: 'chrome', executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  },
  firefox: { browser: 'firefox', executablePath: '/usr/bin/firefox-esr' },
};

async function serve() {
  const server = createServer(createStaticHandler({ publicPaths: ['/js/', '/tests/browser/', '/tests/js/linear-trainer.js', '/examples/index.html'], pages: { '/': '/examples/index.html' } }));
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => { server.closeAllConnections(); server.close(); } };
}

// ---- what runs in the page: functions without anything of the test around them ----

/** Fills a set of 4,000 samples of 1,000 numbers (16 MB) in chunks of 100, of which 3 are held; reads it shuffled. */
async function fillAndRead() {
  const { createBatch, createLoader, deleteStoredSet, openStoredSet } = await import('/js/data/index.js');
  await deleteStoredSet('numbers');
  const set = await openStoredSet('numbers', { chunk: 100, chunksHeld: 3 });
  const batchOf = (from, count) => createBatch({
    inputs: { x: { data: Float32Array.from({ length: count * 1000 }, (_, i) => from + Math.floor(i / 1000) + (i % 1000) / 1024), dims: [count, 1000] } }, labels: Int32Array.from({ length: count }, (_, i) => (from + i) % 7),
  });
  for (let at = 0; at < 4000; at += 250) await set.append(batchOf(at, 250)); // not in step with the chunks
  const loader = createLoader(set, { batchSize: 32, shuffle: true, seed: 4 }), seen = [], before = set.chunksRead;
  let wrong = 0;
  for await (const { inputs: { x }, labels, count } of loader.batches()) {
    for (let i = 0; i < count; i++) {
      const number = Math.floor(x.data[i * 1000]);
      seen.push(number);
      if (x.data[i * 1000 + 999] !== Math.fround(number + 999 / 1024) || labels.data[i] !== number % 7) wrong++;
    }
  }
  const chunksRead = set.chunksRead - before, neighbours = seen.filter((n, i) => i > 0 && n === seen[i - 1] + 1).length;
  const rest = [];
  for await (const { inputs: { x }, count } of loader.batches({ from: 100 })) for (let i = 0; i < count; i++) rest.push(Math.floor(x.data[i * 1000]));
  set.close();
  return { length: set.length, isWhole: new Set(seen).size === 4000 && seen.length === 4000, wrong, chunksRead, neighbours, isResumed: rest.join() === seen.slice(3200).join() };
}

/** After a reload. */
async function readAgain() {
  const { openStoredSet } = await import('/js/data/index.js');
  const set = await openStoredSet('numbers', { chunk: 7, chunksHeld: 1 }); // the chunk of a set that is there already stays
  const { inputs: { x }, labels } = await set.read(Uint32Array.of(3999, 0, 1234));
  set.close();
  return { length: set.length, chunk: set.chunk, first: [0, 1000, 2000].map((i) => x.data[i]), labels: [...labels.data] };
}

/** What is refused, and that nothing has changed then. */
async function refusals() {
  const { createBatch, deleteStoredSet, openStoredSet } = await import('/js/data/index.js');
  const codeOf = async (work) => { try { await work(); return 'OK'; } catch (error) { return error.code ?? String(error); } };
  const one = createBatch({ inputs: { x: Float32Array.of(1, 2) }, labels: Float32Array.of(3, 4) });
  await deleteStoredSet('odd');
  const set = await openStoredSet('odd', { chunk: 2 }), codes = {};
  codes.empty = await codeOf(() => set.read(new Uint32Array()));
  await set.append(one);
  codes.kind = await codeOf(() => set.append(createBatch({ inputs: { y: Float32Array.of(1) }, labels: Float32Array.of(1) })));
  codes.type = await codeOf(() => set.append(createBatch({ inputs: { x: Int32Array.of(1) }, labels: Float32Array.of(1) })));
  codes.noBatch = await codeOf(() => set.append({}));
  codes.place = await codeOf(() => set.read(Uint32Array.of(2)));
  codes.both = (await Promise.all([codeOf(() => set.append(one)), codeOf(() => set.append(one))])).join();
  const afterwards = [...(await set.read(Uint32Array.of(0, 1, 2, 3))).inputs.x.data].join();
  // Somebody else has written into the chunks.
  const raw = await new Promise((resolve) => { const r = indexedDB.open('odd'); r.onsuccess = () => resolve(r.result); });
  const put = (value, key, store = 'chunks') => new Promise((resolve) => { const t = raw.transaction(store, 'readwrite'); t.objectStore(store).put(value, key); t.oncomplete = resolve; });
  const again = async () => { const other = await openStoredSet('odd'); try { return await codeOf(() => other.read(Uint32Array.of(2))); } finally { other.close(); } };
  const damaged = [];
  for (const value of [null, 5, { inputs: {} }, { inputs: { x: { data: Float32Array.of(1), dims: [1] } }, labels: { data: Float32Array.of(1), dims: [1] } }, { inputs: { z: { data: Float32Array.of(1, 2), dims: [2] } } }]) {
    await put(value, 1);
    damaged.push(await again());
  }
  codes.damaged = damaged.join();
  await put({ version: 9 }, 'about', 'meta');
  codes.version = await codeOf(() => openStoredSet('odd'));
  raw.close();
  set.close();
  codes.closed = await codeOf(() => set.read(Uint32Array.of(0)));
  set.close();
  await new Promise((resolve) => { const r = indexedDB.open('foreign', 1); r.onupgradeneeded = () => r.result.createObjectStore('mine'); r.onsuccess = () => { r.result.close(); resolve(); }; });
  codes.foreign = await codeOf(() => openStoredSet('foreign'));
  await new Promise((resolve) => { const r = indexedDB.open('newer', 2); r.onsuccess = () => { r.result.close(); resolve(); }; });
  codes.newer = await codeOf(() => openStoredSet('newer'));
  codes.arguments = (await Promise.all([codeOf(() => openStoredSet('')), codeOf(() => openStoredSet('a', { chunk: 0 })), codeOf(() => openStoredSet('a', { chunksHeld: 1.5 }))])).join();
  // A set that is open does not stand in the way of its deletion.
  const open = await openStoredSet('gone');
  await open.append(one);
  await deleteStoredSet('gone');
  codes.deleted = await codeOf(() => open.append(one));
  return { codes, afterwards };
}

/** A picture is drawn, written as PNG, decoded, resized. */
async function pictures() {
  const { decodeImage, fromImages } = await import('/js/data/index.js');
  const canvas = new OffscreenCanvas(4, 2), context = canvas.getContext('2d');
  [['#ff0000', 0, 0], ['#00ff00', 2, 0], ['#0000ff', 0, 1], ['#ffffff', 2, 1]].forEach(([colour, x, y]) => { context.fillStyle = colour; context.fillRect(x, y, 2, 1); });
  const blob = await canvas.convertToBlob({ type: 'image/png' });
  const { width, height, data } = await decodeImage(blob);
  const set = fromImages({ images: [blob, { width, height, data }], labels: Int32Array.of(5, 6) }, { width: 2, height: 2, scale: 1 });
  const { inputs: { x }, labels } = await set.read(Uint32Array.of(1, 0));
  let broken;
  try { await fromImages({ images: [new Blob(['no picture'], { type: 'image/png' })] }, { width: 1, height: 1 }).read(Uint32Array.of(0)); } catch (error) { broken = [error.code, error.details.picture]; }
  return { width, height, pixels: [...data].join(), dims: x.dims, x: [...x.data].map(Math.round), labels: [...labels.data], broken };
}

for (const [name, options] of Object.entries(BROWSERS)) {
  const isMissing = !existsSync(options.executablePath) && 'not installed';
  if (process.env.ONLY_BROWSER !== undefined && process.env.ONLY_BROWSER !== name) continue;
  test(`${name}: sets in IndexedDB, pictures, training in a worker`, { timeout: 120_000, skip: isMissing }, async (t) => {
    const site = await serve(), profile = mkdtempSync(join(tmpdir(), 'data-'));
    const browser = await launch({ headless: true, userDataDir: profile, ...options });
    try {
      const page = await browser.newPage();
      await page.goto(site.url);
      await t.test('a set larger than what is held is read whole, mixed, each chunk once', async () => {
        const { neighbours, ...result } = await page.evaluate(fillAndRead);
        assert.deepEqual(result, { length: 4000, isWhole: true, wrong: 0, chunksRead: 40, isResumed: true });
        assert.ok(neighbours < 60, `${neighbours} neighbours kept`);
      });
      await t.test('it is still there after a reload', async () => {
        await page.reload();
        assert.deepEqual(await page.evaluate(readAgain), { length: 4000, chunk: 100, first: [3999, 0, 1234], labels: [3999 % 7, 0, 1234 % 7] });
      });
      await t.test('what is wrong is refused by its code, and changes nothing', async () => {
        const { codes, afterwards } = await page.evaluate(refusals);
        assert.equal(afterwards, '1,2,1,2');
        assert.deepEqual(codes, {
          empty: 'E_EMPTY', kind: 'E_SHAPE', type: 'E_SHAPE', noBatch: 'E_ARG', place: 'E_ARG', both: 'OK,E_STATE', damaged: 'E_ARG,E_ARG,E_ARG,E_DECODE,E_SHAPE', version: 'E_DECODE', closed: 'E_STATE',
          foreign: 'E_DECODE', newer: 'E_DECODE', arguments: 'E_ARG,E_ARG,E_ARG', deleted: 'E_STATE',
        });
      });
      if (name === 'chromium') { // puppeteer can set the quota of Chromium only
        await t.test('when the browser gives no more room, the append is refused and the set is as before', async () => {
          // An origin of its own: the browser asks for the quota once and remembers the answer.
          const other = await serve(), full = await browser.newPage(), { origin } = new URL(other.url);
          await full.goto(other.url);
          const session = await full.createCDPSession();
          await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 5e6 });
          const result = await full.evaluate(async () => {
            const { createBatch, openStoredSet } = await import('/js/data/index.js');
            const set = await openStoredSet('full', { chunk: 100 }), batch = (count) => createBatch({ inputs: { x: { data: new Float32Array(count * 1000).map(() => Math.random()), dims: [count, 1000] } } });
            await set.append(batch(10));
            let code;
            try { for (let i = 0; i < 50; i++) await set.append(batch(500)); } catch (error) { code = error.code; }
            const before = set.length;
            set.close();
            const again = await openStoredSet('full');
            const read = (await again.read(Uint32Array.of(before - 1))).count;
            const after = again.length;
            again.close();
            return { code, isSame: before === after, read };
          });
          await full.close();
          other.close();
          assert.deepEqual(result, { code: 'E_LIMIT', isSame: true, read: 1 });
        });
      }
      await t.test('a picture file is decoded and becomes a tensor', async () => {
        const got = await page.evaluate(pictures);
        assert.equal(got.pixels, [[255, 0, 0], [255, 0, 0], [0, 255, 0], [0, 255, 0], [0, 0, 255], [0, 0, 255], [255, 255, 255], [255, 255, 255]].map((p) => [...p, 255].join()).join());
        const one = got.x.slice(0, 12);
        assert.deepEqual([got.width, got.height, got.dims, got.labels, got.broken], [4, 2, [2, 3, 2, 2], [6, 5], ['E_DECODE', 0]]);
        assert.deepEqual(got.x, [...one, ...one]);
        assert.ok(one[0] > 200 && one[1] < 50 && one[4] < 50 && one[5] > 200, one.join()); // red is left, green is right
      });
      await t.test('a worker trains from a stored set while the page stays alive, and stops when told', async () => {
        const result = await page.evaluate(() => new Promise((resolve) => {
          const worker = new Worker('/tests/browser/data-worker.js', { type: 'module' });
          let frames = 0, isOver = false;
          const frame = () => { frames++; if (!isOver) setTimeout(frame, 5); };
          frame();
          worker.onerror = (event) => resolve({ error: event.message });
          worker.onmessage = ({ data }) => {
            if (data.event === 'progress') return worker.postMessage('stop');
            isOver = true;
            worker.terminate();
            resolve({ ...data, frames });
          };
        }));
        assert.equal(result.error, undefined);
        assert.ok(result.accuracy > 0.95 && result.frames > 3, JSON.stringify(result));
        assert.equal(result.stopped, 'told to');
        assert.equal(result.isSame, true, 'stopped and resumed gives the same bits');
      });
    } finally {
      await browser.close();
      site.close();
      rmSync(profile, { recursive: true, force: true });
    }
  });
}
