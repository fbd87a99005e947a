// graph: what a module's body records into.
//
// `createRecording` makes the two graphs of a module, body and bootstrap, which share one counter of value names and one of
// slot ids, so that no name or id means two things in one artifact.  A graph turns calls into ONNX nodes; nothing runs.
// Source: authoring specification, sections 1.1 to 1.5 and 6.4.
//
// Differences to the reference on purpose: arguments of a sub-module are bound by name; a sub-module that is used several
// times is recorded once; a port that is declared twice, a handle of another graph and an unbound input are errors here and
// not silent; see W7 to W10 there.

import { BbwError } from './errors.js';
import { callerLine } from './internal/source-line.js';
import { encodeUtf8 } from './internal/bytes.js';
import { ATTRIBUTE } from './onnx.js';

/** Prefix of our domains and keys. */
export const P = 'ai.bytesandbrains.';

/** Denotations of the types that a recording can name; the empty one is the abstract tensor. */
export const types = Object.freeze({
  tensor: '',
  f32: `${P}tensor.f32`, f64: `${P}tensor.f64`, f16: `${P}tensor.f16`, bf16: `${P}tensor.bf16`,
  u8: `${P}tensor.u8`, u16: `${P}tensor.u16`, u32: `${P}tensor.u32`, u64: `${P}tensor.u64`,
  i8: `${P}tensor.i8`, i16: `${P}tensor.i16`, i32: `${P}tensor.i32`, i64: `${P}tensor.i64`, bool: `${P}tensor.bool`,
  peerId: 'bb.peer_id', peerIdVec: 'bb.peer_id_vec', trigger: 'bb.trigger', bytes: `${P}opaque`, wireReqId: 'bb.wire_req_id',
  multiaddress: `${P}multiaddress`, composite: `${P}composite`, addressVec: `${P}address_vec`,
});
/** ONNX element type of the tensor denotations that have one in a recording. */
const ELEMENT = /** @type {Map<string, number>} */ (new Map([[types.f32, 1], [types.f64, 11], [types.i32, 6], [types.i64, 7], [types.bool, 9]]));

/**
 * A value inside a graph.
 * @typedef {{readonly name: string, readonly type: string, readonly owner: object}} Handle
 * @typedef {import('./onnx.js').AttributeProto} Attribute
 */

/** Makers of attributes. */
export const attribute = Object.freeze({
  /** @param {string} name @param {number | bigint | boolean} i @returns {Attribute} */
  int: (name, i) => ({ name, type: ATTRIBUTE.INT, i: typeof i === 'boolean' ? Number(i) : i }),
  /** @param {string} name @param {number} f @returns {Attribute} */
  float: (name, f) => ({ name, type: ATTRIBUTE.FLOAT, f }),
  /** @param {string} name @param {readonly (number | bigint)[]} ints @returns {Attribute} */
  ints: (name, ints) => ({ name, type: ATTRIBUTE.INTS, ints: [...ints] }),
  /** @param {string} name @param {string | Uint8Array} s @returns {Attribute} */
  string: (name, s) => ({ name, type: ATTRIBUTE.STRING, s: typeof s === 'string' ? encodeUtf8(s) : s }),
  /** @param {string} name @param {import('./onnx.js').TensorProto} t @returns {Attribute} */
  tensor: (name, t) => ({ name, type: ATTRIBUTE.TENSOR, t }),
  /** @param {string} name @param {import('./onnx.js').GraphProto} g @returns {Attribute} */
  graph: (name, g) => ({ name, type: ATTRIBUTE.GRAPH, g }),
});

/**
 * A placeholder of a role: one id per object. Made by `slots` in slots.js.
 * @typedef {object} Slot
 * @property {string} role  Model, DataSource, ...
 * @property {string} trait  what the compiler looks for: ModelRuntime, ...
 * @property {string} domain
 */

