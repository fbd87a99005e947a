// component: data as a part of a node.
//
// `dataSource` makes a component of the role DataSource of any set or stream. `NextBatch` gives the next batch of the epoch. After the last one it gives a
// batch without samples (first dimension 0): the end is a value, not an error, and it stays the answer until `Reset`, which begins the next epoch.

import { defineComponent } from '../component.js';
import { BbwError } from '../errors.js';
import { Reader, Writer } from '../internal/bytes.js';
import { tensor } from '../values.js';
import { createLoader, isLoader } from './loader.js';

/** @typedef {import('./batch.js').Batch} Batch @typedef {import('./batch.js').Tensor} Tensor @typedef {import('./loader.js').Loader} Loader */

const STATE_VERSION = 1;

/** As the carriers of a node hold it: 32-bit floats. @param {Tensor} given @param {string} name */
function asFloat({ data, dims }, name) {
  if (data instanceof Float32Array) return tensor(data, dims);
  const floats = new Float32Array(data.length);
  for (let i = 0; i < floats.length; i++) {
    floats[i] = Number(data[i]);
    if (Number(data[i]) !== floats[i] && !(data instanceof Float64Array)) throw new BbwError('E_ELEMENT_TYPE', `${name}: ${data[i]} is no 32-bit float`, { input: name, value: String(data[i]) });
  }
  return tensor(floats, dims);
}

/**
 * @param {Parameters<typeof createLoader>[0] | Loader} data
 * @param {Parameters<typeof createLoader>[1] & {typeName?: string, input?: string, isEndless?: boolean}} [options]  of the loader, unless `data` is one; `typeName`: the
 *   name that bindings use, default 'DataSource'; `input`: which input is the batch, where there are several; `isEndless`: begin the next epoch instead of
 *   giving an end
 * @returns {import('../component.js').ComponentType}
 * @throws {BbwError} E_ARG
 */
export function dataSource(data, { typeName = 'DataSource', input, isEndless = false, ...options } = {}) {
  const loader = isLoader(data) ? data : createLoader(data, options);

  /** @param {Batch} batch */
  function toValues(batch) {
    const names = Object.keys(batch.inputs), name = input ?? (names.length === 1 ? names[0] : undefined);
    if (name === undefined || !Object.hasOwn(batch.inputs, name)) throw new BbwError('E_UNKNOWN_INPUT', `say which of the inputs is the batch: ${names.join(', ')}`, { input: name, expected: names });
    return [asFloat(batch.inputs[name], name), batch.labels === undefined ? tensor([]) : asFloat(batch.labels, 'labels')];
  }

  return defineComponent({
    typeName, role: 'DataSource',
    create() {
      let epoch = 0, number = 0;
      /** @type {AsyncGenerator<Batch, void, undefined> | undefined} */
      let batches;
      /** Calls are answered one after the other. @type {Promise<unknown>} */
      let last = Promise.resolve();
      /** The shapes of an answer without samples. @type {ReturnType<typeof toValues> | undefined} */
      let end;

      async function next() {
        for (;;) {
          batches ??= loader.batches({ epoch, from: number });
          let step;
          try {
            step = await batches.next();
          } catch (error) {
            batches = undefined; // the next call tries the same batch again
            throw error;
          }
          if (!step.done) {
            const values = toValues(step.value);
            end ??= values.map(({ dims }) => tensor([], [0, ...dims.slice(1)]));
            number++;
            return values;
          }
          if (!isEndless) return end ?? [tensor([]), tensor([])];
          if (number === 0) throw new BbwError('E_EMPTY', 'there is no data', {});
          restart(epoch + 1);
        }
      }
      /** @param {number} toEpoch @param {number} [toNumber] */
      function restart(toEpoch, toNumber = 0) {
        void batches?.return(undefined).catch(() => {});
        batches = undefined;
        epoch = toEpoch;
        number = toNumber;
      }
      /** @template T @param {() => T | Promise<T>} work @returns {Promise<T>} */
      function inTurn(work) {
        const done = last.then(work);
        last = done.catch(() => {});
        return done;
      }
      return {
        nextBatch: () => inTurn(next),
        reset: () => inTurn(() => restart(epoch + 1)),
        onDataLoaded: () => undefined,
        save() {
          const out = new Writer();
          out.u32(STATE_VERSION);
          out.u64(loader.seed);
          out.u64(epoch);
          out.u64(number);
          return out.finish();
        },
        /** @param {Uint8Array} bytes */
        restore(bytes) {
          const state = new Reader(bytes);
          const version = state.u32(), seed = Number(state.u64());
          if (version !== STATE_VERSION || seed !== loader.seed) throw new BbwError('E_RESTORE_COMPONENT', `${typeName}: the state is of another version or seed`, { version, seed, expected: loader.seed });
          restart(Number(state.u64()), Number(state.u64()));
        },
      };
    },
  });
}
