// Where the time to the first result goes, in a process of its own for each sample: compiling, an instance, a session with the model of drawn digits, the first run and the second.
// V8 compiles a function when it is called first, so the session and the first run pay for most of the code they use. One JSON line per figure.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createRuntime } from '../../js/runtime.js';
import { createSessionIn } from '../../js/session.js';

const SAMPLES = 15, MODEL = 'build/examples/digits/model.onnx', STAGES = ['compile', 'instance', 'session', 'first_run', 'second_run'];

if (process.argv[2] === 'sample') {
  const bytes = readFileSync('build/wasm/bb.wasm'), model = readFileSync(MODEL), at = [performance.now()];
  const mark = (/** @type {any} */ value) => { at.push(performance.now()); return value; };
  const module = mark(await WebAssembly.compile(bytes));
  const runtime = mark(createRuntime(module));
  const session = mark(createSessionIn(runtime, model));
  const input = { [session.inputs[0].name]: { data: new Float32Array(784), dims: [1, 784] } };
  mark(session.run(input));
  mark(session.run(input));
  console.log(JSON.stringify(STAGES.map((_, i) => at[i + 1] - at[i])));
} else {
  const samples = Array.from({ length: SAMPLES }, () => JSON.parse(execFileSync(process.execPath, [fileURLToPath(import.meta.url), 'sample'], { encoding: 'utf8' })));
  STAGES.forEach((stage, i) => {
    const sorted = samples.map((sample) => sample[i]).sort((a, b) => a - b);
    console.log(JSON.stringify({ name: `start.first_result.${stage}.ms`, value: Number(sorted[SAMPLES >> 1].toPrecision(4)), unit: 'ms', best: Number(sorted[0].toPrecision(4)) }));
  });
}
