// The conformance kit: every transport of the package passes it, and every planted fault is found by it.
import assert from 'node:assert/strict';
import test from 'node:test';
import { PeerId } from '../../js/peer-id.js';
import { checkTransport } from '../../js/transports/conformance.js';
import { createMemoryHub } from '../../js/transports/memory.js';
import { createWebSocketServer, createWebSocketTransport } from '../../js/transports/websocket-node.js';

const [A, B] = [1, 2].map((n) => PeerId.fromU64(n));
const CAP = 300_000;

function memoryPair({ wrap = (transport) => transport } = {}) {
  const hub = createMemoryHub({ messageBytesMax: CAP });
  const all = [];
  const join = (self) => {
    const transport = wrap(hub.connect(self));
    all.push(transport);
    return transport;
  };
  return { a: join(A), b: join(B), aId: A, bId: B, join, dispose: () => all.forEach((transport) => transport.close()) };
}

/** `a` is the server, because everybody who joins reaches it. */
async function socketPair({ messageBytesMax = CAP, ...more } = {}) {
  const server = await createWebSocketServer({ self: A, messageBytesMax, sendBytesMax: 2_000_000, ...more });
  const all = [];
  const join = (self) => {
    const transport = createWebSocketTransport({
      url: `ws://127.0.0.1:${server.port}/`, self, messageBytesMax, sendBytesMax: 2_000_000, backoffBaseMs: 5, backoffCapMs: 20,
    });
    all.push(transport);
    return transport;
  };
  const b = join(B);
  await b.ready;
  return {
    a: server, b, aId: A, bId: B, join,
    async dispose() {
      all.forEach((transport) => transport.close());
      server.close();
      await server.closed;
    },
  };
}

const named = (name) => (title, run) => test(`${name}: ${title}`, { timeout: 60_000 }, run);

checkTransport(memoryPair, { test: named('memory'), messageBytesMax: CAP });
checkTransport(socketPair, { test: named('websocket'), messageBytesMax: CAP, cut: ({ b }) => b.dropConnection() });
checkTransport(socketPair, { test: named('websocket, cut by the server'), messageBytesMax: CAP, cut: ({ a }) => a.drop(B) });

test('the hub, the server and the client refuse a largest envelope that is none', async () => {
  for (const messageBytesMax of [0, -1, 1.5, NaN, Infinity, '5', null, 5n]) {
    const isRefused = (error) => error.code === 'E_ARG' && error.details.argument === 'messageBytesMax';
    assert.throws(() => createMemoryHub({ messageBytesMax }), isRefused);
    await assert.rejects(createWebSocketServer({ self: A, messageBytesMax }), isRefused);
    assert.throws(() => createWebSocketTransport({ url: 'ws://127.0.0.1:1/', self: B, messageBytesMax }), isRefused);
  }
});

// ---- the kit itself: a transport with one fault fails, in the case that is about it ----

