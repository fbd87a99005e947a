// serve: the example pages on 127.0.0.1.
// usage: node examples/serve.js       PORT chooses the port (default: a free one)

import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { createStaticHandler } from '../demo/static-server.js';

/** What the pages may read; everything else is 404. */
const PUBLIC = ['/js/', '/build/wasm/bb.wasm', '/build/examples/', '/examples/page.css', '/examples/common.js', '/examples/index.html', '/examples/digits/', '/examples/sentences/', '/examples/topics/', '/demo/random.js'];
const PAGES = { '/': '/examples/index.html', '/digits/': '/examples/digits/index.html', '/sentences/': '/examples/sentences/index.html', '/topics/': '/examples/topics/index.html' };

/** @param {number} [port] */
export async function serveExamples(port = 0) {
  const server = createServer(createStaticHandler({ publicPaths: PUBLIC, pages: PAGES }));
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(undefined));
  });
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${address.port}/`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(() => resolve(undefined)));
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await serveExamples(Number(process.env.PORT ?? 0));
  console.log(`draw a digit:     ${url}digits/`);
  console.log(`search sentences: ${url}sentences/`);
  console.log(`learn topics:     ${url}topics/`);
  console.log('(Ctrl-C ends)');
}