/**
 * What a module must have to be recorded; `Module` in module.js is one.
 * @typedef {object} Recordable
 * @property {string} name
 * @property {(g: Graph) => void} body
 * @property {(g: Graph) => void} bootstrap
 */

/**
 * @typedef {object} NodeSpec
 * @property {string} domain
 * @property {string} opType
 * @property {readonly (Handle | undefined)[]} [inputs]  undefined: an absent optional input
 * @property {readonly string[]} [outputs]  the type of each output
 * @property {readonly Attribute[]} [attributes]
 * @property {readonly (readonly [string, string])[]} [metadata]
 * @property {Slot} [slot]
 */

/**
 * One function while it is recorded.
 * @typedef {object} Scope
 * @property {import('./onnx.js').FunctionProto & {name: string, input: string[], output: string[], attribute: string[],
 *   node: import('./onnx.js').NodeProto[], valueInfo: import('./onnx.js').ValueInfoProto[]}} fn
 * @property {Recordable} module
 * @property {Map<string, string>} formals  type of the actual behind each formal
 * @property {Map<string, Handle>} ports
 * @property {Set<string>} declared  names in valueInfo
 * @property {boolean} isOpen
 */

/** @param {string} name @param {string} denotation @returns {import('./onnx.js').ValueInfoProto} */
function valueInfo(name, denotation) {
  const type = denotation.startsWith(`${P}tensor.`)
    ? { tensorType: { elemType: ELEMENT.get(denotation) ?? 0, shape: {} }, denotation }
    : { opaqueType: { domain: 'ai.bytesandbrains', name: denotation }, denotation };
  return { name, type };
}

/** State that the body and the bootstrap of one module share. */
export function createRecording() {
  let values = 0;
  /** @type {Map<Slot, number>} */
  const slotIds = new Map();
  /** @type {Map<string, string>} */
  const sources = new Map();

  return {
    /** Where a value was recorded. @param {string} value @returns {string | undefined} */
    sourceOf: (value) => sources.get(value),
    /** @param {Recordable} module @param {'body' | 'bootstrap'} phase @returns {import('./onnx.js').FunctionProto[]} */
    record(module, phase) {
      const graph = createGraph(module, phase, { mint: () => `v${values++}`, slotIds, sources });
      return graph.run();
    },
  };
}

/**
 * @param {Recordable} rootModule @param {'body' | 'bootstrap'} phase
 * @param {{mint: () => string, slotIds: Map<Slot, number>, sources: Map<string, string>}} shared
 */
