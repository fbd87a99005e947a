// node: one participant.
//
// Install an artifact, then drive it: put bytes in, call `poll`, act on the steps.  The node does no I/O and reads no clock;
// `drive` in driver.js does that for you.  Names and order of the methods are those of include/bbw/node.h.

import { Address } from './address.js';
import { createDispatch, hasBootstrap, hasState, packResults, rolesOf, textOf } from './component.js';
import { BbwError } from './errors.js';
import { asBytes, checkRequestSize, encodeUtf8, entriesOf, listOf, Reader, u64Of, wellFormed, wrongType } from './internal/bytes.js';
import { camel, narrow, pack, packList, readSteps, unpackList } from './internal/pack.js';
import { PeerId } from './peer-id.js';
import { ERR, OUT, runtimeOf } from './runtime.js';
import { encodeValue } from './values.js';

/** @import {Step} from './internal/pack.js' */
/** @import {Value} from './values.js' */
/** @import {BytesLike} from './internal/bytes.js' */

/**
 * Limits and behaviour; the names are those of bbw_config in camelCase, envelope caps in `envelopeCaps`.
 * @typedef {object} NodeConfig
 * @property {boolean} [edge]  start from the values for small hosts
 * @property {number} [cycleOpBudget] @property {number} [maxPendingAsync] @property {number} [maxOutboundQueue] @property {number} [maxOutboundBytes]
 * @property {number} [busCapacity] @property {number} [maxExecutions] @property {number | bigint} [perHopBudgetNs]
 * @property {number | bigint} [asyncDeadlineNs]  how long an operator may wait for a component or for the host; 0 (default): for ever
 * @property {number} [backpressureHighWaterPct] @property {number} [backpressureKBeforeSilent] @property {number | bigint} [backpressureMinNoticeIntervalNs]
 * @property {number} [ingressByteBudget] @property {number} [maxAppEventBytes] @property {number} [maxInvokeInputs]
 * @property {number} [maxInvokeBytes] @property {number} [maxCompletionResultBytes] @property {number | bigint} [rngSeed]  default random
 * @property {number | bigint} [stepMask]
 * @property {{maxTotalBytes?: number, maxSlotFills?: number, maxPerFillBytes?: number, maxDestSuffixBytes?: number,
 *   maxSrcPeerAddresses?: number, maxSrcPeerAddressBytes?: number}} [envelopeCaps]
 */

/**
 * @typedef {object} InstallOptions
 * @property {PeerId | string} peerId
 * @property {BytesLike} artifact  what `compile` gave
 * @property {readonly string[]} targets
 * @property {Iterable<Address | string>} [addresses]  own addresses; default /p2p/<peerId>
 * @property {readonly import('./component.js').ComponentType[]} [components]  in addition to the shipped ones
 * @property {Record<string, BytesLike | string | object>} [config]  per slot; text becomes UTF-8, other objects JSON
 * @property {NodeConfig} [nodeConfig]
 * @property {boolean} [isUnresolvedAllowed]
 * @property {import('./runtime.js').Runtime} [runtime]  default: an instance of its own
 * @property {import('./runtime.js').WasmSource | Promise<Response>} [wasm]
 * @property {number} [maxMemoryBytes]  see `createRuntime`
 */

/** Order of the words of bbw_stats in node.h. */
const STATS = /** @type {const} */ ([
  'frontierLen', 'busLen', 'pendingAsync', 'slotTableOccupied', 'ingressDepth', 'outboundQueueDepth', 'eventSubscriptions',
  'registeredComponents', 'graphSlots', 'executions', 'ingressBytesInFlight', 'ingressDropped', 'busDropped', 'timers',
  'timersDropped', 'unknownCompletions', 'unresolvedOps', 'lateCompletions', 'duplicateCompletions', 'silentDrops', 'heldBytes',
]);

/** Order of bbw_boot_status in node.h. */
/** From here on an envelope is written where it stays: one copy in all. */
const LARGE_ENVELOPE_BYTES = 65536;
const BOOTSTRAP_STATUS = /** @type {const} */ (['Idle', 'Running', 'WaitingForInput']);

