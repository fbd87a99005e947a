// Training inside workerd: the sentence encoder's last layer on definitions, and LeNet-5 on digits. The clock stands still here while code runs.
import wasm from 'bb.wasm';
import encoder from 'encoder.onnx';
import lenet from 'lenet.onnx';
import trainTexts from 'train.bin';
import testTexts from 'test.bin';
import digits from 'digits.bin';
import { createRuntime, createTrainerIn } from './js/index.js';
import { fromArrays, normalize, split } from './js/data/index.js';
import { createAccuracy, evaluate } from './js/training/index.js';
import { trainTopics } from './examples/topics/classifier.js';
import { unpackTexts } from './examples/topics/dataset.js';

const runtime = createRuntime(wasm);

async function topics(epochs) {
  let steps = 0, hasSpeed = false;
  const { before, accuracy } = await trainTopics({
    runtime, encoder: new Uint8Array(encoder), train: unpackTexts(new Uint8Array(trainTexts)), test: unpackTexts(new Uint8Array(testTexts)), epochs,
    onProgress: ({ samplesPerSecond }) => { steps++; hasSpeed ||= samplesPerSecond !== undefined; },
  });
  return { before, accuracy, steps, hasSpeed };
}

async function cnn(epochs) {
  const bytes = new Uint8Array(digits), count = new DataView(digits).getUint32(0, true);
  const set = fromArrays({ inputs: { image: { data: bytes.subarray(4 + count), dims: [count, 1, 28, 28] } }, labels: Int32Array.from(bytes.subarray(4, 4 + count)) });
  const { train, test } = await split(set, { test: 0.2, seed: 1 });
  const transform = normalize({ scale: 1 / 255 });
  const trainer = createTrainerIn(runtime, new Uint8Array(lenet), { loss: 'softmax-cross-entropy', optimizer: { type: 'momentum', lr: 0.02 } });
  const losses = [];
  for await (const { isEpochEnd, meanLoss } of trainer.fit(train, { epochs, seed: 1, transform })) if (isEpochEnd) losses.push(meanLoss);
  const floats = { length: test.length, read: async (places) => transform(await test.read(places)) };
  const { accuracy } = await evaluate(trainer, floats, { accuracy: createAccuracy() });
  trainer.free();
  return { losses, accuracy };
}

export default {
  /** @param {Request} request */
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url), epochs = Number(searchParams.get('epochs') ?? 1);
    try {
      if (pathname === '/topics') return Response.json(await topics(epochs));
      if (pathname === '/cnn') return Response.json(await cnn(epochs));
      return Response.json({ ready: true });
    } catch (error) {
      return Response.json({ error: `${error.code}: ${error.stack}` });
    }
  },
};
