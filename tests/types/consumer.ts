// A program in TypeScript that uses the package by its names. It is compiled strictly, never run; a wrong use must be an error.
import {
  BbwError, bytes, Compiler, compile, createModel, defineComponent, defineModule, denseNetwork, install, isBbwError, loadRuntime, Module, PeerId, slots, syscalls, tensor,
  type Graph, type Handle, type Node, type Step, type Value,
} from 'bb-wasm';
import { createLoader, dataSource, fromArrays, fromCsv, fromImages, readAll, split, type Batch, type DataSet } from 'bb-wasm/data';
import { drive, type Driver } from 'bb-wasm/driver';
import { createAccuracy, createConfusion, evaluate, fit, trainableModel, type Position } from 'bb-wasm/training';
import { checkTransport } from 'bb-wasm/transports/conformance';
import { createMemoryHub } from 'bb-wasm/transports/memory';
import { createWebSocketServer, createWebSocketTransport } from 'bb-wasm/transports/websocket';

class Round extends Module {
  readonly model = slots.model();
  readonly data = slots.dataSource();
  readonly peers = slots.peerSelector('clients');

  override body(g: Graph): void {
    const [x, labels]: [Handle, Handle] = this.data.nextBatch(g, g.input('start'));
    const [loss] = this.model.train(g, x, labels, { epochs: 1, learningRate: 0.1 });
    g.netOut('loss', this.peers.currentView(g), loss);
    // @ts-expect-error  a port needs a value
    g.output('nothing');
  }

  override bootstrap(g: Graph): void {
    syscalls.appNotify(g, 'ready', this.model.loadParameters(g, g.input('params')));
  }
}

const source = defineComponent({
  typeName: 'Numbers', role: 'DataSource',
  nextBatch: () => [tensor([1, 2], [1, 2]), tensor([0])],
});
// @ts-expect-error  there is no such role
defineComponent({ typeName: 'Odd', role: 'Cook', cook: () => undefined });

const artifact: Uint8Array = await new Compiler({ routing: 'stable' })
  .bind('model', 'Model', 'OnnxModel').bind('data', 'DataSource', 'Numbers').target('@self', 'Trainer').compile(new Round());
const same: Uint8Array = await compile(defineModule('Echo', (g) => g.output('y', g.input('x'))), { bindings: {} });
// @ts-expect-error  a binding needs a role
await compile(new Round(), { bindings: { model: { type: 'OnnxModel' } } });

const node: Node = await install({
  artifact, targets: ['Trainer'], peerId: PeerId.fromU64(1), components: [source], config: { model: denseNetwork([2, 2]) },
  nodeConfig: { edge: true, cycleOpBudget: 100, envelopeCaps: { maxTotalBytes: 1000 } },
});
// @ts-expect-error  a limit of that name does not exist
await install({ artifact, targets: [], peerId: PeerId.fromU64(1), nodeConfig: { noSuchLimit: 1 } });

node.runBootstrap([{ target: 'Round__bootstrap', inputs: { params: tensor(new Float32Array(6)) } }]);
const status: 'Idle' | 'Running' | 'WaitingForInput' = node.bootstrapStatus;
const execution: bigint = node.invoke('Trainer', { start: bytes('go') });
node.deliverEvent('Trainer', 'start', Uint8Array.of(1));

/** Every step is told apart by its type. */
function show(step: Step): string {
  switch (step.type) {
    case 'AppEvent': return `${step.topic}: ${step.valueBytes.length}`;
    case 'SendEnvelope': return String(step.peer ?? 'nobody');
    case 'OpFailed': return `${step.kind} ${step.reason}`;
    // @ts-expect-error  there is no such step
    case 'Nonsense': return '';
    default: return step.type;
  }
}

/** What came may be any value; a guard says which. */
function sizeOf(value: Value): number {
  // @ts-expect-error  only tensors have dims
  if (value.dims.length === 0) return 0;
  return value.type === 'CpuTensor' ? value.data.length : 0;
}

const hub = createMemoryHub();
const driver: Driver = drive(node, { transports: [hub.connect(node.peerId)], schedule: 'timer', onStep: (step) => void step.type });
for await (const step of driver) {
  if (step.type === 'Connected') console.log(step.peer.toString());
  else if (step.type === 'InboundRefused') console.log(step.error.code);
  else if (step.type !== 'Disconnected' && step.type !== 'SendFailed') console.log(show(step));
}
const server = await createWebSocketServer({ self: PeerId.fromU64(2) });
const client = createWebSocketTransport({ url: `ws://127.0.0.1:${server.port}/`, self: node.peerId, expect: PeerId.fromU64(2) });
await client.ready;
const names: string[] = await checkTransport(async () => ({ a: server, b: client, aId: node.peerId, bId: PeerId.fromU64(2), join: (self) => hub.connect(self), dispose: () => server.close() }));
// @ts-expect-error  a pair has two sides
checkTransport(() => ({ a: server }), { test: (name: string) => names.push(name) });

const model = await createModel(denseNetwork([2, 2]));
const row: Float32Array = model.forward(new Float32Array(2));
try {
  model.load(row);
} catch (error) {
  if (isBbwError(error, 'E_SHAPE')) console.log(error.details.expected);
  else if (error instanceof BbwError) console.log(error.code);
}
console.log(status, execution, same.length, sizeOf(tensor([1])));

const table: DataSet = await readAll(fromCsv('a,b\n1,yes\n', { columns: { a: { type: 'number' }, b: { type: 'class', classes: ['no', 'yes'] } }, label: 'b' }));
// @ts-expect-error  a class needs its names
fromCsv('', { columns: { b: { type: 'class' } } });
const { train, test } = await split(fromArrays({ inputs: { x: { data: new Float32Array(8), dims: [4, 2] } }, labels: new Int32Array(4) }), { test: 0.25 });
const batch: Batch = await train.read(Uint32Array.of(0));
const trainer = { step: (_inputs: Batch['inputs']) => ({ loss: batch.count }), evaluate: (inputs: Batch['inputs']) => ({ outputs: inputs }) };
let position: Position | undefined;
for await (const progress of fit(trainer, train, { epochs: 2, batchSize: 2, from: position, signal: AbortSignal.timeout(1000) })) position = progress.position;
const { accuracy, confusion } = await evaluate(trainer, createLoader(test, { batchSize: 1 }), { accuracy: createAccuracy(), confusion: createConfusion(2) });
const share: number = accuracy, matrix: number[][] = confusion.matrix;
const learner = trainableModel(await loadRuntime(), denseNetwork([2, 2]), { loss: 'softmax-cross-entropy', optimizer: 'adam', onProgress: ({ meanLoss }) => console.log(meanLoss) });
// @ts-expect-error  there is no such loss
trainableModel(await loadRuntime(), denseNetwork([2, 2]), { loss: 'hope' });
console.log(learner.typeName);
// @ts-expect-error  a picture needs a size
fromImages({ images: [] }, { width: 3 });
console.log(share, matrix, dataSource(table, { isEndless: true }).typeName);
