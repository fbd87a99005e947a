// Writes the table of docs/PERFORMANCE.md from build/bench/results.jsonl: the median of the latest runs of every figure. Rows of figures that
// were not measured again are kept; delete a row to be rid of it.
// usage: node scripts/gen-performance.js      the text around the table is kept
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';

const RESULTS = 'build/bench/results.jsonl', DOCUMENT = 'docs/PERFORMANCE.md';
/** Runs that count; remove the results when the machine or the code has changed. */
const RUNS = 7;
const BEGIN = '<!-- begin of generated table -->', END = '<!-- end of generated table -->';

if (!existsSync(RESULTS)) {
  console.error(`${RESULTS} is not there: run make bench`);
  process.exit(1);
}
/** @type {Map<string, {value: number, unit: string, against?: string}[]>} */
const lines = new Map();
/** What another package says instead of a figure. @type {Map<string, string>} */
const refusals = new Map();
for (const line of readFileSync(RESULTS, 'utf8').split('\n')) {
  if (line === '') continue;
  const figure = JSON.parse(line);
  if (figure.cannot !== undefined) {
    refusals.set(figure.name, figure.cannot);
    continue;
  }
  lines.set(figure.name, [...(lines.get(figure.name) ?? []), figure].slice(-RUNS));
}
/** Medians: a neighbour on the same machine may slow any single run down. */
const figures = new Map([...lines].map(([name, runs]) => {
  const values = runs.map(({ value }) => value).sort((x, y) => x - y);
  const { unit, against } = runs[runs.length - 1];
  return [name, { unit, against, value: values[values.length >> 1], low: values[0], high: values[values.length - 1] }];
}));
// What is measured on both sides stands beside the native figure.
for (const [name, figure] of figures) if (name.endsWith('.wasm') && figure.unit !== 'ratio') figure.against ??= name.replace(/\.wasm$/, '.native');
/** @param {number} value */
const shown = (value) => (Number.isInteger(value) ? value.toLocaleString('en-US') : String(Number(value.toPrecision(4))));
const rows = [...figures].sort(([x], [y]) => (x < y ? -1 : 1)).map(([name, { value, unit, low, high, against }]) => {
  const other = figures.get(against ?? '');
  return `| \`${name}\` | ${shown(value)} ${unit} | ${low === high ? '' : `${shown(low)} to ${shown(high)}`} | ${other && other.value !== 0 ? `${shown(value / other.value)} × \`${against}\`` : ''} |`;
});
for (const [name, text] of refusals) rows.push(`| \`${name}\` | cannot: ${text.replaceAll('|', '\\|')} |  |  |`);
const old = existsSync(DOCUMENT) ? readFileSync(DOCUMENT, 'utf8')
  : `# Performance\n\n\`make bench\` measures, \`node scripts/gen-performance.js\` writes this table from its results.\n\n${BEGIN}\n${END}\n`;
const [before, rest] = old.split(BEGIN);
const after = rest?.split(END)[1];
if (after === undefined) throw new Error(`${DOCUMENT} has lost the marks of its table`);
const nameOf = (/** @type {string} */ row) => row.split('`')[1];
const kept = rest.split(END)[0].split('\n').filter((row) => row.startsWith('| `') && !figures.has(nameOf(row)) && !refusals.has(nameOf(row)));
rows.push(...kept);
rows.sort((x, y) => (nameOf(x) < nameOf(y) ? -1 : 1));
/** A chart of the simulator's costs by the number of Nodes, as far as they stand in the rows. @returns {string[]} */
function chart() {
  const valueIn = new Map(rows.map((row) => [nameOf(row), Number.parseFloat(row.split('|')[2].replaceAll(',', ''))]));
  const sizes = [100, 1000, 10000];
  const of = (/** @type {(size: number) => string} */ name) => sizes.map((size) => valueIn.get(name(size)));
  const envelopes = of((size) => `sim.envelopes.per_s${size === 100 ? '' : `.${size}_nodes`}.native`), joins = of((size) => `sim.join.us_per_node.${size}.native`);
  if ([...envelopes, ...joins].includes(undefined)) return [];
  const draw = (/** @type {string} */ title, /** @type {string} */ unit, /** @type {number[]} */ values) => [
    '', '```mermaid', 'xychart-beta', `  title "${title}"`, `  x-axis "Nodes" [${sizes.join(', ')}]`, `  y-axis "${unit}" 0 --> ${Number((Math.max(...values) * 1.2).toPrecision(2))}`,
    `  bar [${values.map((value) => Number(value.toPrecision(3))).join(', ')}]`, '```',
  ];
  return [
    ...draw('An envelope in a network of so many Nodes, native', 'microseconds', envelopes.map((perSecond) => 1e6 / /** @type {number} */ (perSecond))),
    ...draw('A Node that joins, native', 'microseconds', /** @type {number[]} */ (joins)),
  ];
}
const table = [
  BEGIN,
  `Measured with Node ${process.versions.node} on ${cpus().length} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), ${new Date().toISOString().slice(0, 10)}.`,
  '', '| Figure | Median | Runs from, to | Beside |', '|---|---|---|---|', ...rows, ...chart(), END,
].join('\n');
writeFileSync(DOCUMENT, before + table + after);
console.log(`${DOCUMENT}: ${figures.size} figures, ${kept.length} kept`);
