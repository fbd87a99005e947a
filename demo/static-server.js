// static-server: answers GET with files of the repository, under the headers that a careful site sends.
//
// The Content-Security-Policy allows scripts and styles of the site itself and the compiling of WebAssembly, and nothing else. Only paths that are named
// public can be read.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MIME = /** @type {Record<string, string>} */ ({
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.json': 'application/json',
  '.txt': 'text/plain; charset=utf-8', '.wasm': 'application/wasm', '.svg': 'image/svg+xml',
});

/**
 * What is made on the spot: body and type, or undefined when the path is another one's.
 * @typedef {(pathname: string) => {body: Uint8Array | string, type: string} | undefined} Dynamic
 */

/**
 * @param {object} options
 * @param {readonly string[]} options.publicPaths  prefixes of paths below the repository that may be read; everything else is 404
 * @param {Readonly<Record<string, string>>} [options.pages]  short paths such as '/' and the files they mean
 * @param {string} [options.connect]  what scripts may connect to, beside the site itself; HOST stands for the host that was asked
 * @param {Dynamic} [options.dynamic]
 * @returns {(request: import('node:http').IncomingMessage, response: import('node:http').ServerResponse) => void}
 */
export function createStaticHandler({ publicPaths, pages = {}, connect = '', dynamic = () => undefined }) {
  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async function respond(request, response) {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const connectTo = `'self' ${connect.replace('HOST', request.headers.host ?? '')}`.trim();
    response.setHeader('Content-Security-Policy', `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; connect-src ${connectTo}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`);
    response.setHeader('X-Content-Type-Options', 'nosniff');
    response.setHeader('Cache-Control', 'no-store');
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.statusCode = 405;
      return response.end();
    }
    const made = dynamic(pathname);
    if (made !== undefined) {
      response.setHeader('Content-Type', made.type);
      return response.end(made.body);
    }
    const path = normalize(pages[pathname] ?? pathname);
    const file = join(ROOT, path);
    if (!publicPaths.some((prefix) => path.startsWith(prefix)) || !(await stat(file).catch(() => null))?.isFile()) {
      response.statusCode = 404;
      response.setHeader('Content-Type', 'text/plain');
      return response.end('not found');
    }
    response.setHeader('Content-Type', MIME[extname(file)] ?? 'application/octet-stream');
    createReadStream(file).on('error', () => response.destroy()).pipe(response);
  }
  return (request, response) => {
    respond(request, response).catch(() => {
      response.statusCode = 500;
      response.end();
    });
  };
}
