// bb-wasm: everything that a program needs, except transports and the driver, which have entries of their own.

export { Address } from './address.js';
export { compile, compileIn, Compiler } from './compiler.js';
export { defineComponent } from './component.js';
export { BbwError, isBbwError } from './errors.js';
export { attribute, types } from './graph.js';
export { createModel, createModelIn } from './model.js';
export { defineModule, Module } from './module.js';
export { install, installIn, readSnapshotInfo } from './node.js';
export { ATTRIBUTE, DATA_TYPE, decodeModel, decodeTensorProto, denseNetwork, encodeModel } from './onnx.js';
export { PeerId } from './peer-id.js';
export { createRuntime, loadRuntime } from './runtime.js';
export { createSession, createSessionIn } from './session.js';
export { slots } from './slots.js';
export { syscalls } from './syscalls.js';
export { createTrainer, createTrainerIn } from './trainer.js';
export {
  address, addresses, bytes, composite, decodeValue, encodeValue, peer, peers, samples, tensor, trigger, typeHash, u64,
} from './values.js';

// The types that programs name.
/**
 * @typedef {import('./node.js').Node} Node
 * @typedef {import('./internal/pack.js').Step} Step
 * @typedef {import('./node.js').NodeConfig} NodeConfig
 * @typedef {import('./node.js').InstallOptions} InstallOptions
 * @typedef {import('./node.js').BootstrapRequest} BootstrapRequest
 * @typedef {import('./compiler.js').CompileOptions} CompileOptions
 * @typedef {import('./component.js').ComponentType} ComponentType
 * @typedef {import('./component.js').CallContext} CallContext
 * @typedef {import('./graph.js').Graph} Graph
 * @typedef {import('./graph.js').Handle} Handle
 * @typedef {import('./model.js').Model} Model
 * @typedef {import('./module.js').Recording} Recording
 * @typedef {import('./runtime.js').Runtime} Runtime
 * @typedef {import('./session.js').Session} Session
 * @typedef {import('./trainer.js').Trainer} Trainer
 * @typedef {import('./trainer.js').TrainerOptions} TrainerOptions
 * @typedef {import('./values.js').Value} Value
 */
