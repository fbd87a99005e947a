// module: a program for one or more classes of nodes, written as recordings.
//
//   class Round extends Module {
//     data = slots.dataSource();
//     model = slots.model();
//     body(g) {
//       const [batch] = this.data.nextBatch(g);
//       g.output('prediction', this.model.forward(g, batch));
//     }
//   }
//
// `build()` gives the recorded model, which `Compiler` turns into an artifact.  Source: authoring specification, section 1.4.

import { BbwError } from './errors.js';
import { createRecording } from './graph.js';
import { encodeModel } from './onnx.js';

/**
 * What recording gives.
 * @typedef {object} Recording
 * @property {string} name  of the module
 * @property {Uint8Array} model  an encoded ONNX ModelProto with functions only
 * @property {(value: string) => string | undefined} sourceOf  file:line:column of the call that recorded a value
 */

/** A module: override `body`, and `bootstrap` if something has to run once before it. */
export class Module {
  /** @param {string} [name]  default: the name of the class; pass one when a minifier renames classes */
  constructor(name = new.target.name) {
    if (typeof name !== 'string' || !/^[^.|#]+$/.test(name)) {
      throw new BbwError('E_ARG', `"${name}" is no name for a module: it must not be empty nor hold ".", "|" or "#"`, { module: name });
    }
    /** @readonly */
    this.name = name;
  }

  /** Records what the module does. @param {import('./graph.js').Graph} _g @returns {void} */
  body(_g) {
    throw new BbwError('E_ARG', `${this.name} has no body`, { module: this.name });
  }

  /** Records what must have happened before the body runs. @param {import('./graph.js').Graph} _g @returns {void} */
  bootstrap(_g) {}

  /** Records body and bootstrap. @returns {Recording} */
  record() {
    const recording = createRecording();
    const functions = [...recording.record(this, 'body'), ...recording.record(this, 'bootstrap')];
    return Object.freeze({ name: this.name, model: encodeModel({ functions }), sourceOf: recording.sourceOf });
  }

  /** The recorded model as bytes. */
  build() {
    return this.record().model;
  }

  /**
   * Uses this module inside the one that is recorded into `g`.
   * @param {import('./graph.js').Graph} g @param {Record<string, import('./graph.js').Handle>} [bindings]
   * @returns {Record<string, import('./graph.js').Handle>} output port -> value
   */
  call(g, bindings) {
    return g.call(this, bindings);
  }
}

/**
 * A module from two functions, for those who like no classes.
 * @param {string} name
 * @param {(g: import('./graph.js').Graph) => void} body
 * @param {(g: import('./graph.js').Graph) => void} [bootstrap]
 * @returns {Module}
 */
export function defineModule(name, body, bootstrap = () => {}) {
  const module = new Module(name);
  module.body = body;
  module.bootstrap = bootstrap;
  return module;
}
