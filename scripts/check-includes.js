// Checks that includes point downwards only: each room of src/ lists the rooms below it that it may use.
// usage: node scripts/check-includes.js      exits 1 and names every include that points the wrong way
import { readFileSync, readdirSync, existsSync } from 'node:fs';
import { join, dirname, posix } from 'node:path';

/** The rooms and what each may include beside itself and include/bbw. The order is the way down, read from the end. */
const ROOMS = {
  base: [],
  format: ['base'],
  peers: ['base', 'format'],
  engine: ['base', 'format', 'peers'],
  kernels: ['base'],
  onnx: ['base', 'format', 'kernels'],
  autodiff: ['base', 'format', 'kernels', 'onnx'],
  compiler: ['base', 'format'],
  roles: ['base', 'format', 'peers', 'engine'],
  ops: ['base', 'format', 'peers', 'engine', 'roles'],
  components: ['base', 'format', 'peers', 'engine', 'roles', 'kernels', 'onnx', 'autodiff'],
  node: ['base', 'format', 'peers', 'engine', 'ops', 'roles', 'components', 'kernels', 'onnx', 'autodiff'],
};
/** The only headers of the C library that the engine may use. No I/O, no allocation, no clock. */
const LIBC = new Set(['stdint.h', 'stddef.h', 'stdbool.h', 'string.h', 'math.h', 'assert.h', 'float.h', 'limits.h']);
const LIBC_OF_ONE_FILE = new Map([['src/base/mem.c', 'stdlib.h']]); // bbw_mem_libc is where malloc comes in
const SIMD = new Set(['wasm_simd128.h', 'xmmintrin.h', 'emmintrin.h', 'immintrin.h']); // kernels only

/** @param {string} dir @returns {string[]} */
function cFiles(dir) {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(c|h|def)$/.test(name)).map((name) => join(dir, name)).sort();
}

const problems = [];
let count = 0;
/** @param {string} file @param {string | null} room  null: a public header */
function check(file, room) {
  const lines = readFileSync(file, 'utf8').split('\n');
  lines.forEach((line, i) => {
    const match = /^\s*#\s*include\s*([<"])([^>"]+)[>"]/.exec(line);
    if (!match) return;
    count++;
    const [, mark, target] = match;
    const complain = (/** @type {string} */ why) => problems.push(`${file}:${i + 1}: ${why}: ${target}`);
    if (mark === '<') {
      if (!LIBC.has(target) && LIBC_OF_ONE_FILE.get(file) !== target && !(room === 'kernels' && SIMD.has(target))) complain('this system header is not allowed here');
      return;
    }
    if (target.startsWith('bbw/')) {
      if (!existsSync(join('include', target))) complain('no such public header');
      return;
    }
    // "room/name.h" from -Isrc, or a neighbour in the same folder.
    const parts = posix.normalize(target).split('/');
    const beside = existsSync(join(dirname(file), target)) && !parts.includes('..');
    if (room === null) {
      if (!beside) complain('a public header may include public headers only');
      return;
    }
    if (parts.length === 1) {
      if (!beside) complain('no such file beside this one');
      return;
    }
    const to = parts[0];
    if (!(to in ROOMS)) complain('not a room of src');
    else if (to !== room && !ROOMS[/** @type {keyof ROOMS} */ (room)].includes(/** @type {never} */ (to))) {
      complain(`room ${room} may not include room ${to}`);
    }
  });
}

for (const file of cFiles('include')) check(file, null);
for (const room of existsSync('src') ? readdirSync('src').sort() : []) {
  if (!(room in ROOMS)) problems.push(`src/${room}: this room is not in the table of scripts/check-includes.js`);
  else for (const file of cFiles(join('src', room))) check(file, room);
}
for (const line of problems) console.error(line);
if (problems.length > 0) process.exit(1);
console.log(`check-includes: ${count} includes point downwards`);