/**
 * @typedef {object} BootstrapRequest
 * @property {string} target  such as Round__bootstrap
 * @property {Record<string, BytesLike | Value>} [inputs]  exactly the inputs that the bootstrap declares
 */

/** In the role bits of an install request: the component saves its state, can be set up. */
const HOST_SAVES = 0x80000000, HOST_BOOTS = 0x40000000;

/**
 * How long a poll may take, beside `cycleOpBudget`.
 * @typedef {object} PollOptions
 * @property {number} [timeBudgetMs]  the poll ends after this time at the next check; where the clock stands still during a poll only the operator budget ends it
 * @property {number} [checkEveryOps]  operators between two looks at the clock; default 64
 * @property {() => number} [now]  in ms; default performance.now
 */

/** @param {string} name  camelCase */
const snake = (name) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);

/** @param {NodeConfig} config @returns {[string, bigint][]} */
function configFields(config) {
  entriesOf(/** @type {Record<string, unknown>} */ (config), 'nodeConfig');
  const { envelopeCaps = {}, edge = false, ...fields } = config;
  if (typeof edge !== 'boolean') throw wrongType('edge', 'a boolean', edge);
  const list = [...Object.entries(fields), ...entriesOf(envelopeCaps, 'envelopeCaps').map(([k, v]) => /** @type {const} */ ([`envelopeCaps.${k}`, v]))];
  return [
    ...(edge ? /** @type {[string, bigint][]} */ ([['edge', 1n]]) : []),
    ...list.filter(([, value]) => value !== undefined).map(([name, value]) => /** @type {[string, bigint]} */ ([snake(name), u64Of(value, name)])),
  ];
}

/** What one result of a component may hold after a configuration; the defaults are those of bbw_config_init. @param {NodeConfig} config @param {number} [before] */
const resultBytesMax = ({ edge = false, maxCompletionResultBytes }, before = 4194304) => Number(maxCompletionResultBytes ?? (edge ? 65536 : before));

/** @param {import('./internal/bytes.js').Writer} out @param {NodeConfig} config */
const writeConfig = (out, config) => packList(out, configFields(config), ([name, value]) => {
  out.text32(name);
  out.u64(value);
});
/** What peers send is filed in tables whose order this seed decides: nobody outside may know it. In the global scope of a worker there is no randomness yet. */
function randomSeed() {
  try {
    return crypto.getRandomValues(new BigUint64Array(1))[0];
  } catch {
    return 0n;
  }
}
/** @param {NodeConfig} config */
const packConfig = (config) => pack((out) => writeConfig(out, config));

/** @param {BytesLike | string | object} config @returns {Uint8Array} */
function configBytes(config) {
  if (typeof config === 'string') return encodeUtf8(config);
  if (config instanceof ArrayBuffer || ArrayBuffer.isView(config)) return asBytes(/** @type {BytesLike} */ (config));
  return encodeUtf8(JSON.stringify(config));
}

/** What the host gives to an input: bytes as they are, or a value, of which the engine gets the payload. @param {BytesLike | Value} data */
function inputBytes(data) {
  if (data !== null && typeof data === 'object' && 'type' in data && typeof data.type === 'string') {
    return data.type === 'Bytes' ? asBytes(data.bytes) : encodeValue(data).payload;
  }
  return asBytes(/** @type {BytesLike} */ (data));
}

/** @param {import('./internal/bytes.js').Writer} out @param {Record<string, BytesLike | Value>} inputs */
const packNamed = (out, inputs) => packList(out, entriesOf(inputs, 'inputs'), ([name, data]) => {
  out.text32(name);
  out.bytes32(inputBytes(data));
});

/**
 * Makes a node with an instance of wasm of its own, or in the given runtime.
 * @param {InstallOptions} options
 * @returns {Promise<Node>}
 * @throws {BbwError} E_INST_*: see the details; nothing is left behind
 */
export async function install({ runtime, wasm, maxMemoryBytes, ...options }) {
  return installIn(await runtimeOf({ runtime, wasm, maxMemoryBytes }), options);
}

/**
 * The same in a runtime that exists; synchronous, for workers.
 * @param {import('./runtime.js').Runtime} runtime
 * @param {Omit<InstallOptions, 'runtime' | 'wasm' | 'maxMemoryBytes'>} options
 */
