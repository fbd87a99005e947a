// Writes the ONNX file of a dense classifier.
// usage: node scripts/make-mlp-onnx.js FILE [SIZES=784,64,10] [SEED=1] [gemm|matmul] [softmax]
import { writeFileSync } from 'node:fs';
import { denseNetwork } from '../js/onnx.js';

const [file, sizes = '784,64,10', seed = '1', layer = 'gemm', softmax] = process.argv.slice(2);
if (file === undefined) {
  console.error('usage: node scripts/make-mlp-onnx.js FILE [SIZES=784,64,10] [SEED=1] [gemm|matmul] [softmax]');
  process.exit(2);
}
const bytes = denseNetwork(sizes.split(',').map(Number), {
  seed: BigInt(seed), layer: layer === 'matmul' ? 'matmul' : 'gemm', softmax: softmax === 'softmax',
});
writeFileSync(file, bytes);
console.log(`${file}: ${bytes.length} bytes, ${sizes} (${layer}), seed ${seed}`);
