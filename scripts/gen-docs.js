// Writes docs/OPERATORS.md and the limits in README.md from the tables that the code is made of.
// usage: node scripts/gen-docs.js [--check]      --check: exits 1 when a file is stale
//
// What an operator does stands here, in DOES: an operator of the code without a line, and a line without an operator, are errors.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const read = (/** @type {string} */ path) => readFileSync(path, 'utf8');
const uncomment = (/** @type {string} */ text) => text.replace(/\/\*[\s\S]*?\*\//g, ' ');
/** @param {string} text @param {RegExp} pattern */
const rows = (text, pattern) => [...uncomment(text).matchAll(pattern)].map((match) => match.slice(1));
/** @param {string[]} head @param {string[][]} body */
const table = (head, body) => [head, head.map(() => '---'), ...body].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

/** @type {Record<string, string>} */
const DOES = {
  'PassThrough': 'gives its input on', 'Tee': 'gives its input on all its outputs', 'Constant': 'gives the tensor of its attribute `value`, as bytes',
  'Bundle': 'packs its inputs into one value', 'Unbundle': 'takes a bundle apart',
  'Limit.Acquire': 'waits until fewer than `n` holders of `name` are left, then fires', 'Limit.Release': 'gives one place of `name` back',
  'Any': 'gives the first value that arrives', 'Gate': 'gives its value once its trigger has fired',
  'Serialize.Enqueue': 'appends its value to `queue`', 'Serialize.Dequeue': 'takes the oldest value of `queue`',
  'CorrelateTag': 'gives a token that is new in this node', 'Hold.Stash': 'keeps its value under `slot`', 'Hold.Flush': 'gives what is kept under `slot`, once',
  'DeadlineCheck': 'fires, or fails when `deadline_ns` have passed since the start of the execution', 'GateDispatch': 'fires when all its inputs have arrived',
  'Pulse': 'fires at the start of the execution', 'OnTrigger': 'turns any value into a trigger', 'Interval': 'gives the time every `period_ns`',
  'After': 'fires once, `delay_ns` after its trigger', 'EventSource': 'fires when the node reports an event of `kind`', 'Clock': "gives the node's time",
  'RngU64': "gives the next number of the node's generator", 'Sleep': 'fires once, `duration_ns` after its trigger',
  'DeadlineMatch': 'fires when the first of its inputs has arrived', 'LifecyclePhase': 'fires in `phase` of the node\'s life',
  'BootstrapDispatch': 'gives a command id for `BootstrapOutput`', 'BootstrapOutput': 'gives what the host completes the command of its input with',
  'AppEmit': 'reports its value to the application as `name`', 'AppNotify': 'reports to the application that it fired', 'Record': 'keeps its value in the ring `name`',
  'IncrMetric': 'adds `delta` to the counter `name`', 'Insert': 'adds one address of a peer', 'InsertMany': 'adds addresses of a peer', 'Lookup': 'gives the addresses of a peer',
  'Send': 'sends its values to peers; with `await` it waits for the first answer, with `reply` it is one', 'Recv': 'gives what a peer sent', 'DedupGateRx': 'stops what came before', 'PeerHealthGateRx': 'stops what comes from a peer that is down',
  'BackoffGateRx': 'stops what comes from a peer that is waited for', 'PeerHealthGateTx': 'fails towards a peer that is down', 'BackoffGateTx': 'fails towards a peer that is waited for',
};
/** @type {Record<string, string>} */
const READY = { ALL: 'all inputs are there', ANY: 'the first input is there', SOURCE: 'its event comes' };

/** Operators of ops.def, one table per domain. */
function stateless() {
  const domains = Object.fromEntries(rows(read('src/ops/ops.c'), /#define DOMAIN_(\w+)\s+"([^"]+)"/g));
  const ops = rows(read('src/ops/ops.def'), /^OP\((\w+), "([^"]+)", (\w+), (\w+), \w+\)/gm);
  const unknown = ops.map(([, name]) => name).filter((name) => !(name in DOES));
  const gone = Object.keys(DOES).filter((name) => !ops.some(([, op]) => op === name));
  if (unknown.length > 0 || gone.length > 0) throw new Error(`gen-docs: no line for ${unknown.join(', ') || 'none'}; no operator for ${gone.join(', ') || 'none'}`);
  return Object.entries(domains).map(([key, domain]) => `### \`${domain}\`\n\n${table(['Operator', 'What it does', 'Fires when'], ops.filter(([d]) => d === key)
    .map(([, name, ready, isSelfStarting]) => [`\`${name}\``, DOES[name], isSelfStarting === 'true' ? 'the node starts, then by its timer' : READY[ready]]))}`).join('\n\n');
}

/** Roles: operators by slot methods, and who of the package answers them. */
function roles() {
  const methods = Object.fromEntries(rows(read('js/component.js'), /^ {2}(\w+): \[([^\]]*)\],$/gm)
    .map(([role, list]) => [role, [...list.matchAll(/'(\w+)'/g)].map(([, name]) => name[0].toUpperCase() + name.slice(1))]));
  const shipped = ['cpu_backend', 'onnx_model', 'fedavg', 'peer_selectors', 'sample_set'].flatMap((file) => rows(read(`src/components/${file}.c`), /\.type_name = "([^"]+)",\s*\.role_bits = BBW_ROLE_BIT\(BBW_ROLE_(\w+)\)/g));
  return table(['Role', 'Domain', 'Operators', 'Shipped components'], rows(read('include/bbw/roles.def'), /^ROLE\((\w+), (\w+), "([^"]*)"\)/gm).map(([key, role, domain]) => [
    role, domain === '' ? 'its own' : `\`${domain}\``,
    methods[role].length > 0 ? methods[role].map((name) => `\`${name}\``).join(', ') : role === 'Backend' ? 'tensor operators, below' : 'its own',
    shipped.filter(([, r]) => r === key).map(([type]) => `\`${type}\``).join(', ') || '– (write one with `defineComponent`)',
  ]));
}

