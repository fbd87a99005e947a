// From the last byte fetched to the first usable result in Chromium, as the example page of drawn digits measures it: the rest of compiling (it goes on while the
// module arrives), instantiate, read the model, run.
// One JSON line per figure. Chromium runs without the network; each sample is a page in a browser context of its own, so no code is cached.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { launch } from 'puppeteer-core';
import { serveExamples } from '../../examples/serve.js';

const SAMPLES = 15;

if (process.env.BBW_IN_NETNS === undefined) {
  execFileSync('scripts/netns.sh', ['120', process.execPath, fileURLToPath(import.meta.url)], { stdio: 'inherit' });
} else {
  if (!existsSync('build/examples/digits/model.onnx')) throw new Error('build/examples/digits/model.onnx is missing: make build/examples/digits/model.onnx');
  const site = await serveExamples();
  const browser = await launch({
    executablePath: '/usr/bin/chromium', headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const times = [];
  try {
    for (let i = 0; i < SAMPLES; i++) {
      const context = await browser.createBrowserContext();
      const page = await context.newPage();
      await page.goto(`${site.url}digits/`);
      await page.waitForFunction(() => document.querySelector('#status').dataset.state !== 'busy', { timeout: 20_000 });
      const ms = await page.$eval('#first', (node) => Number(node.dataset.ms));
      if (!(ms > 0)) throw new Error(`the page says: ${await page.$eval('#status', (node) => node.textContent)}`);
      times.push(ms);
      await context.close();
    }
  } finally {
    await browser.close();
    await site.close();
  }
  times.sort((a, b) => a - b);
  const put = (name, value) => console.log(JSON.stringify({ name, value: Number(value.toPrecision(5)), unit: 'ms' }));
  put('start.first_result.chromium.ms', times[(SAMPLES - 1) / 2]);
  put('start.first_result.chromium.ms.best', times[0]);
}
