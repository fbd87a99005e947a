// websocket-node: the same client with the WebSocket of `ws`, and the server.  What Node gets for bb-wasm/transports/websocket.

import { WebSocket } from 'ws';
import { createWebSocketTransport as create } from './websocket.js';

export { createWebSocketServer } from './websocket-server.js';

/** @param {import('./websocket.js').WebSocketOptions} options */
export const createWebSocketTransport = (options) => create({ WebSocket: /** @type {any} */ (WebSocket), ...options });
