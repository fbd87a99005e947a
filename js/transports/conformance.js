// conformance: does a transport keep the contract of transport.js?
//
// For authors of transports. The cases use two peers (and more, by `join`) of the transport under test and nothing of the host, so that they run
// under node:test, and in a page.  Every wait is bounded; sizes and order of what is sent follow from a seed.
//
//   checkTransport(makePair, { test, messageBytesMax: 65_536 });    // one test per case
//   const names = await checkTransport(makePair);                   // anywhere: throws an AggregateError with all that failed

import { createRandom } from '../data/random.js';
import { isBbwError } from '../errors.js';
import { equalBytes } from '../internal/bytes.js';
import { PeerId } from '../peer-id.js';

/**
 * @typedef {import('./transport.js').Transport} Transport
 * @typedef {import('./transport.js').Received} Received
 */

/**
 * Two peers that have been told of each other. Nobody has read from their transports; `up` may be on its way.
 * @typedef {object} Pair
 * @property {Transport} a
 * @property {Transport} b
 * @property {PeerId} aId  who `a` is
 * @property {PeerId} bId
 * @property {(self: PeerId) => Transport | Promise<Transport>} join  one more peer that reaches `a`. With the id of somebody who is connected it
 *   throws E_PEER_DUPLICATE, or gives a transport whose `receive` throws it
 * @property {() => unknown} dispose  closes everything, those that joined too; called once, at the end of every case, after any failure
 */

/**
 * @typedef {object} CheckOptions
 * @property {(name: string, run: () => Promise<void>) => unknown} [test]  such as `test` of node:test; default: the cases run here, one after the other
 * @property {number} [messageBytesMax]  the largest envelope that a transport of `makePair` takes; default 16 MiB
 * @property {(pair: Pair) => unknown} [cut]  breaks the connection as a network would. With it: does the pair find together again by itself?
 * @property {number} [seed]
 * @property {number} [waitMs]  how long an event may take; default 10,000
 */

/** More than any transport may keep for a reader that does not read: a sender that is never stopped is one that fills the memory. */
const FLOOD_BYTES_MAX = 256 * 1024 * 1024;
const FLOOD_CHUNK_BYTES = 65_536;

/** @param {unknown} isTrue @param {string} text @returns {asserts isTrue} */
function check(isTrue, text) {
  if (!isTrue) throw new Error(text);
}

/** @param {unknown} error */
const told = (error) => (isBbwError(error) ? `${error.code}: ${error.message}` : String(error));

/** @param {() => unknown} call @param {string} code @param {string} what */
function checkThrows(call, code, what) {
  let error;
  try {
    call();
  } catch (thrown) {
    error = thrown;
  }
  check(isBbwError(error, code), `${what} must throw ${code}, but ${error === undefined ? 'nothing was thrown' : `threw ${told(error)}`}`);
  return error;
}

/** @param {number} [ms] */
const pause = (ms = 0) => new Promise((resolve) => setTimeout(resolve, ms));

/** @param {readonly PeerId[]} peers @param {PeerId} peer */
const holds = (peers, peer) => peers.some((each) => each.equals(peer));

/** Content that tells where it belongs: no two positions of a size hold the same for long, no two sizes begin alike. @param {number} size @param {number} salt */
function content(size, salt) {
  const out = new Uint8Array(size);
  let state = (Math.imul(size + 1, 0x9e3779b1) ^ Math.imul(salt + 1, 0x85ebca6b)) >>> 0;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    out[i] = state >>> 24;
  }
  return out;
}

/** @param {number} number @param {number} [size] */
function numbered(number, size = 4) {
  const out = content(Math.max(size, 4), number);
  new DataView(out.buffer).setUint32(0, number);
  return out;
}
/** @param {Uint8Array} bytes */
const numberOf = (bytes) => (bytes.length < 4 ? -1 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0));

/**
 * Reads a transport, and checks what holds always: `up` and `down` of a peer alternate, and only who is up is heard.
 * @param {Transport} transport @param {string} name @param {number} waitMs
 */
