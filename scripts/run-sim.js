// Runs seeds of the simulator on two cores at once and compares them: every seed has to pass on both, with the same trace.
// usage: node scripts/run-sim.js BUILD [--cores native,wasm] [--from F | --from-commit | --from-clock] [--seeds N] [--until-stopped] [--regressions FILE] [-- ARGUMENTS OF sim]
//   cores          two of native, asan, wasm
//   from-commit    the first seed follows from the commit, so a rerun of one commit gives one answer; from-clock: from the time, so every run is a new one
//   until-stopped  blocks of N seeds until SIGINT; each block is a line of BUILD/sim/soak.jsonl
//   regressions    first the runs of that file, a line of arguments each
// Exits 1 when a seed fails, with the command that repeats it.
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';

const [build, ...argv] = process.argv.slice(2);
const extra = argv.includes('--') ? argv.splice(argv.indexOf('--')).slice(1) : [];
const has = (name) => argv.includes(name);
const value = (name, fallback) => (has(name) ? argv[argv.indexOf(name) + 1] : fallback);

const COMMANDS = { native: [`${build}/native/sim`], asan: [`${build}/asan/sim`], wasm: ['node', 'js/bin/bb.js', 'sim'] };
const cores = value('--cores', 'native,wasm').split(',');
const seeds = Number(value('--seeds', '1000'));

/** A number below 2^40 that follows from a text. */
const numberOf = (text) => Number(BigInt(`0x${createHash('sha256').update(text).digest('hex').slice(0, 10)}`));

function firstSeed() {
  if (has('--from')) return Number(value('--from'));
  if (has('--from-clock')) return numberOf(new Date().toISOString());
  if (!has('--from-commit')) return 1;
  try {
    return numberOf(execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim());
  } catch { // not a checkout: the version stands for the commit
    return numberOf(JSON.parse(readFileSync('package.json', 'utf8')).version);
  }
}

let stopped = false;
const children = new Set();
process.on('SIGINT', () => { stopped = true; }); // the children get it too, from the terminal
process.on('SIGTERM', () => { stopped = true; for (const child of children) child.kill(); });

/** Runs one core; its lines, what it said beside them, and the CPU seconds that it took. @param {string} core @param {string[]} args */
function run(core, args) {
  return new Promise((resolve) => {
    const child = spawn('bash', ['-c', '"$@"; code=$?; times >&2; exit $code', 'sh', ...COMMANDS[core], ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(child);
    let out = '', err = '';
    child.stdout.setEncoding('utf8').on('data', (text) => { out += text; });
    child.stderr.setEncoding('utf8').on('data', (text) => { err += text; });
    child.on('close', (code) => {
      children.delete(child);
      const cpu = [...err.matchAll(/(\d+)m([\d.,]+)s/g)].slice(2, 4).reduce((sum, [, m, s]) => sum + 60 * Number(m) + Number(s.replace(',', '.')), 0);
      resolve({ code, lines: out.split('\n').filter((line) => /hash=/.test(line)), said: err.replace(/\d+m[\d.,]+s/g, '').trim(), cpu });
    });
  });
}

const repeat = (core, args) => `${COMMANDS[core].join(' ')} ${args.join(' ')} --trace`;

/** One block on both cores; the complaints. @param {string[]} args @param {number} count */
async function block(args, count) {
  const results = await Promise.all(cores.map((core) => run(core, args)));
  const complaints = [];
  if (stopped) return { complaints, cpu: 0, done: 0 };
  results.forEach((result, c) => {
    for (const line of result.lines) {
      if (!/ ok\s*$/.test(line)) complaints.push(`${cores[c]}: ${line}\n  repeat: ${repeat(cores[c], ['--seed', line.split(' ')[0], ...extra])}`);
    }
    if (result.lines.length !== count) {
      const next = result.lines.length === 0 ? args : ['--seed', String(Number(result.lines.at(-1).split(' ')[0]) + 1), ...extra];
      complaints.push(`${cores[c]}: ended with ${result.code} after ${result.lines.length} of ${count} runs\n  repeat: ${repeat(cores[c], next)}\n${result.said.slice(0, 6000)}`);
    }
  });
  for (let i = 0; i < count && complaints.length === 0; i++) {
    const different = results.find((result) => result.lines[i] !== results[0].lines[i]);
    if (different === undefined) continue;
    complaints.push(`${cores.join(' and ')} do not do the same:\n  ${results.map((result) => result.lines[i]).join('\n  ')}\n  compare: ${cores.map((core) => repeat(core, ['--seed', different.lines[i].split(' ')[0], ...extra])).join('\n           ')}`);
  }
  return { complaints, cpu: results.reduce((sum, result) => sum + result.cpu, 0), done: count };
}

let failed = 0, total = 0, cpuTotal = 0;
const started = Date.now();
const complain = (list) => { for (const text of list) { failed++; console.error(text); } };

if (has('--regressions')) {
  const lines = readFileSync(value('--regressions'), 'utf8').split('\n').map((line) => line.replace(/#.*/, '').trim()).filter((line) => line !== '');
  for (const line of lines) complain((await block(line.split(/\s+/), 1)).complaints);
  console.log(`sim: ${lines.length} runs that once failed`);
}

const first = firstSeed();
if (seeds > 0) console.log(`sim: seeds from ${first} on, ${cores.join(' and ')}`);
for (let from = first; seeds > 0 && !stopped; from += seeds) {
  const { complaints, cpu, done } = await block(['--from', String(from), '--seeds', String(seeds), ...extra], seeds);
  complain(complaints);
  total += done;
  cpuTotal += cpu;
  if (done === 0) break;
  const minutes = (Date.now() - started) / 60000;
  console.log(`sim: ${total} seeds on ${cores.join(' and ')}, ${failed} failed, ${Math.round(total / minutes)} seeds per minute, ${(cpuTotal / 60).toFixed(1)} CPU minutes`);
  if (!has('--until-stopped')) break;
  mkdirSync(`${build}/sim`, { recursive: true });
  appendFileSync(`${build}/sim/soak.jsonl`, `${JSON.stringify({ cores, from, seeds: done, failed: complaints.length, cpuSeconds: Math.round(cpu) })}\n`);
}
process.exitCode = failed === 0 ? 0 : 1;