export function installIn(runtime, { peerId: id, artifact, targets, addresses, components = [], config = {}, nodeConfig = {}, isUnresolvedAllowed = false }) {
  const peerId = PeerId.from(id);
  const own = addresses === undefined ? [new Address().p2p(peerId)] : [...addresses].map((a) => Address.from(a));
  /** 0 when disposed. */
  let handle = 0;
  let isPending = false;
  let onWake = () => {}, onDispose = () => {};
  /** @type {((step: Step) => void) | undefined} */
  let onStep;
  let isTapping = false, checkEvery = 0;
  /** @type {number[]} */
  const hostIds = [];
  /** @type {ReturnType<typeof createDispatch>[]} */
  const dispatches = [];
  let resultCap = 0;
  /** Counts restores: promises from before one answer nobody. */
  let life = 0;

  /** A component promised an answer: give it to the engine when it is there. @param {bigint} cmdId @param {Promise<import('./values.js').EncodedValue[]>} outcome @param {() => void} settled */
  function later(cmdId, outcome, settled) {
    const bornIn = life;
    /** @param {() => void} answer  a snapshot that is taken before holds the call, one that is taken after it does not */
    const give = (answer) => {
      if (handle === 0 || bornIn !== life) return;
      try {
        answer();
      } finally {
        settled();
      }
    };
    outcome.then((results) => give(() => {
      try {
        complete(cmdId, packResults(results));
      } catch (error) {
        fail(cmdId, textOf(error));
      }
    }), (error) => give(() => fail(cmdId, textOf(error)))).catch(() => {}).finally(() => { // refused: the engine knows the command no more, and counts it
      isPending = false;
      onWake();
    });
  }

  try {
    entriesOf(/** @type {Record<string, unknown>} */ (nodeConfig), 'nodeConfig');
    resultCap = resultBytesMax(nodeConfig);
    const types = listOf(components, 'components').map((type) => {
      if (typeof type?.create !== 'function') throw wrongType('components', 'component types, made by defineComponent', type);
      const methods = type.create();
      const dispatch = createDispatch(type, methods, later, () => resultCap);
      const hostId = runtime.addHost(dispatch);
      hostIds.push(hostId);
      dispatches.push(dispatch);
      return { ...type, roleBits: (type.roleBits | (hasState(methods) ? HOST_SAVES : 0) | (hasBootstrap(methods) ? HOST_BOOTS : 0)) >>> 0, hostId };
    });
    const request = pack((out) => {
      out.bytes32(peerId.toBytes());
      packList(out, own, (address) => out.bytes32(address.toBytes()));
      out.bytes32(asBytes(artifact));
      packList(out, targets, (target) => out.text32(target, 'targets'), 'targets');
      packList(out, types, ({ typeName, roleBits, hostId }) => {
        out.text32(typeName);
        out.u32(roleBits);
        out.u32(hostId);
      });
      packList(out, entriesOf(config, 'config'), ([slot, value]) => {
        out.text32(slot);
        out.bytes32(configBytes(value));
      });
      writeConfig(out, { rngSeed: randomSeed(), ...nodeConfig });
      out.u32(isUnresolvedAllowed ? 1 : 0);
    });
    runtime.call('bbw_abi_node_install', request, OUT, ERR);
    handle = runtime.outU32();
  } catch (error) {
    hostIds.forEach(runtime.removeHost);
    throw error;
  }

  const alive = () => {
    if (handle === 0) throw new BbwError('E_STATE', 'the node is disposed');
    if (isTapping) throw new BbwError('E_BUSY', 'the node is running; calls from inside onStep are refused');
    return handle;
  };
  /** @param {string} name @param {...import('./runtime.js').Argument} args */
  const call = (name, ...args) => runtime.call(`bbw_abi_node_${name}`, alive(), ...args);
  /** Something has come in: whoever drives should poll. @template T @param {T} value @returns {T} */
  const woken = (value) => {
    isPending = false;
    onWake();
    return value;
  };
  /** @param {bigint} cmdId @param {Uint8Array} results */
  const complete = (cmdId, results) => call('complete', u64Of(cmdId, 'cmdId'), results, ERR);
  /** @param {bigint} cmdId @param {string} detail */
  const fail = (cmdId, detail) => {
    if (typeof detail !== 'string') throw wrongType('detail', 'text', detail);
    return call('fail', u64Of(cmdId, 'cmdId'), encodeUtf8(wellFormed(detail.slice(0, 4096))), ERR);
  };
  /** @param {'restore' | 'import_snapshot'} name @param {BytesLike} snapshot */
  function restoreBy(name, snapshot) {
    try {
      call(name, asBytes(snapshot), ERR);
    } catch (error) {
      dispatches.forEach((dispatch) => dispatch.discard());
      throw error;
    }
    life += 1;
    dispatches.forEach((dispatch) => dispatch.commit());
    woken(undefined);
  }
  /** @param {Step[]} steps @param {(step: Step) => void} listener */
  function tap(steps, listener) {
    isTapping = true;
    try {
      steps.forEach((step) => listener(step));
    } finally {
      isTapping = false;
    }
  }
  /** @param {PeerId | string} peer */
  const bytesOf = (peer) => PeerId.from(peer).toBytes();

  const node = {
    peerId,
    /** Sets the node's clock; going backwards is ignored. @param {bigint} nowNs */
    tick(nowNs) { call('tick', u64Of(nowNs, 'nowNs')); },
    /** An envelope of a peer whose id the host has checked. @param {PeerId | string} peer @param {BytesLike} envelope */
    deliverInbound(peer, envelope) {
      const from = bytesOf(peer), bytes = asBytes(envelope);
      if (bytes.length < LARGE_ENVELOPE_BYTES) woken(call('deliver_inbound', from, bytes, ERR));
      else {
        checkRequestSize(bytes.length); // a length of more than 32 bits would arrive as another one
        call('inbound_room', bytes.length, OUT, ERR);
        try {
          runtime.write(runtime.outU32(), bytes);
          woken(call('deliver_room', from, ERR));
        } catch (error) {
          if (!runtime.isPoisoned) call('inbound_room', 0, OUT, ERR); // in the place of the large one, which nobody asks for again
          throw error;
        }
      }
    },
    /** Data of the application for one input of a module. @param {string} module @param {string} input @param {BytesLike | Value} data */
    deliverEvent(module, input, data) { woken(call('deliver_event', encodeUtf8(module, 'module'), encodeUtf8(input, 'input'), inputBytes(data), ERR)); },
    /**
     * Starts one execution with several inputs.
     * @param {string} module @param {Record<string, BytesLike | Value>} inputs @returns {bigint} its id
     */
    invoke(module, inputs) {
      const packed = pack((out) => packNamed(out, inputs));
      call('invoke', encodeUtf8(module, 'module'), packed, OUT, ERR);
      return woken(runtime.outU64());
    },
    /**
     * Queues the bootstraps; the polls that follow run them, and what is delivered meanwhile waits.
     * @param {readonly import('./node.js').BootstrapRequest[]} [requests]  all or none; default: every target without inputs that is not done
     * @throws {BbwError} E_BOOT_*
     */
    runBootstrap(requests = []) {
      const packed = pack((out) => packList(out, requests, (request) => {
        out.text32(request?.target, 'target');
        packNamed(out, request.inputs ?? {});
      }, 'requests'));
      woken(call('run_bootstrap', packed, ERR));
    },
    /**
     * The same for the components in these slots that have a method `bootstrap`.
     * @param {readonly string[]} slots  all or none
     * @throws {BbwError} E_BOOT_UNKNOWN_SLOT, E_BOOT_ALREADY_QUEUED
     */
    runBootstrapSlots(slots) {
      woken(call('run_bootstrap_slots', pack((out) => packList(out, slots, (slot) => out.text32(slot, 'slots'), 'slots')), ERR));
    },
    /** @returns {'Idle' | 'Running' | 'WaitingForInput'} */
    get bootstrapStatus() { return BOOTSTRAP_STATUS[call('bootstrap_status')]; },
    /** Every bootstrap target, in the order of install, and whether it ran without a failure; `isSlot`: that of the component in a slot. @returns {{target: string, isDone: boolean, isSlot: boolean}[]} */
    get bootstraps() {
      call('bootstraps', OUT);
      return unpackList(new Reader(runtime.outBytes()), (input) => {
        const target = input.text32(), flags = input.u32();
        return { target, isDone: (flags & 1) !== 0, isSlot: (flags & 2) !== 0 };
      });
    },
    /** Completes a parked operator. @param {bigint} cmdId @param {readonly Value[]} values */
    complete(cmdId, values) { woken(complete(cmdId, packResults(listOf(values, 'values').map(encodeValue)))); },
    /** @param {bigint} cmdId @param {string} detail */
    fail(cmdId, detail) { woken(fail(cmdId, detail)); },
    /** Ends an execution with everything that waits in it; what comes for it later is refused. @param {bigint} execId @throws {BbwError} E_UNKNOWN_EXECUTION */
    cancel(execId) { woken(call('cancel', u64Of(execId, 'execId'), ERR)); },
    /** The transport could not deliver. @param {PeerId | string} peer @param {bigint} wireReqId @param {string} reason */
    sendFailed(peer, wireReqId, reason) {
      woken(call('send_failed', bytesOf(peer), u64Of(wireReqId, 'wireReqId'), encodeUtf8(reason, 'reason'), ERR));
    },
    /**
     * How many bytes of envelopes a peer's transport takes for now; the one that uses up the rest goes whole. What is more waits, and nobody else waits for it. undefined: no limit.
     * @param {PeerId | string} peer @param {number} [bytes]
     */
    setSendRoom(peer, bytes) {
      call('set_send_room', bytesOf(peer), bytes === undefined ? 2n ** 64n - 1n : u64Of(bytes, 'bytes'), ERR);
      if (bytes !== 0) woken(undefined);
    },
    /**
     * One bounded cycle. Afterwards `isPending` tells whether there is nothing to do until something comes in or a timer is due.
     * @param {import('./node.js').PollOptions} [options] @returns {Step[]}
     */
    poll({ timeBudgetMs = Infinity, checkEveryOps = 64, now = () => performance.now() } = {}) {
      const every = timeBudgetMs === Infinity ? 0 : Math.max(1, checkEveryOps >>> 0);
      if (!(timeBudgetMs >= 0)) throw new BbwError('E_ARG', 'timeBudgetMs must be a number of at least 0', { field: 'timeBudgetMs', value: timeBudgetMs });
      if (every !== checkEvery) runtime.plain('bbw_abi_node_set_time_budget', alive(), every);
      checkEvery = every;
      if (every !== 0) {
        const end = now() + timeBudgetMs;
        runtime.isTimeUp = () => now() >= end;
      }
      isPending = call('poll', OUT, ERR) === 1;
      const steps = readSteps(runtime.outBytes());
      if (onStep !== undefined) tap(steps, onStep);
      return steps;
    },
    get isPending() { return isPending; },
    /** When to poll next for time's sake, or undefined. @returns {bigint | undefined} */
    get nextTimerNs() { return call('next_timer', OUT) === 1 ? runtime.outU64() : undefined; },
    /** Called when something has come in that a poll would work on. One listener. @param {(() => void) | undefined} listener */
    set onWake(listener) { onWake = listener ?? (() => {}); },
    /** Called with every step, in order, before `poll` returns; it must not call the node. One listener. @param {((step: Step) => void) | undefined} listener */
    set onStep(listener) { onStep = listener; },
    /** Called once, when the node has been disposed; `drive` stops then. @param {(() => void) | undefined} listener */
    set onDispose(listener) { onDispose = listener ?? (() => {}); },

    /** Makes a peer known. @param {PeerId | string} peer @param {Iterable<Address | string>} [addresses]  default /p2p/<peer> */
    addPeer(peer, addresses) {
      const list = addresses === undefined ? [new Address().p2p(peer)] : [...addresses].map((a) => Address.from(a));
      woken(call('add_peer', bytesOf(peer), pack((out) => packList(out, list, (a) => out.bytes32(a.toBytes()))), ERR));
    },
    /** The transport has seen the peer at this address; no claim of the peer drives it out. @param {PeerId | string} peer @param {Address | string} address */
    observePeer(peer, address) { woken(call('observe_peer', bytesOf(peer), Address.from(address).toBytes(), ERR)); },
    /** @param {PeerId | string} peer */
    dropPeer(peer) { woken(call('drop_peer', bytesOf(peer), ERR)); },
    /** @param {PeerId | string} peer */
    blockPeer(peer) { woken(call('block_peer', bytesOf(peer), ERR)); },
    /** @param {PeerId | string} peer */
    unblockPeer(peer) { woken(call('unblock_peer', bytesOf(peer), ERR)); },
    /** Only these peers are listened to; undefined: everybody. @param {Iterable<PeerId | string> | undefined} peers */
    setAllowlist(peers) {
      const list = pack((out) => packList(out, [...(peers ?? [])], (p) => out.bytes32(bytesOf(p))));
      call('set_allowlist', peers === undefined ? 1 : 0, list, ERR);
    },

    /** What was seen of a peer, or undefined. @param {PeerId | string} peer @returns {{consecutiveFailures: number, lastEventNs: bigint, isDown: boolean} | undefined} */
    peerHealth(peer) {
      if (call('peer_health', bytesOf(peer), OUT) === 0) return undefined;
      const input = new Reader(runtime.outBytes());
      return { consecutiveFailures: input.u32(), lastEventNs: input.u64(), isDown: input.u32() !== 0 };
    },
    /** Addresses of a peer, or undefined; those of the node itself under its own id. @param {PeerId | string} peer @returns {Address[] | undefined} */
    peerAddresses(peer) {
      if (call('peer_addresses', bytesOf(peer), OUT) === 0) return undefined;
      return unpackList(new Reader(runtime.outBytes()), (input) => Address.fromBytes(input.bytes32()));
    },
    /** Addresses of the node itself. @returns {Address[]} */
    get localAddresses() { return node.peerAddresses(peerId) ?? []; },
    /** Known peers in the order in which they became known; the node itself is one when it has addresses. @returns {PeerId[]} */
    get knownPeers() {
      call('known_peers', OUT);
      return unpackList(new Reader(runtime.outBytes()), (input) => PeerId.fromBytes(input.bytes32()));
    },
    /** Adds an address of this node. @param {Address | string} address */
    addLocalAddress(address) { call('add_local_address', Address.from(address).toBytes(), ERR); },
    /** Forgets one; an address that is not there is fine. @param {Address | string} address */
    forgetLocalAddress(address) { call('forget_local_address', Address.from(address).toBytes(), ERR); },

    /** The next poll runs the operators that wait for this phase. @param {string} phase */
    fireLifecycle(phase) { woken(call('fire_lifecycle', encodeUtf8(phase, 'phase'), ERR)); },
    /** Changes limits while the node runs; what is not named keeps its value, and `edge` sets all. @param {import('./node.js').NodeConfig} nodeConfig */
    setConfig(nodeConfig) {
      call('set_config', packConfig(nodeConfig), ERR);
      resultCap = resultBytesMax(nodeConfig, resultCap);
    },
    /** The limits that hold now: all fields of `NodeConfig` but `edge`. @returns {Required<Omit<import('./node.js').NodeConfig, 'edge' | 'envelopeCaps'>> & {envelopeCaps: Required<NonNullable<import('./node.js').NodeConfig['envelopeCaps']>>}} */
    get config() {
      call('config', OUT);
      /** @type {Record<string, unknown>} */
      const flat = { envelopeCaps: {} };
      for (const [name, value] of unpackList(new Reader(runtime.outBytes()), (input) => /** @type {const} */ ([input.text32(), input.u64()]))) {
        const [field, part] = name.split('.');
        if (part === undefined) flat[camel(field)] = narrow(value);
        else /** @type {Record<string, unknown>} */ (flat[camel(field)])[camel(part)] = narrow(value);
      }
      return /** @type {any} */ (flat);
    },
    /** Ends all executions and forgets what waits; graphs, components, peers and the clock stay. */
    clear() { woken(call('clear', ERR)); },

    /**
     * The whole state as bytes: executions, timers, queues, peers, and the components that save theirs. The same state gives the same bytes.
     * @returns {Uint8Array}
     */
    snapshot() {
      call('snapshot', OUT, ERR);
      return runtime.outBytes();
    },
    /**
     * Takes the state of a snapshot of the same node: same peer id, same artifact, same components. An error changes nothing. Operators that waited for a
     * JavaScript component go on waiting for `complete` or `fail`; its promises from before answer nobody.
     * @param {BytesLike} snapshot
     * @throws {BbwError} E_SNAP_DECODE, E_RESTORE_SPEC_VERSION, E_RESTORE_MISMATCH, E_RESTORE_COMPONENT
     */
    restore(snapshot) { restoreBy('restore', snapshot); },
    /**
     * Takes over a snapshot of the reference implementation, 0.3.6: peers, lists, counters, component states, suspended operators, unsent envelopes. An error changes nothing.
     * @param {BytesLike} snapshot
     * @throws {BbwError} as `restore`
     */
    importSnapshot(snapshot) { restoreBy('import_snapshot', snapshot); },
    /** 0 after install; after a restore one more than in the snapshot. @returns {bigint} */
    get incarnation() { return BigInt.asUintN(64, BigInt(runtime.plain('bbw_abi_node_incarnation', alive()))); },

    /** Counts of what the node holds. */
    stats() {
      call('stats', OUT);
      const input = new Reader(runtime.outBytes());
      return /** @type {Record<typeof STATS[number], number>} */ (Object.fromEntries(STATS.map((name) => [name, Number(narrow(input.u64()))])));
    },
    /** Names of the installed modules, in the order of the targets. @returns {string[]} */
    get modules() {
      call('modules', OUT);
      return unpackList(new Reader(runtime.outBytes()), (input) => input.text32());
    },
    get components() {
      call('components', OUT);
      return unpackList(new Reader(runtime.outBytes()), (input) => ({ slot: input.text32(), typeName: input.text32(), roles: rolesOf(input.u32()) }));
    },
    /** Which component is bound at a slot name: its place in `components`, or undefined. @param {string} name @returns {number | undefined} */
    slot(name) {
      const place = node.components.findIndex(({ slot }) => slot === name);
      return place < 0 ? undefined : place;
    },
    /** A live execution: how many of its values are there; undefined when it is over or never was. @param {bigint} execId @returns {{filledSites: number} | undefined} */
    execution: (execId) => (call('execution', u64Of(execId, 'execId'), OUT) === 1 ? { filledSites: runtime.outU32() } : undefined),
    /** The artifact that was installed. @returns {Uint8Array} */
    get model() {
      call('model', OUT);
      return runtime.outBytes();
    },
    /** A counter of IncrMetric, or undefined. @param {string} name @returns {bigint | undefined} */
    counter: (name) => (call('counter', encodeUtf8(name, 'name'), OUT) === 1 ? runtime.outU64() : undefined),
    /** Bytes that the engine has allocated in this instance. */
    get memoryUsed() { alive(); return runtime.memoryUsed; },

    /** Frees everything; twice is fine. */
    dispose() {
      if (handle === 0) return;
      if (!runtime.isPoisoned) runtime.plain('bbw_abi_node_del', handle); // throws E_BUSY inside a component, and then nothing has changed
      handle = 0;
      hostIds.forEach(runtime.removeHost);
      onWake = () => {};
      onDispose();
    },
    /** For `using`. */
    [/** @type {typeof Symbol.dispose} */ (Symbol.dispose ?? Symbol.for('Symbol.dispose'))]() { node.dispose(); },
  };
  return node;
}

/**
 * What a snapshot says about itself.
 * @param {import('./runtime.js').Runtime} runtime @param {BytesLike} snapshot
 * @returns {{version: number, incarnation: bigint, peerId: PeerId, artifactHash: bigint, nowNs: bigint, messageBytes: number}}
 * @throws {BbwError} E_SNAP_DECODE, E_RESTORE_SPEC_VERSION
 */
export function readSnapshotInfo(runtime, snapshot) {
  runtime.call('bbw_abi_snapshot_info', asBytes(snapshot), OUT, ERR);
  const input = new Reader(runtime.outBytes());
  return { version: input.u32(), incarnation: input.u64(), peerId: PeerId.fromBytes(input.bytes32()), artifactHash: input.u64(), nowNs: input.u64(), messageBytes: Number(input.u64()) };
}

/** @typedef {ReturnType<typeof installIn>} Node */
