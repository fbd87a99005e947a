// A trainer small enough to be checked by eye: softmax regression on one input 'x' with momentum, in the JavaScript of the tests. It has the methods of the
// engine's trainer that the loop needs, so that tests of the loop ask only about the loop.
import { BbwError } from '../../js/errors.js';

/** @param {{width: number, classes: number, learningRate?: number, momentum?: number}} options */
export function createLinearTrainer({ width, classes, learningRate = 0.1, momentum = 0.9 }) {
  let weights = new Float32Array((width + 1) * classes), speed = new Float32Array(weights.length);
  const scores = (x, count) => {
    const out = new Float32Array(count * classes);
    for (let i = 0; i < count; i++) {
      for (let c = 0; c < classes; c++) {
        let sum = weights[width * classes + c];
        for (let j = 0; j < width; j++) sum += x.data[i * width + j] * weights[j * classes + c];
        out[i * classes + c] = sum;
      }
    }
    return out;
  };
  const trainer = {
    steps: 0,
    get weights() { return weights; },
    step({ x }, labels) {
      const [count] = x.dims, p = scores(x, count), gradient = new Float32Array(weights.length);
      let loss = 0;
      for (let i = 0; i < count; i++) {
        const row = p.subarray(i * classes, (i + 1) * classes), most = Math.max(...row), sum = row.reduce((a, s) => a + Math.exp(s - most), 0), label = Number(labels.data[i]);
        if (!(label >= 0 && label < classes)) throw new BbwError('E_INVALID_VALUE', `label ${label} of sample ${i}`, { row: i, value: label });
        loss += Math.log(sum) + most - row[label];
        for (let c = 0; c < classes; c++) {
          const d = (Math.exp(row[c] - most) / sum - (c === label ? 1 : 0)) / count;
          for (let j = 0; j < width; j++) gradient[j * classes + c] += d * x.data[i * width + j];
          gradient[width * classes + c] += d;
        }
      }
      if (Number.isFinite(loss)) {
        for (let k = 0; k < weights.length; k++) {
          speed[k] = momentum * speed[k] + gradient[k];
          weights[k] -= learningRate * speed[k];
        }
        trainer.steps++;
      }
      return { loss: loss / count };
    },
    evaluate: ({ x }) => ({ outputs: { scores: { data: scores(x, x.dims[0]), dims: [x.dims[0], classes] } } }),
    saveState: () => ({ weights: weights.slice(), speed: speed.slice() }),
    loadState(state) {
      weights = state.weights.slice();
      speed = state.speed.slice();
    },
  };
  return trainer;
}
