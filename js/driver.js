// driver: the loop around a node.
//
// Sets the clock, polls, sends envelopes by the transports and brings theirs in, arms one timer for the next due time, and
// gives the steps to the application.  Nothing here is special: what it does with a node, a program can do itself.
//
//   const driver = drive(node, { transports: [transport] });
//   for await (const step of driver) if (step.type === 'AppEvent') show(step.topic, step.valueBytes);
//
// One reader at a time, and one driver per node.  A reader that leaves its loop (`break`) is released and the driver goes on: steps
// then only go to `onStep`, until somebody iterates again; that reader first gets what the one before had not read.

import { BbwError, isBbwError } from './errors.js';
import { createQueue } from './internal/queue.js';

/**
 * @typedef {import('./node.js').Node} Node
 * @typedef {import('./peer-id.js').PeerId} PeerId
 * @typedef {import('./transports/transport.js').Transport} Transport
 */

/**
 * What the application sees: the node's steps without SendEnvelope, and what happened to connections.
 * @typedef {import('./internal/pack.js').Step | {type: 'Connected', peer: PeerId} | {type: 'Disconnected', peer: PeerId, reason: string}
 *   | {type: 'InboundRefused', peer: PeerId, error: BbwError} | {type: 'SendFailed', peer: PeerId, error: BbwError}} DriverStep
 */

/**
 * @typedef {object} DriveOptions
 * @property {readonly Transport[]} [transports]
 * @property {'microtask' | 'animation-frame' | 'timer'} [schedule]  when to poll after something has come in. `microtask` (default): at
 *   once; `animation-frame`: once per frame, in a hidden page by a timer; `timer`: in a task of its own
 * @property {number} [timeBudgetMs]  how long one poll may take; default 8 with `animation-frame`, else no limit
 * @property {() => bigint} [now]  a clock in ns that never goes back; default performance.now()
 * @property {(step: DriverStep) => void} [onStep]  called for every step, at once; for those who do not iterate
 * @property {number} [backlogBytesMax]  what may wait in a transport for one peer; more waits in the node, where it is bounded by `maxOutboundBytes` of its
 *   configuration and keeps nobody else from being served. Default 1 MiB; transports without `backlog` have no such limit
 * @property {number} [stepsMax]  steps that wait for the iterator, at least 1; when full, polling stops until it reads. Default 4,096
 * @property {boolean} [closeTransports]  close them when the driver stops; default true
 * @property {AbortSignal} [signal]  stops the driver; the iterator then throws its reason
 */

/** Polls in a row before other tasks of the host get their turn. */
const POLLS_PER_TURN = 16;
/** How often a peer that is slow is looked at. */
const BACKLOG_CHECK_MS = 20;
/** The longest time that setTimeout can wait. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1;
const SCHEDULES = ['microtask', 'animation-frame', 'timer'];
/** What a transport must have. */
const TRANSPORT_METHODS = /** @type {const} */ (['send', 'receive', 'close']);
/** Nodes that have a driver. @type {WeakSet<Node>} */
const driven = new WeakSet();
/** Refusals that pass when the node has worked on what it holds. */
const TRANSIENT = new Set(['E_INGRESS_FULL', 'E_BUDGET_EXCEEDED', 'E_LIMIT']);

const monotonicNs = () => BigInt(Math.round(performance.now() * 1e6));

/**
 * @param {unknown} isTrue @param {string} argument @param {string} text @param {Record<string, unknown>} [details]
 * @returns {asserts isTrue}
 */
function expect(isTrue, argument, text, details) {
  if (!isTrue) throw new BbwError('E_ARG', `${argument} ${text}`, { argument, ...details });
}

/** @param {Required<Pick<DriveOptions, 'transports' | 'schedule' | 'now' | 'onStep' | 'stepsMax'>>} options */
function checkOptions({ transports, schedule, now, onStep, stepsMax }) {
  expect(SCHEDULES.includes(schedule), 'schedule', `must be one of ${SCHEDULES.join(', ')}`, { value: schedule, allowed: SCHEDULES });
  expect(Number.isSafeInteger(stepsMax) && stepsMax > 0, 'stepsMax', 'must be a whole number of at least 1', { value: stepsMax });
  expect(typeof now === 'function', 'now', 'must be a function', { value: now });
  expect(typeof onStep === 'function', 'onStep', 'must be a function', { value: onStep });
  expect(Array.isArray(transports), 'transports', 'must be an array', { value: transports });
  transports.forEach((transport, index) => {
    const missing = TRANSPORT_METHODS.filter((method) => typeof transport?.[method] !== 'function');
    expect(missing.length === 0, 'transports', `must be transports, but the one at ${index} has no ${missing.join(', ')}`, { index, missing });
  });
}

