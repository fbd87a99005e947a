// The two examples of training inside the real workerd, shorter: the encoder's last layer on definitions, LeNet-5 on digits.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { dealDigits, loadDigits, packSamples } from '../../demo/digits.js';
import { leNet5 } from '../../demo/models.js';
import { startWorkerd } from './workerd.js';

test('workerd trains: definitions are sorted, digits are read', { timeout: 110_000 }, async (t) => {
  const read = (name) => readFileSync(`build/examples/${name}`), some = dealDigits(loadDigits(), 8).test;
  const { url, close } = await startWorkerd({
    name: 'training', worker: 'tests/edge/training-worker.js', files: ['demo/random.js', 'examples/topics/classifier.js', 'examples/topics/dataset.js'],
    data: { 'encoder.onnx': read('sentences/model.onnx'), 'train.bin': read('topics/train.bin'), 'test.bin': read('topics/test.bin'), 'lenet.onnx': leNet5(), 'digits.bin': packSamples(some) },
  });
  try {
    const ask = async (path) => {
      const answer = await (await fetch(url + path)).json();
      assert.equal(answer.error, undefined);
      return answer;
    };
    await t.test('the encoder', async () => {
      const { before, accuracy, steps, hasSpeed } = await ask('/topics?epochs=3');
      assert.equal(steps, 3 * Math.ceil(3000 / 32));
      assert.ok(before < 0.25 && accuracy > 0.6, JSON.stringify({ before, accuracy }));
      t.diagnostic(`definitions: ${(accuracy * 100).toFixed(1)} % after 3 epochs; the clock ${hasSpeed ? 'moves' : 'stands still'}`);
    });
    await t.test('LeNet-5', async () => {
      const { losses, accuracy } = await ask('/cnn?epochs=4');
      assert.ok(losses[3] < losses[0] / 2 && accuracy > 0.85, JSON.stringify({ losses, accuracy }));
      t.diagnostic(`digits: ${(accuracy * 100).toFixed(1)} % after 4 epochs of 1,200`);
    });
  } finally {
    await close();
  }
});