/** Changes the events that a transport reports. @param {(event: any) => any[]} map */
const receiving = (map) => (transport) => ({
  ...transport,
  receive(options) {
    const events = transport.receive(options), ready = [];
    const iterator = {
      async next() {
        while (ready.length === 0) {
          const { value, done } = await events.next();
          if (done) return { value: undefined, done };
          ready.push(...map(value));
        }
        return { value: ready.shift(), done: false };
      },
      return: () => events.return(),
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  },
});
const sending = (send) => (transport) => ({ ...transport, send: (to, envelope) => send(transport, to, envelope) });
const each = (n, change) => {
  let count = 0;
  return receiving((event) => (event.type === 'envelope' && ++count % n === 0 ? change(event) : [event]));
};

/** @type {Record<string, [wrap: (transport: any) => any, caseName: RegExp, problem: RegExp]>} */
const FAULTS = {
  'loses an envelope': [each(500, () => []), /nothing is lost/, /envelope \d+ was expected/],
  'doubles an envelope': [each(700, (event) => [event, event]), /nothing is lost/, /envelope \d+ was expected/],
  'swaps two envelopes': [(() => { let kept; return each(300, (event) => { const out = kept ? [event, kept] : []; kept = kept ? undefined : event; return out; }); })(), /nothing is lost/, /envelope \d+ was expected/],
  'flips a bit of large envelopes': [each(1, (event) => { if (event.envelope.length > 65_536) event.envelope[65_536] ^= 1; return [event]; }), /every size/, /65537 bytes did not arrive/],
  'drops empty envelopes': [each(1, (event) => (event.envelope.length === 0 ? [] : [event])), /every size/, /waited for 0 bytes/],
  'takes bytes for text': [each(1, (event) => [{ ...event, envelope: new TextEncoder().encode(new TextDecoder().decode(event.envelope)) }]), /all byte values/, /changed/],
  'says up twice': [receiving((event) => (event.type === 'up' ? [event, event] : [event])), /many peers/, /which is up already/],
  'never says down': [receiving((event) => (event.type === 'down' ? [] : [event])), /close of a/, /nothing came/],
  'gives one sender the id of another': [each(1, (event) => [{ ...event, peer: B }]), /many peers/, /came|under the id/],
  'cuts off what is too large': [sending((t, to, bytes) => t.send(to, bytes?.length > CAP ? bytes.subarray(0, CAP) : bytes)), /one byte above/, /E_OVERSIZE_PAYLOAD/],
  'throws errors of others': [sending((t, to, bytes) => { try { t.send(to, bytes); } catch { throw new TypeError('no'); } }), /is not connected/, /TypeError/],
  'is silent about strangers': [sending((t, to, bytes) => { try { t.send(to, bytes); } catch (error) { if (error.code !== 'E_AB_UNKNOWN_PEER') throw error; } }), /is not connected/, /nothing was thrown/],
  'loses instead of refusing': [sending((t, to, bytes) => { try { t.send(to, bytes); } catch (error) { if (error.code !== 'E_LIMIT') throw error; } }), /does not read.*a to b/, /bytes were taken/],
  'counts no backlog': [(t) => ({ ...t, backlog: () => 0 }), /does not read.*a to b/, /must be more than 0/],
  'counts a backlog for ever': [(t) => ({ ...t, backlog: (to) => t.backlog(to) + (t.peers().some((p) => p.equals(to)) ? 1 : 0) }), /does not read.*a to b/, /the backlog is 1/],
  'counts a backlog for strangers': [(t) => ({ ...t, backlog: () => 1 }), /is not connected/, /must be 0/],
  'lists peers after close': [(t) => { let last = []; return { ...t, peers: () => [...last = t.peers().length ? t.peers() : last], close() { if (t.peers().length) last = t.peers(); t.close(); } }; }, /close of a/, /nobody is connected after close/],
  'does not end': [(t) => ({ ...t, close() { setTimeout(t.close, 400); } }), /ends a reader that waits/, /must end after close/],
  'lets a second reader in': [(t) => { let first; return { ...t, receive: (o) => (first ??= t.receive(o)) }; }, /one reader at a time/, /E_STATE/],
  'keeps the buffer of the sender': [(() => { const sent = new Map(); return (t) => ({
    ...receiving((event) => [event.type === 'envelope' ? { ...event, envelope: sent.get(event.envelope.length) ?? event.envelope } : event])(t),
    send(to, bytes) { t.send(to, bytes); if (bytes.length === 70_000) sent.set(bytes.length, bytes); },
  }); })(), /is a copy/, /changed its buffer/],
};

for (const [name, [wrap, title, problem]] of Object.entries(FAULTS)) {
  test(`a transport that ${name} does not pass`, { timeout: 60_000 }, async () => {
    const cases = [];
    checkTransport(() => memoryPair({ wrap }), { test: (caseName, run) => cases.push([caseName, run]), messageBytesMax: CAP, waitMs: 200 });
    const [found, ...others] = cases.filter(([caseName]) => title.test(caseName));
    assert.equal(others.length, 0, 'one case is meant');
    await assert.rejects(found[1], problem);
  });
}

test('without a test function everything that fails is told at once', { timeout: 60_000 }, async () => {
  const wrap = receiving((event) => (event.type === 'down' ? [] : [event]));
  await assert.rejects(checkTransport(() => memoryPair({ wrap }), { messageBytesMax: CAP, waitMs: 200 }), (error) => {
    assert.ok(error instanceof AggregateError);
    assert.ok(error.errors.length >= 4 && error.errors.length < 18, error.message);
    for (const { message } of error.errors) assert.match(error.message, new RegExp(message.slice(0, 30)));
    return true;
  });
});

test('without a test function the cases run one after the other, and their names are told', async () => {
  const names = await checkTransport(memoryPair, { messageBytesMax: CAP });
  assert.equal(names.length, 18);
  assert.equal(new Set(names).size, names.length);
});

test('the kit needs nothing of the host: a page can import it', async () => {
  const { readFileSync } = await import('node:fs');
  const seen = new Set();
  (function follow(file) {
    if (seen.has(file)) return;
    seen.add(file);
    for (const [, target] of readFileSync(new URL(file), 'utf8').matchAll(/^(?:import|export)[^;]*? from '([^']+)'/gm)) {
      assert.match(target, /^\./, `${file} imports ${target}`);
      follow(new URL(target, file).href);
    }
  })(new URL('../../js/transports/conformance.js', import.meta.url).href);
  assert.ok(seen.size > 3);
});
