// participant: what a client of the federation does, in a worker thread of Node and in a browser tab alike.

import { defineComponent, install, loadRuntime, tensor, typeHash, decodeValue } from '../js/index.js';
import { drive } from '../js/driver.js';
import { trainableModel } from '../js/training/index.js';

/**
 * 'mlp': a dense network, trained by the shipped OnnxModel. 'cnn': LeNet-5, trained by a trainer of the package as the node's model.
 * @typedef {'mlp' | 'cnn'} ModelName
 */

/** Steps of a trainer before others get their turn: about 50 ms. */
const STEPS_PER_TURN = 16;

/**
 * What a node is installed with, so that it can learn.
 * @param {ModelName} model @param {Uint8Array} onnx @param {any} [wasm]
 * @returns {Promise<{components: import('../js/index.js').ComponentType[], config: Record<string, Uint8Array>}>}
 */
export async function learnerOf(model, onnx, wasm) {
  if (model === 'mlp') return { components: [], config: { model: onnx } };
  const options = { loss: /** @type {const} */ ('softmax-cross-entropy'), optimizer: { type: /** @type {const} */ ('momentum'), lr: 0.02, momentum: 0.9 } };
  return { components: [trainableModel(await loadRuntime(wasm), onnx, { ...options, budgetBatches: STEPS_PER_TURN })], config: {} };
}

const SIDE = 28;
const PIXELS = SIDE * SIDE;

/**
 * A data source over packed samples (see digits.js): every batch is the whole share.
 * @param {Uint8Array} packed
 * @param {{shifts?: boolean}} [options]  `shifts`: each batch shows the digits moved by up to one pixel, anew each time, so that a
 *   small share teaches more than its own pixels
 */
export function digitSource(packed, { shifts = false } = {}) {
  const count = new DataView(packed.buffer, packed.byteOffset).getUint32(0, true);
  const labels = Float32Array.from(packed.subarray(4, 4 + count));
  const pixels = packed.subarray(4 + count, 4 + count + count * PIXELS);
  let batches = 0;
  return defineComponent({
    typeName: 'Digits',
    role: 'DataSource',
    nextBatch() {
      const x = new Float32Array(count * PIXELS);
      let state = ++batches;
      for (let i = 0; i < count; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        const move = shifts ? (state >>> 16) % 9 : 4;
        const dx = (move % 3) - 1, dy = Math.floor(move / 3) - 1;
        for (let row = Math.max(0, dy); row < SIDE + Math.min(0, dy); row++) {
          for (let column = Math.max(0, dx); column < SIDE + Math.min(0, dx); column++) {
            x[i * PIXELS + row * SIDE + column] = pixels[i * PIXELS + (row - dy) * SIDE + column - dx] / 255;
          }
        }
      }
      return [tensor(x, [count, PIXELS]), tensor(labels, [count])];
    },
    reset: () => undefined,
    onDataLoaded: () => undefined,
  });
}

/** Reads a bundle that arrived as an application event. @param {Uint8Array} bytes */
export function readBundle(bytes) {
  const value = decodeValue(typeHash('Composite'), bytes);
  return value.type === 'Composite' ? value.values : [];
}

/** A loss, an accuracy: one number, whatever carries it. @param {import('../js/values.js').Value | undefined} value */
export function numberOf(value) {
  if (value?.type === 'RawF32' || value?.type === 'RawU32') return value.value;
  return value && 'data' in value ? value.data[0] : NaN;
}

/**
 * Joins a federation and trains until stopped.
 * @param {object} options
 * @param {import('../js/peer-id.js').PeerId} options.peerId
 * @param {import('../js/transports/transport.js').Transport} options.transport
 * @param {Uint8Array} options.artifact @param {Uint8Array} options.onnx @param {Uint8Array} options.samples @param {ModelName} [options.model]
 * @param {any} [options.wasm]
 * @param {'microtask' | 'animation-frame' | 'timer'} [options.schedule]
 * @param {(round: {round: number, loss: number, accuracy: number | null, peers: number}) => void} [options.onRound]  `accuracy`: of the round before
 * @param {(step: import('../js/driver.js').DriverStep) => void} [options.onStep]
 * @param {AbortSignal} [options.signal]
 */
export async function participate({ peerId, transport, artifact, onnx, samples, model = 'mlp', wasm, schedule, onRound = () => {}, onStep = () => {}, signal }) {
  const learner = await learnerOf(model, onnx, wasm);
  const node = await install({
    nodeConfig: { maxCompletionResultBytes: 1 << 28 }, // a batch is the whole share of samples
    wasm, peerId, artifact, targets: ['Client'], components: [digitSource(samples, { shifts: true }), ...learner.components], config: learner.config,
  });
  const driver = drive(node, {
    transports: [transport], schedule, signal,
    onStep(step) {
      onStep(step);
      if (step.type !== 'AppEvent' || step.topic !== 'trained') return;
      const [loss, status] = readBundle(step.valueBytes);
      const { round, accuracy, peers } = JSON.parse(new TextDecoder().decode(status.type === 'Bytes' ? status.bytes : new Uint8Array()));
      onRound({ round, accuracy, peers, loss: numberOf(loss) });
    },
  });
  return {
    node, driver,
    /** Leaves; the server goes on without us. */
    leave() {
      driver.stop();
      node.dispose();
    },
  };
}