function createGraph(rootModule, phase, { mint, slotIds, sources }) {
  /** @type {Scope[]} */
  const stack = [];
  /** @type {Scope[]} every function, the root first */
  const scopes = [];
  /** Slots that this graph has marked in some function. @type {Set<Slot>} */
  const marked = new Set();

  /** @param {Recordable} module */
  const nameOf = (module) => (phase === 'body' ? module.name : `${module.name}__bootstrap`);

  /** @param {Recordable} module @param {Map<string, string>} formals @returns {Scope} */
  function open(module, formals) {
    const scope = {
      fn: { name: nameOf(module), input: [], output: [], attribute: [], node: [], valueInfo: [] },
      module, formals, ports: new Map(), declared: new Set(), isOpen: true,
    };
    scopes.push(scope);
    return scope;
  }

  /** @param {Scope} scope */
  function recordInto(scope) {
    stack.push(scope);
    try {
      /** @type {unknown} */
      const answer = phase === 'body' ? scope.module.body(graph) : scope.module.bootstrap(graph);
      if (answer instanceof Promise) {
        answer.catch(() => {}); // its error is a consequence of this one
        throw new BbwError('E_ARG', `${scope.module.name}: the ${phase} is asynchronous; what it records after the first await would be lost`, { module: scope.module.name, field: phase });
      }
    } finally {
      stack.pop();
      scope.isOpen = false;
    }
  }

  const current = () => {
    const scope = stack[stack.length - 1];
    if (scope === undefined) throw new BbwError('E_STATE', 'this graph is not being recorded any more', { module: rootModule.name });
    return scope;
  };

  /** @param {string} code @param {string} message @param {Record<string, unknown>} details @returns {never} */
  function fail(code, message, details) {
    const module = stack[stack.length - 1]?.module.name ?? rootModule.name;
    const source = callerLine();
    throw new BbwError(code, `${module}: ${message} (${source})`, { module, source, ...details });
  }

  /** @param {Scope} scope @param {string} name @param {string} type  the first declaration wins */
  function declare(scope, name, type) {
    if (scope.declared.has(name)) return;
    scope.declared.add(name);
    scope.fn.valueInfo.push(valueInfo(name, type));
  }

  /** @param {Scope} scope @param {string} name @param {string} type @returns {Handle} */
  const handle = (scope, name, type) => Object.freeze({ name, type, owner: scope });

  /** @param {Handle} value @param {string} what @returns {string} the name, after checking that it belongs here */
  function use(value, what) {
    const scope = current();
    if (value === null || typeof value !== 'object' || typeof value.name !== 'string') {
      return fail('E_ARG', `${what} is not a value of a graph`, { port: what });
    }
    if (value.owner !== scope) {
      return fail('E_COMP_DANGLING_INPUT', `${what} uses "${value.name}", a value of another module's graph; pass it as an input`, { port: what, value: value.name });
    }
    return value.name;
  }

  /** @param {string} name @param {string} what */
  function checkName(name, what) {
    if (typeof name !== 'string' || name === '') return fail('E_ARG', `the name of an ${what} must be text that is not empty`, { port: String(name) });
    if (/^v\d+$/.test(name)) return fail('E_ARG', `"${name}" is no name for an ${what}: v0, v1, ... are the recorder's own`, { port: name });
  }

  /** Appends a node; its outputs are named already. @param {import('./onnx.js').NodeProto} node */
  function push(node) {
    const source = callerLine();
    for (const name of node.output ?? []) sources.set(name, source);
    node.metadataProps = [...(node.metadataProps ?? []), { key: `${P}module_instance`, value: stack.map(({ fn }) => fn.name).join('_') }];
    current().fn.node.push(node);
  }

  /** @param {Slot} slot @returns {number} */
  function slotId(slot) {
    let id = slotIds.get(slot);
    if (id === undefined) slotIds.set(slot, (id = slotIds.size));
    if (!marked.has(slot)) {
      marked.add(slot);
      current().fn.attribute.push(`__slot_${id}`);
    }
    return id;
  }

  /**
   * Records a Send; outputs beside the value and the request stay here.
   * @param {string} port @param {Handle} peers @param {Handle} value @param {readonly Handle[]} more @param {Attribute[]} attributes
   */
  function send(port, peers, value, more, attributes) {
    checkName(port, 'output');
    const scope = current();
    const names = [use(value, port), use(peers, `peers of ${port}`)];
    if (scope.ports.has(port)) fail('E_COMP_DUPLICATE_OUTPUT', `output "${port}" is declared twice`, { port });
    const request = mint();
    push({ opType: 'Send', domain: `${P}wire`, input: names, output: [port, request, ...more.map(({ name }) => name)], attribute: attributes });
    declare(scope, port, value.type);
    declare(scope, request, types.wireReqId);
    for (const { name, type } of more) declare(scope, name, type);
    scope.fn.output.push(port);
    const out = handle(scope, port, value.type);
    scope.ports.set(port, out);
    return out;
  }

  const graph = {
    /**
     * Declares an input of the module and returns its value.
     * @param {string} name @returns {Handle}
     */
    input(name) {
      checkName(name, 'input');
      const scope = current();
      if (!scope.fn.input.includes(name)) {
        scope.fn.input.push(name);
        scope.declared.add(name);
        scope.fn.valueInfo.push(valueInfo(name, scope.formals.get(name) ?? types.bytes));
        sources.set(name, callerLine());
      }
      return handle(scope, name, types.bytes);
    },

    /**
     * Declares an output of the module: what reaches it is reported to the application (or to the calling module).
     * @param {string} port @param {Handle} value
     */
    output(port, value) {
      checkName(port, 'output');
      const scope = current();
      const name = use(value, port);
      if (scope.ports.has(port)) fail('E_COMP_DUPLICATE_OUTPUT', `output "${port}" is declared twice`, { port });
      push({ opType: 'PassThrough', domain: `${P}syscall`, input: [name], output: [port] });
      scope.fn.output.push(port);
      scope.fn.valueInfo.push(valueInfo(port, value.type));
      scope.declared.add(port);
      scope.ports.set(port, handle(scope, port, value.type));
    },

    /**
     * Sends a value to peers. What follows from the returned handle runs on those peers.
     * @param {string} port @param {Handle} peers @param {Handle} value
     * @returns {Handle} the value as the receivers see it
     */
    netOut: (port, peers, value) => send(port, peers, value, [], []),

    /**
     * Sends a value to peers and waits for the first of them to answer, with `reply`. What follows from `asked` runs on those peers; the rest stays here, and goes on when the
     * answer is there. Without one the operator fails (`OpFailed`: `RemoteFailed` or `Timeout`, see docs/OPERATORS.md), or `failure` has the value of a bundle of kind, reason and peers.
     * @param {string} port @param {Handle} peers @param {Handle} value
     * @param {{answerType?: string, catchesFailure?: boolean}} [options]  one of `types`, default bytes; true: take failures as a value
     * @returns {{asked: Handle, answer: Handle, answeredBy: Handle, failure: Handle | undefined}}
     */
    ask(port, peers, value, { answerType = types.bytes, catchesFailure = false } = {}) {
      const outputs = [answerType, types.peerId, ...(catchesFailure ? [types.composite] : [])].map((type) => handle(current(), mint(), type));
      const asked = send(port, peers, value, outputs, [attribute.int('await', 1)]);
      return { asked, answer: outputs[0], answeredBy: outputs[1], failure: outputs[2] };
    },

    /** Answers whoever sent what this follows from: see `ask`. @param {Handle} value */
    reply(value) {
      push({ opType: 'Send', domain: `${P}wire`, input: [use(value, 'reply')], output: [mint()], attribute: [attribute.int('reply', 1)] });
    },

    /** The handle of a declared output, or undefined. @param {string} port @returns {Handle | undefined} */
    lookupOutput: (port) => current().ports.get(port),

    /**
     * Records any operator.
     * @param {NodeSpec} spec
     * @returns {Handle[]} one handle per output
     */
    node({ domain, opType, inputs = [], outputs = [], attributes = [], metadata = [], slot }) {
      const scope = current();
      const input = inputs.map((value, i) => (value === undefined ? '' : use(value, `input ${i} of ${opType}`)));
      const own = slot === undefined ? [] : [[`${P}required_trait`, slot.trait], [`${P}slot_id`, String(slotId(slot))]];
      const handles = outputs.map((type) => handle(scope, mint(), type));
      push({
        opType, domain, input, output: handles.map(({ name }) => name), attribute: [...attributes],
        metadataProps: [...own, ...metadata].map(([key, value]) => ({ key, value })),
      });
      for (const { name, type } of handles) declare(scope, name, type);
      return handles;
    },

    /** Packs values into one. @param {readonly Handle[]} parts @returns {Handle} */
    bundle(parts) {
      if (parts.length === 0) fail('E_ARG', 'bundle needs at least one value', {});
      return graph.node({
        domain: `${P}composite`, opType: 'Bundle', inputs: parts, outputs: [types.composite],
        attributes: childAttributes(parts.map((part) => part.type)),
      })[0];
    },

    /** Takes a bundle apart. @param {Handle} value @param {readonly string[]} partTypes  one of `types` per part @returns {Handle[]} */
    unbundle(value, partTypes) {
      if (partTypes.length === 0) fail('E_ARG', 'unbundle needs the type of at least one part', {});
      return graph.node({
        domain: `${P}composite`, opType: 'Unbundle', inputs: [value], outputs: partTypes, attributes: childAttributes(partTypes),
      });
    },

    /**
     * Uses another module as a part of this one. It is recorded once, however often it is called.
     * @param {Recordable} module
     * @param {Record<string, Handle>} [bindings]  input name -> value
     * @returns {Record<string, Handle>} output port -> value
     */
    call(module, bindings = {}) {
      const caller = current();
      if (stack.some((scope) => scope.module === module)) fail('E_COMP_CYCLE', `module ${module.name} calls itself`, { callee: module.name });
      const actuals = Object.entries(bindings).map(([port, value]) => ({ port, name: use(value, `input "${port}" of ${module.name}`), type: value.type }));
      const name = nameOf(module);
      let callee = scopes.find(({ fn }) => fn.name === name);
      if (callee !== undefined && callee.module !== module) {
        return fail('E_ARG', `two modules are called ${module.name}; names must be unique`, { callee: module.name });
      }
      if (callee === undefined) {
        callee = open(module, new Map(actuals.map(({ port, type }) => [port, type])));
        recordInto(callee);
      }
      const { fn } = callee;
      for (const { port } of actuals) if (!fn.input.includes(port)) fail('E_ARG', `${module.name} has no input "${port}"`, { callee: module.name, port });
      const input = fn.input.map((formal) => actuals.find(({ port }) => port === formal)?.name
        ?? fail('E_COMP_DANGLING_INPUT', `input "${formal}" of ${module.name} is not bound`, { callee: module.name, port: formal }));
      const outputs = fn.output.map((port) => /** @type {const} */ ([port, handle(caller, mint(), types.bytes)]));
      push({ opType: fn.name, domain: `${P}module`, input, output: outputs.map(([, { name }]) => name) });
      return Object.fromEntries(outputs);
    },
  };

  return {
    /** Records everything and returns the functions, the root first; an empty bootstrap gives none. */
    run() {
      const root = open(rootModule, new Map());
      recordInto(root);
      root.fn.metadataProps = [{ key: `${P}module_phase`, value: phase }];
      if (root.fn.node.length > 0) return scopes.map(({ fn }) => fn);
      if (phase === 'bootstrap') return [];
      throw new BbwError('E_COMP_EMPTY_FUNCTION_TABLE', `${rootModule.name}: the body records nothing`, { module: rootModule.name, variant: 'EmptyModule' });
    },
  };
}

/** @param {readonly string[]} partTypes */
const childAttributes = (partTypes) => [
  attribute.int(`${P}composite.child_count`, partTypes.length), attribute.string(`${P}composite.child_types`, partTypes.join(',')),
];

/**
 * @typedef {object} Graph
 * @property {(name: string) => Handle} input
 * @property {(port: string, value: Handle) => void} output
 * @property {(port: string, peers: Handle, value: Handle) => Handle} netOut
 * @property {(port: string, peers: Handle, value: Handle, options?: {answerType?: string, catchesFailure?: boolean}) => {asked: Handle, answer: Handle, answeredBy: Handle, failure: Handle | undefined}} ask
 * @property {(value: Handle) => void} reply
 * @property {(port: string) => Handle | undefined} lookupOutput
 * @property {(spec: NodeSpec) => Handle[]} node
 * @property {(parts: readonly Handle[]) => Handle} bundle
 * @property {(value: Handle, partTypes: readonly string[]) => Handle[]} unbundle
 * @property {(module: Recordable, bindings?: Record<string, Handle>) => Record<string, Handle>} call
 */
