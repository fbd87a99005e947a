// The example pages in real browsers: a digit is drawn with the mouse and read, a query finds sentences. ONLY_BROWSER=chromium|firefox runs one.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import test from 'node:test';
import { launch } from 'puppeteer-core';
import { dealDigits, loadDigits } from '../../demo/digits.js';
import { createTokenizer } from '../../examples/sentences/tokenizer.js';
import { serveExamples } from '../../examples/serve.js';
import { CLASSES, LENGTH, rowOf } from '../../examples/topics/dataset.js';
import { createSession } from '../../js/index.js';

const SHOTS = 'build/browser';
const SIDE = 28;
const BROWSERS = {
  chromium: {
    browser: 'chrome', executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  },
  firefox: { browser: 'firefox', executablePath: '/usr/bin/firefox-esr', args: [] },
};
const digits = dealDigits(loadDigits(), 1).test;

/**
 * Draws a held-out digit by mouse: a stroke for every run of ink in every second row. The pen of the page is two pixels wide, so that the strokes flow
 * into one another; each is shorter than its run by half a pen at both ends.
 */
async function drawDigit(page, index) {
  // Scrolled there first: the mouse reaches only what is seen.
  const box = await page.$eval('#pad', (node) => {
    node.scrollIntoView({ block: 'center' });
    const { left, top, width } = node.getBoundingClientRect();
    return { left, top, width };
  });
  const pixels = digits.pixels.subarray(index * SIDE * SIDE, (index + 1) * SIDE * SIDE);
  const at = (x, y) => [box.left + (x / SIDE) * box.width, box.top + ((y + 0.5) / SIDE) * box.width];
  for (let y = 0; y < SIDE; y += 2) {
    for (let x = 0; x < SIDE; x++) {
      if (pixels[y * SIDE + x] < 128) continue;
      let end = x;
      while (end + 1 < SIDE && pixels[y * SIDE + end + 1] >= 128) end++;
      const from = end > x ? x + 1 : x + 0.5;
      await page.mouse.move(...at(from, y));
      await page.mouse.down();
      if (end > from) await page.mouse.move(...at(end, y), { steps: 2 });
      await page.mouse.up();
      x = end;
    }
  }
}