/**
 * Drives a node until `stop`, the signal, an error of the engine or of `onStep`, or until the node is disposed.
 * @param {Node} node
 * @param {DriveOptions} [options]
 * @throws {BbwError} E_ARG; E_STATE when the node is disposed or has a driver that has not stopped
 */
export function drive(node, {
  transports: given = [], schedule = 'microtask', now = monotonicNs, onStep = () => {}, stepsMax = 4096, closeTransports = true, signal,
  backlogBytesMax = 2 ** 20,
  timeBudgetMs = schedule === 'animation-frame' ? 8 : Infinity,
} = {}) {
  signal?.throwIfAborted();
  checkOptions({ transports: given, schedule, now, onStep, stepsMax });
  expect(typeof timeBudgetMs === 'number' && timeBudgetMs >= 0, 'timeBudgetMs', 'must be a number of at least 0', { value: timeBudgetMs });
  expect(Number.isSafeInteger(backlogBytesMax) && backlogBytesMax > 0, 'backlogBytesMax', 'must be a whole number of at least 1', { value: backlogBytesMax });
  const limits = { timeBudgetMs };
  if (driven.has(node)) throw new BbwError('E_STATE', 'the node has a driver already; stop that one first');
  void node.nextTimerNs; // throws when the node is disposed
  const transports = [...given];
  const queue = /** @type {typeof createQueue<DriverStep>} */ (createQueue)({ itemsMax: stepsMax });
  const counters = { envelopesSent: 0, envelopesReceived: 0, bytesSent: 0, bytesReceived: 0, polls: 0 };
  const stopping = new AbortController();
  /** Transport by which a peer was last reached. @type {Map<string, Transport>} */
  const routes = new Map();
  /** Peers whose transport holds enough for them, and whether they were sent anything since they were given room. @type {Map<string, {peer: PeerId, isUsed: boolean}>} */
  const slow = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let backlogTimer;
  /** Those who wait until the node has worked. @type {(() => void)[]} */
  let waiters = [];
  /** Settle when the transports have ended. @type {Promise<void>[]} */
  let received = [];
  let isScheduled = false, isStopped = false, isFull = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  /** @param {DriverStep} step */
  function report(step) {
    onStep(step);
    if (queue.isRead) queue.force(step); // bounded: `turn` does not poll while the queue is full
  }

  /** Bytes that wait in the transport; nonsense or an error means none, as without `backlog`: it is no reason to stop. @param {PeerId} peer @param {Transport | undefined} transport */
  function backlogOf(peer, transport) {
    try {
      const bytes = transport?.backlog?.(peer);
      return typeof bytes === 'number' && bytes > 0 ? Math.ceil(bytes) : 0;
    } catch {
      return 0;
    }
  }

  /** After a send: from enough on, the rest waits in the node. @param {PeerId} peer @param {string} key @param {Transport} transport */
  function noteBacklog(peer, key, transport) {
    const entry = slow.get(key);
    if (entry !== undefined) entry.isUsed = true;
    if (entry !== undefined || backlogOf(peer, transport) < backlogBytesMax) return;
    try {
      node.setSendRoom(peer, 0);
    } catch (error) { // no place for one more slow peer: its transport refuses what is too much
      if (isBbwError(error, 'E_LIMIT') || isBbwError(error, 'E_NOMEM')) return;
      throw error;
    }
    slow.set(key, { peer, isUsed: true });
    backlogTimer ??= setTimeout(checkBacklogs, BACKLOG_CHECK_MS);
  }

  /** Gives room to peers that have taken half of what waited; one that did not need its last room is slow no more. */
  function checkBacklogs() {
    backlogTimer = undefined;
    try {
      for (const [key, entry] of slow) {
        const backlog = backlogOf(entry.peer, routes.get(key));
        if (backlog > backlogBytesMax / 2) continue;
        if (entry.isUsed) node.setSendRoom(entry.peer, backlogBytesMax - backlog);
        else release(key);
        entry.isUsed = false;
      }
    } catch (error) {
      return void stop(error);
    }
    if (slow.size !== 0) backlogTimer = setTimeout(checkBacklogs, BACKLOG_CHECK_MS);
  }

  /** @param {string} key */
  function release(key) {
    const entry = slow.get(key);
    if (entry !== undefined && slow.delete(key)) node.setSendRoom(entry.peer);
  }

  /** @param {PeerId} peer @param {Uint8Array} bytes */
  function send(peer, bytes) {
    try {
      if (peer.equals(node.peerId)) return void node.deliverInbound(peer, bytes);
      const key = peer.toString(), transport = routes.get(key);
      if (transport === undefined) throw new BbwError('E_AB_UNKNOWN_PEER', `peer ${peer} is not connected`, { peer });
      try {
        transport.send(peer, bytes);
      } catch (cause) { // one peer that cannot be reached is no reason to stop
        throw isBbwError(cause) ? cause : new BbwError('E_STATE', cause instanceof Error ? String(cause.message) : 'the transport could not send', { peer, cause });
      }
      counters.envelopesSent++;
      counters.bytesSent += bytes.length;
      noteBacklog(peer, key, transport);
    } catch (error) {
      if (!isBbwError(error)) throw error;
      try {
        node.sendFailed(peer, requestIdOf(bytes), wellFormed(error.message));
      } catch (full) { // of many that fail at once; the request ends at its deadline
        if (!isBbwError(full, 'E_INGRESS_FULL')) throw full;
      }
      report({ type: 'SendFailed', peer, error });
    }
  }

  /** One turn: polls while there is something to do, a bounded number of times. */
  function turn() {
    isScheduled = false;
    if (isStopped) return;
    try {
      clearTimeout(timer);
      for (let i = 0; ; i++) {
        isFull = queue.isRead && queue.length >= stepsMax;
        if (isFull) return; // goes on when the iterator has read
        if (i === POLLS_PER_TURN) return later();
        node.tick(now());
        const steps = node.poll(limits);
        counters.polls++;
        for (const step of steps) {
          if (step.type !== 'SendEnvelope') report(step);
          else if (step.peer !== undefined) send(step.peer, step.bytes);
        }
        if (isStopped) return;
        if (node.isPending) break;
      }
      const due = node.nextTimerNs;
      if (due !== undefined) {
        const ms = Number(due - now()) / 1e6;
        timer = setTimeout(wake, Math.min(Math.max(Math.ceil(ms), 0), TIMEOUT_MAX_MS));
      }
    } catch (error) {
      return void stop(error);
    } finally {
      const freed = waiters;
      waiters = [];
      freed.forEach((resolve) => resolve());
    }
  }

  /** After other tasks of the host. */
  function later() {
    isScheduled = true;
    setTimeout(turn, 0);
  }

  /** Something has come in. */
  function wake() {
    if (isScheduled || isStopped) return;
    isScheduled = true;
    if (schedule === 'microtask') queueMicrotask(turn);
    else if (schedule === 'animation-frame' && typeof requestAnimationFrame === 'function' && !globalThis.document?.hidden) requestAnimationFrame(turn);
    else setTimeout(turn, 0);
  }

  /** A book that is full, or holds no more what it is to drop, costs that peer and not the driver. @param {() => void} change @returns {BbwError | undefined} */
  function inBook(change) {
    try {
      return void change();
    } catch (error) {
      if (!isBbwError(error) || error.code === 'E_STATE' || error.code === 'E_TRAP') throw error;
      return error;
    }
  }

  /** @param {Transport} transport */
  async function receive(transport) {
    for await (const event of transport.receive({ signal: stopping.signal })) {
      if (isStopped) return;
      const key = event.peer.toString();
      if (event.type === 'up') {
        routes.set(key, transport);
        const error = inBook(() => node.addPeer(event.peer));
        report({ type: 'Connected', peer: event.peer });
        if (error !== undefined) report({ type: 'InboundRefused', peer: event.peer, error });
      } else if (event.type === 'down') {
        if (routes.get(key) === transport) {
          routes.delete(key);
          release(key); // what waits for it fails, like what is sent to it now
          inBook(() => node.dropPeer(event.peer));
        }
        report({ type: 'Disconnected', peer: event.peer, reason: event.reason });
      } else {
        counters.envelopesReceived++;
        counters.bytesReceived += event.envelope.length;
        await deliver(event.peer, event.envelope);
      }
    }
  }

  /** Waits while the node is full, so that the transport's queue, and then the network, hold the sender back. @param {PeerId} peer @param {Uint8Array} envelope */
  async function deliver(peer, envelope) {
    for (let i = 0; ; i++) {
      try {
        return node.deliverInbound(peer, envelope);
      } catch (error) {
        if (!isBbwError(error) || error.code === 'E_STATE' || error.code === 'E_TRAP') throw error;
        if (!TRANSIENT.has(error.code) || i === 100) return report({ type: 'InboundRefused', peer, error });
      }
      wake();
      await new Promise((resolve) => waiters.push(/** @type {() => void} */ (resolve)));
      if (isStopped) return;
    }
  }

  /** @param {unknown} [error]  what the iterator throws and `done` rejects with */
  function stop(error) {
    if (isStopped) return;
    isStopped = true;
    driven.delete(node);
    clearTimeout(timer);
    clearTimeout(backlogTimer);
    try {
      for (const key of [...slow.keys()]) release(key);
    } catch { /* the node is gone, or has trapped: it holds nothing back */ }
    signal?.removeEventListener('abort', onAbort);
    node.onWake = undefined;
    node.onDispose = undefined;
    queue.end(error);
    stopping.abort(new BbwError('E_STATE', 'the driver has stopped'));
    waiters.forEach((resolve) => resolve());
    const closed = closeTransports ? transports.map(async (transport) => transport.close()) : []; // async: a close that throws keeps no other from closing
    if (error !== undefined) end.reject(error);
    Promise.all([...received, ...closed]).then(() => end.resolve(), end.reject);
  }
  const onAbort = () => stop(signal?.reason);

  /** @type {{resolve: () => void, reject: (error: unknown) => void}} */
  let end;
  /** @type {Promise<void>} */
  const done = new Promise((resolve, reject) => { end = { resolve, reject }; });
  done.catch(() => {}); // who iterates gets the same error there
  driven.add(node);
  signal?.addEventListener('abort', onAbort, { once: true });
  node.onWake = wake;
  node.onDispose = () => stop();
  // Only then: a node that works in slices is due again at once, and who reads its steps must not keep the other tasks of the host waiting.
  queue.onDrain(() => { if (isFull && (!queue.isRead || queue.length < stepsMax)) wake(); });
  received = transports.map((transport) => receive(transport).catch((error) => {
    if (!isStopped) stop(error);
  }));
  wake();

  return {
    node,
    counters,
    /** Polls soon; needed only after a call on the node that it does not notice itself. */
    wake,
    /** Stops polling and closes the transports; the node stays as it is, and another driver may take it. Twice is fine. */
    stop: () => stop(),
    get isStopped() { return isStopped; },
    /**
     * Resolves when the driver has stopped and its transports have ended. Rejects with what stopped the driver when that was an error or the
     * signal, or else with what a transport's `close` threw.
     */
    done,
    /** The steps from now on. Ends with `stop` or when the node is disposed; throws what else stopped the driver. E_STATE when there is a reader. */
    [Symbol.asyncIterator]: () => queue.read(),
    /** For `using`. */
    [/** @type {typeof Symbol.dispose} */ (Symbol.dispose ?? Symbol.for('Symbol.dispose'))]() { stop(); },
  };
}

/** @typedef {ReturnType<typeof drive>} Driver */

/** What the engine takes for a reason: short, and without halves of surrogate pairs. @param {string} text */
const wellFormed = (text) => new TextDecoder().decode(new TextEncoder().encode(text.slice(0, 512)));

/**
 * The request id of an encoded envelope: field 2 of the message in field 3. 0 when there is none.
 * @param {Uint8Array} bytes  written by our engine
 */
function requestIdOf(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; at < bytes.length; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  let end = bytes.length, isInside = false;
  while (at < end) {
    const tag = Number(varint());
    if (isInside && tag === 0x10) return varint();
    if ((tag & 7) === 0) varint();
    else if ((tag & 7) === 2) {
      const length = Number(varint());
      if (!isInside && tag === 0x1a) {
        isInside = true;
        end = at + length;
      } else at += length;
    } else return 0n;
  }
  return 0n;
}
