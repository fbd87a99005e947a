// Writes the table of docs/PERFORMANCE.md from build/bench/results.jsonl: the latest value of every figure.
// usage: node scripts/gen-performance.js      the text around the table is kept
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';

const RESULTS = 'build/bench/results.jsonl', DOCUMENT = 'docs/PERFORMANCE.md';
const BEGIN = '<!-- begin of generated table -->', END = '<!-- end of generated table -->';

if (!existsSync(RESULTS)) {
  console.error(`${RESULTS} is not there: run make bench`);
  process.exit(1);
}
/** @type {Map<string, {name: string, value: number, unit: string, against?: string, ratio?: number}>} */
const figures = new Map();
for (const line of readFileSync(RESULTS, 'utf8').split('\n')) {
  if (line === '') continue;
  const figure = JSON.parse(line);
  figures.delete(figure.name); // the latest one, at its latest place
  figures.set(figure.name, figure);
}
// What is measured on both sides stands beside the native figure.
for (const figure of figures.values()) {
  const native = figures.get(figure.name.replace(/\.wasm$/, '.native'));
  if (figure.name.endsWith('.wasm') && native && figure.against === undefined) Object.assign(figure, { against: native.name, ratio: figure.value / native.value });
}
/** @param {number} value */
const shown = (value) => (Number.isInteger(value) ? value.toLocaleString('en-US') : String(Number(value.toPrecision(4))));
const rows = [...figures.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  .map(({ name, value, unit, against, ratio }) => `| \`${name}\` | ${shown(value)} ${unit} | ${against === undefined ? '' : `${ratio === undefined ? '' : `${shown(ratio)} × `}\`${against}\``} |`);
const table = [
  BEGIN,
  `Measured with Node ${process.versions.node} on ${cpus().length} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), ${new Date().toISOString().slice(0, 10)}.`,
  '', '| Figure | Value | Against |', '|---|---|---|', ...rows, END,
].join('\n');
const old = existsSync(DOCUMENT) ? readFileSync(DOCUMENT, 'utf8')
  : `# Performance\n\n\`make bench\` measures, \`node scripts/gen-performance.js\` writes this table from its results.\n\n${BEGIN}\n${END}\n`;
const [before, rest] = old.split(BEGIN);
const after = rest?.split(END)[1];
if (after === undefined) throw new Error(`${DOCUMENT} has lost the marks of its table`);
writeFileSync(DOCUMENT, before + table + after);
console.log(`${DOCUMENT}: ${figures.size} figures`);