function readerOf(transport, name, waitMs) {
  const events = transport.receive();
  /** @type {Set<string>} */
  const up = new Set();
  /** @type {Promise<IteratorResult<Received>> | undefined} An answer that did not come in time belongs to the next call. */
  let waiting;

  /** @param {string} what @param {number} [ms] @returns {Promise<IteratorResult<Received> | undefined>} undefined: nothing came */
  async function answer(what, ms = waitMs) {
    waiting ??= events.next();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const late = new Promise((resolve) => { timer = setTimeout(resolve, ms, undefined); });
    try {
      const result = await Promise.race([waiting, late]);
      if (result !== undefined) waiting = undefined;
      return /** @type {IteratorResult<Received> | undefined} */ (result);
    } catch (error) {
      waiting = undefined;
      throw new Error(`${name} waited for ${what}, but receive threw ${told(error)}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param {Received} event */
  function inspect(event) {
    check(event?.peer instanceof PeerId, `${name}: every event has a peer, a PeerId`);
    const key = event.peer.toString();
    if (event.type === 'up') {
      check(!up.has(key), `${name}: up of ${key}, which is up already`);
      up.add(key);
    } else if (event.type === 'down') {
      check(up.delete(key), `${name}: down of ${key}, which is not up`);
      check(typeof event.reason === 'string', `${name}: down has a reason, a text`);
    } else {
      check(event.type === 'envelope' && event.envelope instanceof Uint8Array, `${name}: an event is up, down, or an envelope with a Uint8Array`);
      check(up.has(key), `${name}: an envelope of ${key}, which is not up`);
    }
    return event;
  }

  const reader = {
    /** @param {string} what */
    async next(what) {
      const result = await answer(what);
      check(result !== undefined, `${name} waited for ${what}, but nothing came in ${waitMs} ms`);
      check(!result.done, `${name} waited for ${what}, but receive ended`);
      return inspect(result.value);
    },
    /** The next event must be this. @param {'up' | 'down'} type @param {PeerId} peer */
    async expect(type, peer) {
      const event = await reader.next(`${type} of ${peer}`);
      check(event.type === type && event.peer.equals(peer), `${name} expected ${type} of ${peer}, but got ${event.type} of ${event.peer}`);
    },
    /** @param {PeerId} peer @param {string} [what] */
    async envelope(peer, what = 'an envelope') {
      const event = await reader.next(what);
      check(event.type === 'envelope', `${name} waited for ${what}, but got ${event.type} of ${event.peer}`);
      check(event.peer.equals(peer), `${name}: ${what} came from ${event.peer}, not from ${peer}`);
      return event.envelope;
    },
    /** Nothing more comes, but what was on its way. @param {(event: Received) => void} [each] */
    async ended(each = () => {}) {
      for (;;) {
        const result = await answer('its end');
        check(result !== undefined, `${name}: receive must end after close`);
        if (result.done) return;
        each(inspect(result.value));
      }
    },
    /** @param {number} ms */
    async silent(ms) {
      const result = await answer('nothing', ms);
      check(result === undefined, `${name}: something came that nobody sent: ${JSON.stringify(result?.value?.type)}`);
    },
    leave: () => events.return?.(),
  };
  return reader;
}

/** Sends, and waits while too much waits to be sent. @param {Transport} from @param {PeerId} to @param {Uint8Array} envelope @param {number} waitMs */
async function sendPatiently(from, to, envelope, waitMs) {
  const until = Date.now() + waitMs;
  for (;;) {
    try {
      return from.send(to, envelope);
    } catch (error) {
      if (!isBbwError(error, 'E_LIMIT') || Date.now() > until) throw error;
    }
    await pause(1);
  }
}

/**
 * A pair whose peers are up, with a reader on each, the first event read.
 * @typedef {{transport: Transport, id: PeerId, events: ReturnType<typeof readerOf>}} Side
 * @typedef {Required<Pick<CheckOptions, 'messageBytesMax' | 'seed' | 'waitMs'>> & Pick<CheckOptions, 'cut'>} Settings
 * @typedef {{pair: Pair, a: Side, b: Side, settings: Settings}} Stage
 */

/** Both directions: what holds for one side holds for the other. @param {Stage} stage @returns {[Side, Side][]} */
const directions = ({ a, b }) => [[a, b], [b, a]];

/** @type {[name: string, run: (stage: Stage) => Promise<void>][]} */
const CASES = [
  ['both sides learn who the other is, and peers() agrees', async (stage) => {
    for (const [one, other] of directions(stage)) {
      const peers = one.transport.peers();
      check(Array.isArray(peers) && peers.length === 1 && peers[0] instanceof PeerId && peers[0].equals(other.id), `peers() must be the other side, but is ${peers}`);
      peers.length = 0; // the list is the caller's
      check(one.transport.peers().length === 1, 'peers() must give a list of its own');
    }
  }],

  ['every size up to the limit arrives as it was', async (stage) => {
    const { messageBytesMax } = stage.settings;
    const sizes = [0, 1, 2, 125, 126, 127, 4095, 4096, 65_535, 65_536, 65_537, 1_048_577, messageBytesMax - 1, messageBytesMax];
    for (const [one, other] of directions(stage)) {
      for (const size of sizes.filter((each) => each <= messageBytesMax)) {
        const sent = content(size, 1);
        await sendPatiently(one.transport, other.id, sent, stage.settings.waitMs);
        check(equalBytes(await other.events.envelope(one.id, `${size} bytes`), sent), `${size} bytes did not arrive as they were`);
      }
    }
  }],

  ['one byte above the limit is refused, and the connection stays', async (stage) => {
    const { messageBytesMax } = stage.settings;
    for (const [one, other] of directions(stage)) {
      for (const size of [messageBytesMax + 1, messageBytesMax * 2 + 7]) {
        const { details } = /** @type {import('../errors.js').BbwError} */ (checkThrows(() => one.transport.send(other.id, new Uint8Array(size)), 'E_OVERSIZE_PAYLOAD', `an envelope of ${size} bytes`));
        check(details.byteCount === size && details.cap === messageBytesMax, `the error must say byteCount ${size} and cap ${messageBytesMax}, but says ${details.byteCount} and ${details.cap}`);
      }
      one.transport.send(other.id, content(10, 2));
      check(equalBytes(await other.events.envelope(one.id), content(10, 2)), 'what is sent afterwards arrives');
    }
  }],

  ['all byte values, views into buffers, and what looks like text arrive as they are', async (stage) => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    const wide = content(1000, 3);
    const shared = typeof SharedArrayBuffer === 'function' ? [new Uint8Array(new SharedArrayBuffer(16)).fill(7)] : [];
    const samples = [all, wide.subarray(3, 500), wide.subarray(999), new TextEncoder().encode('{"type":"close"}\r\n\0\u{10ffff}'), new Uint8Array(300), new Uint8Array(300).fill(255), ...shared];
    for (const [one, other] of directions(stage)) {
      for (const sample of samples) {
        one.transport.send(other.id, sample);
        check(equalBytes(await other.events.envelope(one.id), sample), 'bytes were changed on the way');
      }
    }
  }],

  ['an envelope is a copy: for the sender, and for each receiver', async (stage) => {
    const { pair, a, settings } = stage;
    for (const [one, other] of directions(stage)) {
      const sent = content(70_000, 4);
      one.transport.send(other.id, sent);
      sent.fill(0);
      const got = await other.events.envelope(one.id);
      check(equalBytes(got, content(70_000, 4)), 'the sender changed its buffer after send, and the receiver saw it');
      got.fill(1);
      check(sent.every((byte) => byte === 0), 'the receiver wrote into the buffer of the sender');
    }
    const third = PeerId.fromU64(1003);
    const c = readerOf(await pair.join(third), 'c', settings.waitMs);
    await a.events.expect('up', third);
    await reached(c, a.id);
    const both = content(100, 5);
    a.transport.send(stage.b.id, both);
    a.transport.send(third, both);
    for (;;) { // b may have learnt of c, too
      const event = await stage.b.events.next('an envelope');
      if (event.type !== 'envelope') continue;
      event.envelope.fill(9);
      break;
    }
    check(equalBytes(await envelopeOf(c, a.id), both), 'two receivers share one buffer');
  }],

  ['what is no envelope and no peer is refused, and nothing is sent', async (stage) => {
    for (const [one, other] of directions(stage)) {
      for (const bad of ['text', 5, null, undefined, [1, 2], { length: 3 }]) checkThrows(() => one.transport.send(other.id, /** @type {any} */ (bad)), 'E_ARG', `send of ${JSON.stringify(bad)}`);
      for (const bad of [undefined, null, 7, {}]) checkThrows(() => one.transport.send(/** @type {any} */ (bad), new Uint8Array(1)), 'E_ARG', `send to ${JSON.stringify(bad)}`);
      one.transport.send(other.id, content(9, 6));
      check(equalBytes(await other.events.envelope(one.id), content(9, 6)), 'a refused envelope was sent');
    }
  }],

  ['nothing is lost, doubled or reordered, in both directions at once', async (stage) => {
    const count = 2000, { seed, waitMs, messageBytesMax } = stage.settings;
    const cap = Math.min(2000, messageBytesMax);
    await Promise.all(directions(stage).map(async ([one, other], i) => {
      const sizes = createRandom(seed + i), want = createRandom(seed + i);
      const sending = (async () => {
        for (let n = 0; n < count; n++) {
          await sendPatiently(one.transport, other.id, numbered(n, sizes.below(cap)), waitMs);
          if (n % 97 === 0) await pause();
        }
      })();
      const reading = (async () => {
        for (let n = 0; n < count; n++) {
          const got = await other.events.envelope(one.id, `envelope ${n}`);
          check(equalBytes(got, numbered(n, want.below(cap))), `envelope ${n} was expected, but ${numberOf(got)} of ${got.length} bytes came`);
        }
        await other.events.silent(20);
      })();
      await Promise.all([sending, reading]);
    }));
  }],

  ['a peer that is not connected cannot be sent to', async (stage) => {
    const stranger = PeerId.fromU64(1009);
    for (const [one, other] of directions(stage)) {
      const { details } = /** @type {import('../errors.js').BbwError} */ (checkThrows(() => one.transport.send(stranger, new Uint8Array(1)), 'E_AB_UNKNOWN_PEER', 'send to a stranger'));
      check(String(details.peer) === String(stranger), 'the error must name the peer');
      checkThrows(() => one.transport.send(one.id, new Uint8Array(1)), 'E_AB_UNKNOWN_PEER', 'send to oneself');
      for (const id of [stranger, one.id]) check((one.transport.backlog?.(id) ?? 0) === 0, 'the backlog of a peer that is not connected must be 0');
      one.transport.send(other.id, content(3, 7));
      check(equalBytes(await other.events.envelope(one.id), content(3, 7)), 'what is sent afterwards arrives');
    }
  }],

  ...(/** @type {const} */ ([0, 1]).map((side) => /** @type {[string, (stage: Stage) => Promise<void>]} */ ([`a reader that does not read stops the sender: ${side === 0 ? 'a to b' : 'b to a'}`, async (stage) => {
    const [one, other] = directions(stage)[side], { waitMs, messageBytesMax } = stage.settings;
    const chunk = Math.min(FLOOD_CHUNK_BYTES, messageBytesMax);
    let sent = 0, refusal;
    for (; sent * chunk < FLOOD_BYTES_MAX && refusal === undefined; sent++) {
      try {
        one.transport.send(other.id, numbered(sent, chunk));
      } catch (error) {
        refusal = error;
        sent--;
      }
      if (sent % 16 === 0) await pause(); // the network has its turn: only the reader holds back
    }
    // E_LIMIT; or the connection was given up because the receiving side cannot hold the network back.
    check(refusal !== undefined, `${FLOOD_BYTES_MAX} bytes were taken for a reader that does not read`);
    const isGivenUp = isBbwError(refusal, 'E_AB_UNKNOWN_PEER');
    check(isGivenUp || isBbwError(refusal, 'E_LIMIT'), `a full transport must throw E_LIMIT, but threw ${told(refusal)}`);
    check(sent > 0, 'not one envelope was taken');
    const backlog = () => one.transport.backlog?.(other.id) ?? 0;
    check(isGivenUp || one.transport.backlog === undefined || backlog() > 0, 'the backlog of a peer that is refused for what waits must be more than 0');
    for (let n = 0; ; n++) {
      if (n === sent) break;
      const event = await other.events.next(`envelope ${n} of ${sent}`);
      if (event.type === 'down') {
        // Loss is allowed with a connection only, both sides hear of it, and what came before has no hole.
        await one.events.expect('down', other.id);
        return;
      }
      check(event.type === 'envelope' && numberOf(event.envelope) === n, `envelope ${n} was accepted but did not come`);
    }
    check(!isGivenUp, 'the connection was given up, but everything arrived and nobody was told');
    await sendPatiently(one.transport, other.id, content(8, 8), waitMs);
    check(equalBytes(await other.events.envelope(one.id), content(8, 8)), 'when the reader has read, the sender goes on');
    for (const end = Date.now() + waitMs; backlog() !== 0;) {
      check(Date.now() < end, `the backlog is ${backlog()} although everything has arrived`);
      await pause();
    }
  }]))),

  ['one reader at a time; an abort ends the reader, not the transport', async (stage) => {
    for (const [one, other] of directions(stage)) {
      one.events.leave();
      const abort = new AbortController();
      const first = one.transport.receive({ signal: abort.signal });
      const waiting = first.next();
      const second = await failureOf(() => one.transport.receive().next());
      check(isBbwError(second, 'E_STATE'), `a second reader must get E_STATE, but got ${told(second)}`);
      const reason = new Error('enough');
      abort.abort(reason);
      check((await failureOf(() => waiting)) === reason, 'a reader whose signal is aborted must throw the reason');
      check((await failureOf(() => one.transport.receive({ signal: abort.signal }).next())) === reason, 'a signal that is aborted already must throw its reason');
      other.transport.send(one.id, content(5, 9));
      const third = one.transport.receive();
      const { value } = await bounded(third.next(), 'the reader that came after', stage.settings.waitMs);
      check(value?.type === 'envelope' && equalBytes(value.envelope, content(5, 9)), 'the next reader gets what has come meanwhile');
      await third.return?.();
    }
  }],

  ['what waits for a reader is there when he comes', async (stage) => {
    for (const [one, other] of directions(stage)) {
      other.events.leave();
      for (let n = 0; n < 50; n++) one.transport.send(other.id, numbered(n));
      await pause(30);
      const late = other.transport.receive();
      for (let n = 0; n < 50; n++) {
        const { value } = await bounded(late.next(), `envelope ${n}`, stage.settings.waitMs);
        check(value?.type === 'envelope' && numberOf(value.envelope) === n, `envelope ${n} waited, but did not come`);
      }
      await late.return?.();
    }
  }],

  ...(/** @type {const} */ ([0, 1]).map((side) => /** @type {[string, (stage: Stage) => Promise<void>]} */ ([`close of ${side === 0 ? 'a' : 'b'} ends it, and the other side hears of it`, async (stage) => {
    const [one, other] = directions(stage)[side];
    for (let n = 0; n < 20; n++) one.transport.send(other.id, numbered(n));
    one.transport.close();
    one.transport.close();
    checkThrows(() => one.transport.send(other.id, new Uint8Array(1)), 'E_STATE', 'send after close');
    check(one.transport.peers().length === 0, 'nobody is connected after close');
    await one.events.ended((event) => check(event.type === 'down', 'after close comes at most a down'));
    check((await bounded(one.transport.receive().next(), 'the end', stage.settings.waitMs)).done, 'a reader that comes after close gets the end');
    let n = 0;
    for (;; n++) { // a prefix: a close may overtake what was sent, but leaves no hole
      const event = await other.events.next('down');
      if (event.type === 'down') {
        check(event.peer.equals(one.id), `down of ${event.peer}, not of ${one.id}`);
        break;
      }
      check(event.type === 'envelope' && numberOf(event.envelope) === n, `envelope ${n} was expected before down`);
    }
    check(!holds(other.transport.peers(), one.id), 'who is down is not in peers()');
    checkThrows(() => other.transport.send(one.id, new Uint8Array(1)), 'E_AB_UNKNOWN_PEER', 'send to a peer that has closed');
    checkThrows(() => one.transport.send(/** @type {any} */ (undefined), /** @type {any} */ ('text')), 'E_STATE', 'any send after close');
  }]))),

  ['close ends a reader that waits', async (stage) => {
    for (const [one] of directions(stage)) {
      await Promise.all([one.events.ended(), pause(5).then(() => one.transport.close())]);
    }
  }],

  ['a peer that has left comes back under its id', async (stage) => {
    const { pair, a, b, settings } = stage;
    b.transport.close();
    await a.events.expect('down', b.id);
    for (let round = 0; round < 3; round++) {
      const again = await pair.join(b.id);
      const events = readerOf(again, `b, round ${round}`, settings.waitMs);
      await Promise.all([a.events.expect('up', b.id), events.expect('up', a.id)]);
      check(a.transport.peers().length === 1, 'a peer that comes back is there once');
      again.send(a.id, numbered(round));
      a.transport.send(b.id, numbered(round + 100));
      check(numberOf(await a.events.envelope(b.id)) === round, 'what it sends arrives');
      check(numberOf(await events.envelope(a.id)) === round + 100, 'what is sent to it arrives, and nothing of an earlier life');
      again.close();
      await a.events.expect('down', b.id);
    }
  }],

  ['an id that is connected is not given twice', async (stage) => {
    const { pair, a, b, settings } = stage;
    for (const taken of [b.id, a.id]) {
      const refusal = await failureOf(async () => {
        const twin = await pair.join(taken);
        return bounded(twin.receive().next(), 'a refusal', settings.waitMs);
      });
      check(isBbwError(refusal, 'E_PEER_DUPLICATE'), `a second ${taken} must get E_PEER_DUPLICATE, but got ${told(refusal)}`);
    }
    for (const [one, other] of directions(stage)) {
      one.transport.send(other.id, content(6, 10));
      check(equalBytes(await other.events.envelope(one.id), content(6, 10)), 'the first stays connected');
    }
    check(a.transport.peers().length === 1, 'the second is no peer');
  }],

  ['many peers: each is heard under its own id, and half of them leave', async (stage) => {
    const { pair, a, b, settings } = stage;
    const ids = Array.from({ length: 12 }, (_, i) => PeerId.fromU64(2000 + i));
    const others = await Promise.all(ids.map(async (id, i) => {
      const transport = await pair.join(id);
      const events = readerOf(transport, `peer ${i}`, settings.waitMs);
      await reached(events, a.id);
      return { id, transport, events };
    }));
    const up = new Set();
    while (up.size < ids.length) {
      const event = await a.events.next('up of those that joined');
      check(event.type === 'up', `up was expected, but ${event.type} came`);
      up.add(event.peer.toString());
    }
    check(ids.every((id) => up.has(id.toString()) && holds(a.transport.peers(), id)) && holds(a.transport.peers(), b.id), 'peers() holds everybody');
    const rounds = 30;
    for (let n = 0; n < rounds; n++) others.forEach(({ transport }, i) => transport.send(a.id, numbered(i * 1000 + n)));
    const seen = ids.map(() => 0);
    for (let n = 0; n < rounds * ids.length; n++) {
      const event = await a.events.next('what they sent');
      check(event.type === 'envelope', `an envelope was expected, but ${event.type} came`);
      const number = numberOf(event.envelope), from = Math.floor(number / 1000);
      check(ids[from]?.equals(event.peer), `an envelope of ${ids[from]} came under the id ${event.peer}`);
      check(number % 1000 === seen[from]++, `envelopes of ${event.peer} are out of order`);
    }
    others.forEach(({ id }, i) => a.transport.send(id, numbered(i)));
    for (const [i, { events }] of others.entries()) check(numberOf(await envelopeOf(events, a.id)) === i, 'each gets its own');
    others.slice(0, 6).forEach(({ transport }) => transport.close());
    const down = new Set();
    while (down.size < 6) {
      const event = await a.events.next('down of those that left');
      check(event.type === 'down', `down was expected, but ${event.type} came`);
      down.add(event.peer.toString());
    }
    check(ids.every((id, i) => down.has(id.toString()) === i < 6 && holds(a.transport.peers(), id) === i >= 6), 'those that left are gone, the others stay');
    a.transport.send(ids[11], numbered(77));
    check(numberOf(await envelopeOf(others[11].events, a.id)) === 77, 'the others go on');
  }],
];

/** Only with `cut`. @type {typeof CASES} */
const CUT_CASES = [
  ['a connection that breaks is reported, and comes back by itself', async (stage) => {
    for (let round = 0; round < 3; round++) {
      await stage.settings.cut?.(stage.pair);
      await Promise.all(directions(stage).map(async ([one, other]) => {
        await one.events.expect('down', other.id);
        await one.events.expect('up', other.id);
      }));
      for (const [one, other] of directions(stage)) {
        one.transport.send(other.id, numbered(round));
        check(numberOf(await other.events.envelope(one.id)) === round, 'after the break envelopes go on');
      }
    }
  }],
];

/** @param {() => unknown} call  @returns {Promise<unknown>} what it threw or rejected with */
async function failureOf(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** @template T @param {Promise<T>} promise @param {string} what @param {number} ms @returns {Promise<T>} */
async function bounded(promise, what, ms) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  try {
    return await Promise.race([promise, new Promise((_resolve, reject) => { timer = setTimeout(() => reject(new Error(`${what} did not come in ${ms} ms`)), ms); })]);
  } finally {
    clearTimeout(timer);
  }
}

/** Reads up to the `up` of that peer; where everybody reaches everybody others come as well. @param {ReturnType<typeof readerOf>} events @param {PeerId} peer */
async function reached(events, peer) {
  for (;;) {
    const event = await events.next(`up of ${peer}`);
    check(event.type === 'up', `up of ${peer} was expected, but ${event.type} of ${event.peer} came`);
    if (event.peer.equals(peer)) return;
  }
}

/** The next envelope; ups and downs of others may come before. @param {ReturnType<typeof readerOf>} events @param {PeerId} peer */
async function envelopeOf(events, peer) {
  for (;;) {
    const event = await events.next(`an envelope of ${peer}`);
    if (event.type !== 'envelope') continue;
    check(event.peer.equals(peer), `an envelope came from ${event.peer}, not from ${peer}`);
    return event.envelope;
  }
}

/**
 * Checks a transport. With `test` every case becomes a test and nothing is awaited; else all run, one after the other.
 * @param {() => Pair | Promise<Pair>} makePair  called once per case
 * @param {CheckOptions} [options]
 * @returns {Promise<string[]>} the names of the cases
 * @throws {AggregateError} without `test`: what failed, each with its case's name
 */
export async function checkTransport(makePair, { test, messageBytesMax = 16 * 1024 * 1024, cut, seed = 1, waitMs = 10_000 } = {}) {
  const settings = { messageBytesMax, cut, seed, waitMs };
  const cases = cut === undefined ? CASES : [...CASES, ...CUT_CASES];
  /** @param {(typeof CASES)[number][1]} run */
  const start = async (run) => {
    const pair = await makePair();
    try {
      /** @type {Side} */
      const a = { transport: pair.a, id: pair.aId, events: readerOf(pair.a, 'a', waitMs) };
      /** @type {Side} */
      const b = { transport: pair.b, id: pair.bId, events: readerOf(pair.b, 'b', waitMs) };
      await Promise.all([a.events.expect('up', b.id), b.events.expect('up', a.id)]);
      await run({ pair, a, b, settings });
    } finally {
      await pair.dispose();
    }
  };
  /** @type {Error[]} */
  const failures = [];
  for (const [name, run] of cases) {
    if (test !== undefined) test(name, () => start(run));
    else await start(run).catch((cause) => failures.push(new Error(`${name}: ${told(cause)}`, { cause })));
  }
  if (failures.length > 0) throw new AggregateError(failures, `${failures.length} of ${cases.length} cases failed:\n${failures.map((each) => each.message).join('\n')}`);
  return cases.map(([name]) => name);
}
