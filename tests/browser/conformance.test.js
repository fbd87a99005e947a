// The conformance kit of transports in pages: it needs nothing of Node, and finds a fault there too.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import test from 'node:test';
import { launch } from 'puppeteer-core';
import { createStaticHandler } from '../../demo/static-server.js';

const BROWSERS = {
  chromium: { browser: 'chrome', executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] },
  firefox: { browser: 'firefox', executablePath: '/usr/bin/firefox-esr' },
};

/** Runs in the page. @param {boolean} isFaulty  envelopes of 127 bytes are lost */
async function checkMemory(isFaulty) {
  const { checkTransport } = await import('/js/transports/conformance.js');
  const { createMemoryHub } = await import('/js/transports/memory.js');
  const { PeerId } = await import('/js/peer-id.js');
  const [aId, bId] = [1, 2].map((n) => PeerId.fromU64(n));
  const makePair = () => {
    const hub = createMemoryHub({ messageBytesMax: 300_000 });
    const all = [];
    const join = (self) => {
      const transport = hub.connect(self);
      all.push(transport);
      return { ...transport, send(to, bytes) { if (!isFaulty || bytes?.length !== 127) transport.send(to, bytes); } };
    };
    return { a: join(aId), b: join(bId), aId, bId, join, dispose: () => all.forEach((transport) => transport.close()) };
  };
  try {
    return { passed: (await checkTransport(makePair, { messageBytesMax: 300_000, waitMs: isFaulty ? 300 : 10_000 })).length };
  } catch (error) {
    return { failed: error.errors?.map(({ message }) => message) ?? String(error) };
  }
}

for (const [name, options] of Object.entries(BROWSERS)) {
  test(`${name}: the hub passes in a page, a faulty one does not`, { skip: !existsSync(options.executablePath) && 'not installed', timeout: 120_000 }, async () => {
    const server = createServer(createStaticHandler({ publicPaths: ['/js/', '/examples/index.html'], pages: { '/': '/examples/index.html' } }));
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    const browser = await launch({ headless: true, ...options });
    try {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${server.address().port}/`);
      assert.deepEqual(await page.evaluate(checkMemory, false), { passed: 18 });
      const { failed } = await page.evaluate(checkMemory, true);
      assert.ok(failed.some((message) => /every size.*127 bytes/.test(message)), String(failed));
    } finally {
      await browser.close();
      server.closeAllConnections();
      server.close();
    }
  });
}
