// gemm_cases: measures products of matrices, ours and theirs in turn, and gives the lines of results.jsonl.
//
// Each figure is a median of ROUNDS rounds; in a round every side computes for at least SLOT_MS, one after the other, so that what a neighbour
// on the machine takes is taken from all.  The peak is the multiply-and-add rate of twelve sums in registers, measured in the same rounds.
// best_share_of_peak sets the best round beside the best peak: what is left when no neighbour computes on the other half of the core.
import { place } from './sides.mjs';

const ROUNDS = 15;
const SLOT_MS = 8;
const WARM_MS = 60;
/** [name, m, n, k, b is constant] */
const CASES = [
  ['32', 32, 32, 32, false], ['64', 64, 64, 64, false], ['128', 128, 128, 128, false], ['256', 256, 256, 256, false],
  ['512', 512, 512, 512, false], ['1024', 1024, 1024, 1024, false],
  ['gemv.256', 1, 256, 256, true], ['gemv.1024', 1, 1024, 1024, true],
];

/** @param {number[]} x */
const median = (x) => [...x].sort((a, b) => a - b)[x.length >> 1];

/** GFLOP/s. @param {any} wasm */
function peak(wasm) {
  // A short function called often: engines replace a slow first version between calls. As long as a slot, and long for a page's coarse clock.
  const steps = 2000, calls = 1000, start = performance.now();
  for (let i = 0; i < calls; i++) wasm.compare_peak(steps, 0.99);
  return (steps * calls * 96) / (performance.now() - start) / 1e6;
}

/** Milliseconds of one call. @param {() => any} run @param {number} repeats */
async function slot(run, repeats) {
  const start = performance.now();
  for (let i = 0; i < repeats; i++) await run();
  return (performance.now() - start) / repeats;
}

/**
 * @param {object} given
 * @param {string} given.engine  last part of the names
 * @param {[string, any][]} given.builds  our modules by name, the one that a user would get first
 * @param {(name: string, wasm: any) => import('./sides.mjs').Side} given.ours
 * @param {import('./sides.mjs').Side[]} given.others
 * @param {(line: object) => void} given.report
 */
export async function compareGemm({ engine, builds, ours, others, report }) {
  for (const [, wasm] of builds) for (let i = 0; i < 10; i++) peak(wasm);
  for (const [name, m, n, k, isConstant] of /** @type {[string, number, number, number, boolean][]} */ (CASES)) {
    const a = Float32Array.from({ length: m * k }, (_, i) => (i % 17) * 0.1 - 0.8);
    const b = Float32Array.from({ length: n * k }, (_, i) => (i % 13) * 0.1 - 0.6);
    const task = { m, n, k, a, b, isConstant };
    const flops = 2 * m * n * k;
    const sides = [...builds.map(([build, wasm]) => ours(build, wasm)), ...others];
    const prepared = [];
    for (const side of sides) {
      const { run, free } = await side.prepare(task);
      const want = prepared[0]?.first, first = await run();
      if (want !== undefined && first.some((x, i) => Math.abs(x - want[i]) > 1e-3 * (1 + Math.abs(want[i])))) throw new Error(`${side.name} computes another product`);
      // Past the first compilers, and counting: a page's clock is too coarse for one call.
      let calls = 0;
      const start = performance.now();
      while (calls < 3 || performance.now() - start < WARM_MS) { await run(); calls++; }
      const once = (performance.now() - start) / calls;
      prepared.push({ name: side.name, run, free, first, repeats: Math.max(1, Math.ceil(SLOT_MS / once)), ms: /** @type {number[]} */ ([]) });
    }
    const kernels = builds.map(([build, wasm]) => ({ build, wasm, at: place(wasm, task), repeats: Math.max(1, Math.ceil((SLOT_MS * 2e7) / flops)), shares: /** @type {number[]} */ ([]), rates: /** @type {number[]} */ ([]), peaks: /** @type {number[]} */ ([]) }));
    for (const kernel of kernels) for (let i = 0; i < 20; i++) kernel.at.multiply(Math.ceil(kernel.repeats / 20));
    for (let round = 0; round < ROUNDS; round++) {
      for (const side of prepared) side.ms.push(await slot(side.run, side.repeats));
      for (const kernel of kernels) {
        const before = peak(kernel.wasm), start = performance.now();
        kernel.at.multiply(kernel.repeats);
        const rate = (flops * kernel.repeats) / (performance.now() - start) / 1e6;
        kernel.rates.push(rate);
        const after = peak(kernel.wasm);
        kernel.peaks.push(before, after);
        kernel.shares.push(rate / ((before + after) / 2));
      }
    }
    for (const { build, rates, shares, peaks } of kernels) {
      report({ name: `gemm.${name}.gflops.${build}.${engine}`, value: Number(median(rates).toPrecision(4)), unit: 'GFLOP/s' });
      report({ name: `gemm.${name}.share_of_peak.${build}.${engine}`, value: Number(median(shares).toPrecision(4)), unit: 'ratio' });
      report({ name: `gemm.${name}.best_share_of_peak.${build}.${engine}`, value: Number((Math.max(...rates) / Math.max(...peaks)).toPrecision(4)), unit: 'ratio' });
    }
    const chosen = prepared[0];
    for (const other of prepared.slice(1)) {
      const mine = median(chosen.ms), theirs = median(other.ms);
      const line = { name: `gemm.${name}.vs.${other.name}.${engine}`, value: Number((theirs / mine).toPrecision(4)), unit: 'times as fast', ours_us: Number((mine * 1000).toPrecision(4)), theirs_us: Number((theirs * 1000).toPrecision(4)) };
      if (builds.every(([build]) => build !== other.name)) report(line);
    }
    const plain = prepared.find((side) => side.name === 'simd128');
    for (const other of plain === undefined || plain === chosen ? [] : prepared) {
      if (builds.some(([build]) => build === other.name)) continue;
      report({ name: `gemm.${name}.vs.${other.name}.simd128.${engine}`, value: Number((median(other.ms) / median(plain.ms)).toPrecision(4)), unit: 'times as fast' });
    }
    for (const { free } of prepared) free();
    for (const { at } of kernels) at.free();
  }
}
