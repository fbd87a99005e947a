// The cases of run.c through the package: the wasm module and its JavaScript, as users have them.
//
// usage: node tests/conformance/run.mjs DIR [only]      the rules and the report are those of run.c
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRuntime, createSessionIn, decodeTensorProto } from '../../js/index.js';

// bfloat16: one unit in the last place. The files of ONNX 1.12 were cut to it, which rounds since opset 19.
const RTOL = 1e-3, ATOL = 1e-7, RTOL_BF16 = 0.0078125;
const [dir, only = ''] = process.argv.slice(2);
if (dir === undefined || !existsSync(dir)) {
  console.error('usage: node tests/conformance/run.mjs DIR [only]');
  process.exit(2);
}
const module = new WebAssembly.Module(readFileSync(new URL('../../build/wasm/bb.wasm', import.meta.url)));
const runtime = createRuntime(module);

/** Element types by their number in ONNX: name, array class, and the list that holds them when raw_data does not. */
const TYPES = new Map([
  [1, ['float32', Float32Array, 'floatData']], [2, ['uint8', Uint8Array, 'int32Data']], [3, ['int8', Int8Array, 'int32Data']], [4, ['uint16', Uint16Array, 'int32Data']],
  [5, ['int16', Int16Array, 'int32Data']], [6, ['int32', Int32Array, 'int32Data']], [7, ['int64', BigInt64Array, 'int64Data']], [9, ['bool', Uint8Array, 'int32Data']],
  [10, ['float16', Uint16Array, 'int32Data']], [11, ['float64', Float64Array, 'doubleData']], [12, ['uint32', Uint32Array, 'uint64Data']],
  [13, ['uint64', BigUint64Array, 'uint64Data']], [16, ['bfloat16', Uint16Array, 'int32Data']],
]);

/** A tensor file as what `run` takes; undefined when it is no tensor of numbers. NumPy has no bfloat16: files hold its bits as uint16. */
function readArray(path, declared) {
  const proto = decodeTensorProto(readFileSync(path));
  const type = TYPES.get(proto.dataType);
  if (type === undefined) return undefined;
  const [dtype, View, list] = type;
  const dims = (proto.dims ?? []).map(Number);
  const count = dims.reduce((a, b) => a * b, 1);
  let data;
  if (proto.rawData?.length > 0) data = new View(proto.rawData.slice().buffer);
  else data = View.from(Array.from(proto[list] ?? [], (x) => (View === BigInt64Array || View === BigUint64Array ? BigInt(x) : Number(x))));
  return data.length === count ? { dtype: declared === 'bfloat16' && dtype === 'uint16' ? declared : dtype, dims, data } : undefined;
}

const halves = new DataView(new ArrayBuffer(4));
const FLOAT_OF = {
  float16: (h) => {
    const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
  },
  bfloat16: (h) => { halves.setUint32(0, h << 16); return halves.getFloat32(0); },
  float32: (x) => x, float64: (x) => x,
};

function differenceOf(got, want) {
  if (got.dtype !== want.dtype || got.dims.join() !== want.dims.join()) return `${got.dtype}[${got.dims}], expected ${want.dtype}[${want.dims}]`;
  const float = FLOAT_OF[want.dtype], rtol = want.dtype === 'bfloat16' ? RTOL_BF16 : RTOL;
  for (let i = 0; i < want.data.length; i++) {
    if (float === undefined) {
      if (got.data[i] !== want.data[i]) return `element ${i}: ${got.data[i]}, expected ${want.data[i]}`;
      continue;
    }
    const a = float(got.data[i]), b = float(want.data[i]);
    if (!(Object.is(a, b) || a === b || Math.abs(a - b) <= ATOL + rtol * Math.abs(b))) return `element ${i}: ${a}, expected ${b}`;
  }
  return undefined;
}

/** Cases whose files are wrong, with the reason. */
const WRONG = new Map(readFileSync(new URL('wrong-files.txt', import.meta.url), 'utf8').split('\n')
  .filter((line) => line !== '' && !line.startsWith('#')).map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]));

/** 'passed', 'failed' or 'skipped'. */
function runCase(name) {
  if (WRONG.has(name)) {
    console.log(`skip  ${name}: ${WRONG.get(name)}`);
    return 'skipped';
  }
  const path = `${dir}/${name}`;
  if (!existsSync(`${path}/model.onnx`)) {
    console.log(`skip  ${name}: has no model.onnx`);
    return 'skipped';
  }
  let session;
  try {
    session = createSessionIn(runtime, readFileSync(`${path}/model.onnx`));
  } catch (error) {
    if (error.code === 'E_ONNX_UNSUPPORTED') {
      console.log(`skip  ${name}: not claimed: ${error.details.nodes?.[0] ?? `${error.details.value} ${error.details.detail}`}`);
      return 'skipped';
    }
    console.log(`FAIL  ${name}: load: ${error.message}`);
    return 'failed';
  }
  try {
    for (let set = 0; existsSync(`${path}/test_data_set_${set}`); set++) {
      const data = `${path}/test_data_set_${set}`;
      const inputs = Object.fromEntries(session.inputs.map(({ name: input, dtype }, i) => [input, readArray(`${data}/input_${i}.pb`, dtype)]));
      // Some files contradict their own model.
      const liar = session.inputs.find(({ name: input, dims }) => dims !== undefined && inputs[input] !== undefined
        && (dims.length !== inputs[input].dims.length || dims.some((d, axis) => typeof d === 'number' && d !== inputs[input].dims[axis])));
      if (liar !== undefined) {
        console.log(`skip  ${name}: the file of input ${liar.name} has not the shape that the model declares`);
        return 'skipped';
      }
      const outputs = session.run(inputs);
      for (const [i, { name: output, dtype }] of session.outputs.entries()) {
        const difference = differenceOf(outputs[output], readArray(`${data}/output_${i}.pb`, dtype));
        if (difference === undefined) continue;
        console.log(`FAIL  ${name}: output ${i}: ${difference}`);
        return 'failed';
      }
    }
    return 'passed';
  } catch (error) {
    console.log(`FAIL  ${name}: run: ${error.message}`);
    return 'failed';
  } finally {
    session.dispose();
  }
}

const counts = { passed: 0, failed: 0, skipped: 0 };
const cases = readdirSync(dir).filter((name) => name.includes(only)).sort();
const used = runtime.memoryUsed;
for (const name of cases) counts[runCase(name)]++;
if (runtime.memoryUsed > used + (1 << 20)) {
  console.log(`FAIL  memory: ${runtime.memoryUsed - used} bytes are left`);
  counts.failed++;
}
console.log(`conformance in wasm: ${counts.passed} passed / ${counts.passed + counts.failed} claimed / ${cases.length} all`);
process.exit(counts.failed === 0 ? 0 : 1);
