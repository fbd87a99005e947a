// tfjs: TensorFlow.js with its gradients, and a step of training by it.
//
// The bundles of tfjs-core that Node takes hold the operators and not the module that registers gradients.  It is part of the package all the same, written for
// bundlers: imports without a suffix, in a package that does not say that it holds modules.  So the loader is told both, for that folder alone.  What it registers
// goes into tables that all copies of the package share.
import { createRequire, register } from 'node:module';

const hooks = `
const isTheirs = (url) => url?.includes('/@tensorflow/tfjs-core/dist/') && !url.includes('/tf-core.');
export const resolve = async (specifier, context, next) => next(isTheirs(context.parentURL) && specifier.startsWith('.') && !specifier.endsWith('.js') ? specifier + '.js' : specifier, context);
export const load = async (url, context, next) => next(url, isTheirs(url) ? { ...context, format: 'module' } : context);`;

/** Once per process. @returns {Promise<any>} the package, with the backends 'cpu' and 'wasm' */
export async function loadTfjs() {
  register(`data:text/javascript,${encodeURIComponent(hooks)}`);
  const require = createRequire(import.meta.url);
  const tf = require('@tensorflow/tfjs-core');
  require('@tensorflow/tfjs-backend-wasm');
  require('@tensorflow/tfjs-backend-cpu');
  const gradients = '@tensorflow/tfjs-core/dist/register_all_gradients.js';
  await import(gradients);
  return tf;
}

/** @param {number[]} dims @param {Float32Array} data @param {number[]} order @returns {Float32Array} the axes of a matrix of any rank in another order */
function turned(dims, data, order) {
  const steps = dims.map((_, i) => dims.slice(i + 1).reduce((a, b) => a * b, 1)), to = order.map((axis) => dims[axis]), by = order.map((axis) => steps[axis]);
  return data.map((_, i) => {
    let from = 0;
    for (let axis = to.length - 1, rest = i; axis >= 0; rest = Math.floor(rest / to[axis--])) from += (rest % to[axis]) * by[axis];
    return data[from];
  });
}

/**
 * Weights and images are laid out as that package likes them, channels last, before anything is measured.
 * @param {any} tf @param {'cpu' | 'wasm'} backend @param {string} model  'mlp' or 'lenet5'
 * @param {{batch: number, classes: number, rate: number, oneHot: Float32Array, weightsOf: (file: Uint8Array) => {dims: number[], data: Float32Array}[]}} task
 */
export const tfjsTraining = (tf, backend, model, { batch, classes, rate, oneHot, weightsOf }) => ({
  name: `tfjs-${backend}`,
  async prepare(/** @type {Uint8Array} */ file, /** @type {string} */ _, /** @type {any} */ { data, dims }) {
    await tf.setBackend(backend);
    const isImage = model === 'lenet5';
    const params = weightsOf(file).map(({ dims: d, data: w }, i) => {
      if (d.length === 4) return tf.variable(tf.tensor(turned(d, w, [2, 3, 1, 0]), [d[2], d[3], d[1], d[0]]));
      // The rows of the first dense layer behind an image follow its elements, which lie in another order here.
      if (isImage && i === 4) return tf.variable(tf.tensor(turned([d[0], 16, 25], w, [2, 1, 0]), [d[1], d[0]]));
      return tf.variable(tf.tensor(d.length === 2 ? turned(d, w, [1, 0]) : w, d.length === 2 ? [d[1], d[0]] : d));
    });
    const x = tf.tensor(data, isImage ? [dims[0], dims[2], dims[3], dims[1]] : dims); // one channel: the same order
    const t = tf.tensor(oneHot, [batch, classes]), optimizer = tf.train.sgd(rate);
    const dense = (/** @type {any} */ y, /** @type {number} */ i) => tf.add(tf.matMul(y, params[i]), params[i + 1]);
    const conv = (/** @type {any} */ y, /** @type {number} */ i, /** @type {string} */ pad) => tf.maxPool(tf.relu(tf.add(tf.conv2d(y, params[i], 1, pad), params[i + 1])), 2, 2, 'valid');
    const forward = () => {
      if (!isImage) return dense(tf.relu(dense(x, 0)), 2);
      const y = tf.reshape(conv(conv(x, 0, 'same'), 2, 'valid'), [batch, 400]);
      return dense(tf.relu(dense(tf.relu(dense(y, 4)), 6)), 8);
    };
    return {
      step() {
        const cost = optimizer.minimize(() => tf.losses.softmaxCrossEntropy(t, forward()), true);
        const loss = cost.dataSync()[0];
        cost.dispose();
        return loss;
      },
      free() { tf.dispose([...params, x, t]); optimizer.dispose(); },
    };
  },
});