/** A page that reports what goes wrong in it and whom it talks to. */
async function openPage(browser, url) {
  const page = await browser.newPage();
  await page.setViewport({ width: 900, height: 800 });
  const complaints = [], hosts = new Set();
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('console', (message) => { if (['error', 'warn'].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`); });
  page.on('request', (request) => { if (!request.url().startsWith('data:')) hosts.add(new URL(request.url()).host); });
  const response = await page.goto(url);
  assert.match(response.headers()['content-security-policy'], /^default-src 'none'; script-src 'self' 'wasm-unsafe-eval';/);
  const isReady = () => page.waitForFunction(() => document.querySelector('#status').dataset.state !== 'busy', { timeout: 20_000 });
  await isReady();
  return { page, complaints, hosts, isReady, text: (id) => page.$eval(`#${id}`, (node) => node.textContent), state: () => page.$eval('#status', (node) => node.dataset.state) };
}

/** Screenshots, where possible in both colour schemes, and nothing that sticks out on a small screen. */
async function look(page, name) {
  for (const scheme of ['light', 'dark']) {
    try {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    } catch {
      if (scheme === 'dark') continue; // puppeteer cannot ask Firefox for it: there is only the light picture
    }
    await page.screenshot({ path: `${SHOTS}/${name}-${scheme}.png`, fullPage: true });
  }
  await page.setViewport({ width: 320, height: 640 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'no sideways scrolling at 320 pixels');
  await page.screenshot({ path: `${SHOTS}/${name}-small.png`, fullPage: true });
  await page.setViewport({ width: 900, height: 800 });
}

for (const [name, options] of Object.entries(BROWSERS)) {
  if (process.env.ONLY_BROWSER !== undefined && process.env.ONLY_BROWSER !== name) continue;
  test(`${name}: drawn digits are read, sentences are found`, { timeout: 160_000 }, async (t) => {
    mkdirSync(SHOTS, { recursive: true });
    const site = await serveExamples();
    const browser = await launch({ headless: true, ...options });
    try {
      await t.test('digits', async () => {
        const { page, complaints, hosts, text, state } = await openPage(browser, `${site.url}digits/`);
        assert.equal(await state(), 'ok', await text('status'));
        const about = JSON.parse(readFileSync('build/examples/digits/about.json', 'utf8'));
        assert.equal(await text('accuracy'), `${(about.accuracy * 100).toFixed(1)} % of 1500`);
        const first = Number(await page.$eval('#first', (node) => node.dataset.ms));
        assert.ok(first > 0 && first < 2000, `first result after ${first} ms`);
        t.diagnostic(`${name}: first result ${first.toFixed(1)} ms after the bytes were here`);

        // The example that the page begins with is the first held-out digit.
        assert.equal(await page.$eval('#bars', (node) => node.dataset.best), String(digits.labels[0]));
        await look(page, `${name}-digits`);

        // Three digits of different kinds, drawn by the mouse.
        const kinds = [...new Set(digits.labels)].slice(0, 3).map((label) => digits.labels.indexOf(label));
        const read = [];
        for (const index of kinds) {
          await page.click('#clear');
          assert.equal(await page.$eval('#bars', (node) => node.dataset.best ?? 'none'), 'none');
          await drawDigit(page, index);
          await page.waitForFunction(() => document.querySelector('#bars').dataset.best !== undefined && document.querySelector('#status').textContent.startsWith('It reads'));
          read.push(Number(await page.$eval('#bars', (node) => node.dataset.best)));
        }
        await page.screenshot({ path: `${SHOTS}/${name}-digits-drawn.png`, fullPage: true });
        assert.deepEqual(read, kinds.map((index) => digits.labels[index]));
        const sum = await page.$$eval('#bars progress', (bars) => bars.reduce((all, bar) => all + bar.value, 0));
        assert.ok(Math.abs(sum - 1) < 1e-3, `the probabilities add up to ${sum}`);

        // A finger draws a one.
        await page.click('#clear');
        const { left, top, width } = await page.$eval('#pad', (node) => node.getBoundingClientRect().toJSON());
        await page.touchscreen.touchStart(left + width * 0.55, top + width * 0.2);
        for (let i = 1; i <= 6; i++) await page.touchscreen.touchMove(left + width * (0.55 - 0.02 * i), top + width * (0.2 + 0.1 * i));
        await page.touchscreen.touchEnd();
        await page.waitForFunction(() => document.querySelector('#status').textContent.startsWith('It reads'));
        assert.equal(await page.$eval('#bars', (node) => node.dataset.best), '1');

        // By keyboard: the next example.
        await page.focus('#example');
        await page.keyboard.press('Enter');
        assert.equal(await page.$eval('#bars', (node) => node.dataset.best), String(digits.labels[1]));
        assert.match(await text('status'), /^It reads \d, with \d+ %\. An example/);
        assert.deepEqual(complaints, []);
        assert.deepEqual([...hosts], [new URL(site.url).host]);
        await page.close();
      });

      await t.test('sentences', async () => {
        const { page, complaints, hosts, text, state } = await openPage(browser, `${site.url}sentences/`);
        assert.equal(await state(), 'ok', await text('status'));
        assert.equal(await text('count'), '3000');
        const { sentences, definitions } = JSON.parse(readFileSync('build/examples/sentences/sentences.json', 'utf8'));
        const results = () => page.$$eval('#results .text', (nodes) => nodes.map((node) => node.textContent));
        assert.equal((await results()).length, 10);
        await look(page, `${name}-sentences`);

        // Typed by keyboard: a sentence finds itself first, with score 1.
        const ask = async (query) => {
          await page.focus('#query');
          await page.$eval('#query', (node) => node.select());
          await page.keyboard.type(query);
          await page.keyboard.press('Enter');
          await page.waitForFunction((wanted) => document.querySelector('#status').textContent.includes(wanted), {}, query);
          return results();
        };
        const [own] = sentences.filter((sentence) => /^[a-z ]+$/.test(sentence));
        assert.equal((await ask(own))[0], own);
        assert.equal(await page.$eval('#results .score', (node) => node.textContent), '1.000');
        // Something else brings something else, and a definition without a word of its sentence can find it: quality is measured in tests/js/examples.test.js.
        const other = await ask('bad weather');
        assert.equal(other.length, 10);
        assert.notEqual(other[0], own);
        assert.ok(definitions.length === sentences.length);
        assert.match(await text('time'), /^\d+\.\d ms$/);
        // No known word, no words: said, not guessed.
        await page.$eval('#query', (node) => node.select());
        await page.keyboard.type('xqzv wqqk');
        await page.keyboard.press('Enter');
        await page.waitForFunction(() => document.querySelector('#status').textContent.startsWith('None of these words'));
        assert.deepEqual(await results(), []);
        // A button tries a query.
        await page.click('#tries button:nth-child(2)');
        assert.equal((await results()).length, 10);
        assert.deepEqual(complaints, []);
        assert.deepEqual([...hosts], [new URL(site.url).host]);
        await page.close();
      });

      await t.test('topics', async () => {
        const { page, complaints, hosts, text, state } = await openPage(browser, `${site.url}topics/`);
        assert.equal(await state(), 'ok', await text('status'));
        const says = (start) => page.waitForFunction((wanted) => document.querySelector('#status').textContent.startsWith(wanted), { timeout: 60_000 }, start);
        await look(page, `${name}-topics`);
        // Stopped in the middle, then to the end.
        await page.click('#train');
        await page.waitForFunction(() => document.querySelector('#progress').value > 0);
        await page.click('#stop');
        await says('Stopped.');
        assert.ok(await page.$eval('#progress', (node) => node.value) < 1);
        assert.equal(await page.$eval('#text', (node) => node.disabled), true);
        await page.click('#train');
        await says('Trained.');
        const about = JSON.parse(readFileSync('build/examples/topics/about.json', 'utf8'));
        assert.match(await text('accuracy'), new RegExp(`^${(about.accuracy * 100).toFixed(1)} %`), 'as in Node');
        assert.equal(await page.$eval('#progress', (node) => node.value), 1);
        const ask = async (words) => {
          await page.focus('#text');
          await page.$eval('#text', (node) => node.select());
          await page.keyboard.type(words);
          await page.keyboard.press('Enter');
          return page.$eval('#bars', (node) => node.dataset.best);
        };
        // What the page has trained says the same as what Node has trained.
        const session = await createSession(readFileSync('build/examples/topics/model.onnx')), tokenizer = createTokenizer(readFileSync('build/examples/sentences/vocabulary.txt', 'utf8').split('\n'));
        const here = (words) => {
          const row = rowOf(tokenizer, words), dims = [1, LENGTH];
          const { data } = session.run({ input_ids: { data: BigInt64Array.from(row, BigInt), dims }, attention_mask: { data: BigInt64Array.from(row, (w) => (w === 0 ? 0n : 1n)), dims } }).scores;
          return CLASSES[data.indexOf(Math.max(...data))];
        };
        for (const words of ['a large grey animal that lives in africa', 'a sweet cake with butter and sugar', 'someone who writes poems', 'a small bird that eats fish']) assert.equal(await ask(words), here(words), words);
        session.dispose();
        await ask('xqzv');
        await says('None of these words');
        assert.equal(await page.$eval('#bars', (node) => node.dataset.best), undefined);
        await page.screenshot({ path: `${SHOTS}/${name}-topics-trained.png`, fullPage: true });
        assert.deepEqual(complaints, []);
        assert.deepEqual([...hosts], [new URL(site.url).host]);
        await page.close();
      });
    } finally {
      await browser.close();
      await site.close();
    }
  });
}

test('chromium: a page whose model is broken or missing says so, with the code of the error', { timeout: 60_000, skip: process.env.ONLY_BROWSER === 'firefox' }, async () => {
  const site = await serveExamples();
  const browser = await launch({ headless: true, ...BROWSERS.chromium });
  try {
    const page = await browser.newPage();
    await page.setRequestInterception(true);
    let answer = { status: 200, body: Buffer.from([1, 2, 3]) };
    page.on('request', (request) => (request.url().endsWith('/model.onnx') ? request.respond(answer) : request.continue()));
    const status = async (path) => {
      await page.goto(`${site.url}${path}`);
      await page.waitForFunction(() => document.querySelector('#status').dataset.state === 'error', { timeout: 20_000 });
      return page.$eval('#status', (node) => node.textContent);
    };
    for (const path of ['digits/', 'sentences/']) assert.match(await status(path), /^E_(PROTOBUF|ONNX_INVALID|TRUNCATED): ./);
    answer = { status: 404, body: Buffer.from('gone') };
    for (const path of ['digits/', 'sentences/']) assert.match(await status(path), /model\.onnx could not be fetched: 404$/);
  } finally {
    await browser.close();
    await site.close();
  }
});