/** @param {string[]} names */
const list = (names) => [...names].sort().map((name) => `\`${name}\``).join(', ');

/** The operators of ONNX graphs: rows of src/onnx/ops.def, whose macros are expanded. @returns {{name: string, since: number, until: number}[]} */
function onnxOperators() {
  const text = uncomment(read('src/onnx/ops.def')).replace(/\\\n/g, ' ');
  const macros = new Map(rows(text, /^#define (\w+)\(([^)]*)\)\s*OP\((.*)\)$/gm).map(([name, params, body]) => [name, { params: params.split(',').map((p) => p.trim()), body }]));
  const calls = rows(text.replace(/^#define.*$/gm, ''), /^(\w+)\((.*)\)\s*$/gm);
  return calls.map(([macro, args]) => {
    const given = args.split(',').map((a) => a.trim());
    if (macro === 'OP') return given;
    const { params, body } = macros.get(macro) ?? (() => { throw new Error(`gen-docs: src/onnx/ops.def has a row ${macro} that is not defined`); })();
    return body.replace(/\b\w+\b/g, (word) => (params.includes(word) ? given[params.indexOf(word)] : word)).split(',').map((a) => a.trim());
  }).filter(([domain]) => domain === '""').map(([, name, since, until]) => ({ name, since: Number(since), until: Number(until) }));
}

/** Which operators of ONNX have a gradient: a text that makes something; those whose texts are all empty let nothing through. */
function gradients() {
  const texts = rows(read('src/autodiff/gradients.def'), /^G\("", (\w+), (.*)\)$/gm);
  return new Map(texts.map(([name, list]) => [name, /"[^",!]/.test(list) ? 'yes' : 'nothing flows']));
}

/** @param {{name: string, since: number, until: number}[]} ops */
function onnxTable(ops) {
  const of = gradients(), known = new Set(ops.map(({ name }) => name));
  const lost = [...of.keys()].filter((name) => !known.has(name));
  if (lost.length > 0 || of.size < 50) throw new Error(`gen-docs: src/autodiff/gradients.def has rows without an operator: ${lost.join(', ')}`);
  return table(['Operator', 'Opset', 'Gradient'], [...ops].sort((a, b) => (a.name < b.name ? -1 : 1)).map(({ name, since, until }) => [`\`${name}\``, `${Math.max(since, 7)} to ${until}`, of.get(name) ?? '']));
}

function operators() {
  const onnx = onnxOperators();
  if (onnx.length < 100 || onnx.some(({ since, until }) => !(since <= until))) throw new Error('gen-docs: the table of ONNX operators was not found');
  const backend = rows(read('src/components/cpu_ops.c'), /\b(?:UNARY|BINARY|REDUCE|OTHER)\("(\w+)"/g).map(([name]) => name);
  const keys = rows(read('src/components/onnx_options.c'), /^ {4}\{"(\w+)", [A-Z]+, /gm).map(([name]) => name);
  const recorded = rows(/function backend\(\)[\s\S]*?\n}\n/.exec(read('js/slots.js'))?.[0] ?? '', /\b(?:unary|binary|filled|reduction|pool|op)\((?:g, )?'(\w+)'/g).map(([name]) => name);
  if (recorded.length < 40 || backend.length < 10 || keys.length < 20) throw new Error('gen-docs: the tables of operators were not found');
  return `# Operators

Written by \`scripts/gen-docs.js\` from the tables in \`src/\`; do not edit. What differs from the reference is in [COMPATIBILITY.md](COMPATIBILITY.md).

## Stateless operators

In JavaScript: \`syscalls\`, and \`g.netOut\`, \`g.bundle\`, \`g.unbundle\`, \`g.output\`; the compiler adds \`Recv\` and the gates.

${stateless()}

## Roles

In JavaScript: \`slots\`. A role operator is answered by the component that is bound to its slot.

${roles()}

## ONNX operators

What \`createSession\` runs, and \`slots.backend().onnx(g, file, inputs)\` as one operator of a module (\`BackendSubgraph\`): ${onnx.length} operators of the domain \`ai.onnx\`.
Opset versions below 7 are not promised. Strings, sequences, maps and optional values are not supported. A file with anything else is refused when it is
loaded; the error lists all that is missing, with operator, opset and node.

The last column is for \`createTrainer\`: operators without a gradient may not stand between a parameter and the loss, unless what is in front of them is frozen. Gradients are
computed in f32; through operators whose result is a choice, a size or a step nothing flows. The regions of \`RoiAlign\`,
\`Range\`, \`Unique\` and the quantized operators have none; a diagonal in \`Einsum\` and a matrix of more than 32 rows in \`Det\` are refused. \`RNN\`, \`GRU\` and \`LSTM\` keep nothing for the way
back: they run once more there, which takes one more forward pass of time and (gates + 2) * hidden numbers (\`GRU\`: 2 * gates + 2) for each step of each sequence while it lasts.
\`If\`, \`Loop\` and \`Scan\` run what they have run once more on the way back: the branch that was taken, the iterations from the last to the first, however many the condition let through. Of each iteration
only what it carried in is kept, which must keep its shape from one to the next, and be f32 where it is trained. Parameters are initializers of the main graph: those inside of a body are not trained. \`Dropout\` inside of a body does nothing.

${onnxTable(onnx)}

Where ONNX leaves room:

* Whole numbers wrap. Division and \`Mod\` by 0 give 0, shifts by the width or more give 0, a negative power of a whole number other than 1 and -1 gives 0.
* \`Clip\` with min above max gives max. \`TopK\` is always sorted, of equal elements the first comes first. \`RoiAlign\` with mode max takes the largest weighted neighbour.
* Initializers that a file lists among its inputs (IR versions below 4) are fixed.
* \`Dropout\` in training mode needs its seed. Operators that draw random numbers without a seed are not supported.
* The padding of a convolution counts as zeros; what an infinite weight makes of it is not defined.
* \`NegativeLogLikelihoodLoss\` and \`SoftmaxCrossEntropyLoss\` whose labels are all ignored, or whose weights add up to 0, are 0 as a mean, and so is their gradient (others give NaN, which would end a training).
  Their class weights are never trained; weights that are made from what is trained are refused.
* Gradients: of several largest (smallest) elements each gets the whole one in \`ReduceMax\`, \`ReduceMin\`, \`Max\`, \`Min\` and \`GlobalMaxPool\`, in \`MaxPool\` the first. \`Relu\` has none at 0, \`Clip\` has it at its bounds.
* A run takes at most 2^24 steps, all iterations of loops counted. \`Einsum\` makes at most 2^30 products. A file imports at most 64 sets of operators.

## Tensor operators of \`CpuBackend\`

The operators above, one at a time, on f32; and in the dialect of the reference, which has its own spelling of some attributes and f32 indices: ${list(backend)}

\`slots.backend()\` also records these, for backends of your own: ${list(recorded.filter((name) => name !== 'BackendSubgraph' && !backend.includes(name) && !onnx.some((op) => op.name === name))) || 'none'}

## ONNX files that \`OnnxModel\` and \`createModel\` load, run and train

Every file that \`createTrainer\` takes and that has one input. A file with an operator that is not supported is refused at install; the error lists all of them by node name; so is one
with an operator between a parameter and the loss that has no gradient.

How \`OnnxModel\` trains stands in the file, as pairs of texts in \`ModelProto.metadata_props\` (\`withTraining\` in \`bb-wasm/training\` writes them); other programs ignore these.
Without any it is softmax cross entropy and SGD. The keys, behind \`bbw.train.\`: ${list(keys)}.
`;
}

/** The limits of bbw_config: default and edge. */
function limits() {
  const config = read('src/node/config.c').replace(/MAX_EXECUTIONS_DEFAULT(?=,)/, /MAX_EXECUTIONS_DEFAULT (\d+)u/.exec(read('src/node/config.c'))?.[1] ?? '');
  const [defaults, edge] = config.split('void bbw_config_init_edge');
  const caps = read('src/format/envelope.c');
  const capsOf = (/** @type {string} */ name) => rows(/** @type {RegExpExecArray} */ (new RegExp(`bbw_envelope_caps_${name} = \\{([\\s\\S]*?)\\};`).exec(caps))[1], /\.(\w+) = ([^,\n]+)/g);
  const camel = (/** @type {string} */ name) => name.replace(/_([a-z])/g, (_, c) => c.toUpperCase());
  const number = (/** @type {string} */ text) => {
    const value = text.split('*').map((f) => Number(f.replace(/[()uUlL]/g, ''))).reduce((a, b) => a * b, 1);
    if (!Number.isSafeInteger(value)) throw new Error(`gen-docs: ${text} is no number`);
    return value.toLocaleString('en-US');
  };
  const edgeOf = new Map(rows(edge, /config->(\w+) = (\d+);/g).map(([k, v]) => [k, v]));
  const own = rows(defaults, /\.(\w+) = (\d+),/g).filter(([name]) => name !== 'rng_seed');
  const edgeCaps = new Map(capsOf('edge').map(([k, v]) => [k, v]));
  return table(['`nodeConfig`', 'Default', '`edge: true`'], [
    ...own.map(([name, value]) => [`\`${camel(name)}\``, number(value), number(edgeOf.get(name) ?? value)]),
    ...capsOf('default').map(([name, value]) => [`\`envelopeCaps.${camel(name)}\``, number(value), number(edgeCaps.get(name) ?? value)]),
  ]);
}

/** @param {string} text @param {string} name @param {string} content */
function fill(text, name, content) {
  const pattern = new RegExp(`(<!-- begin of generated ${name} -->\\n)[\\s\\S]*?(<!-- end of generated ${name} -->)`);
  if (!pattern.test(text)) throw new Error(`gen-docs: README.md has no place for ${name}`);
  return text.replace(pattern, (_, begin, end) => `${begin}${content}\n${end}`);
}

const missing = /## Not there yet\n([\s\S]*?)(?:\n##|$)/.exec(read('docs/COMPATIBILITY.md'))?.[1].trim();
if (missing === undefined) throw new Error('gen-docs: docs/COMPATIBILITY.md has no "Not there yet"');
const outputs = {
  'docs/OPERATORS.md': operators(),
  'README.md': fill(fill(read('README.md'), 'limits', limits()), 'gaps', missing),
};
let isStale = false;
for (const [path, text] of Object.entries(outputs)) {
  if (existsSync(path) && read(path) === text) continue;
  isStale = true;
  if (!process.argv.includes('--check')) {
    writeFileSync(path, text);
    console.log(`gen-docs: wrote ${path}`);
  } else console.error(`${path} is stale: run make fmt`);
}
if (process.argv.includes('--check')) {
  if (isStale) process.exit(1);
  console.log('gen-docs: docs/OPERATORS.md and README.md are current');
}
