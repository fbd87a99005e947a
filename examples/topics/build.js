// build: teaches the sentence encoder to say what a definition is about.
// usage: node examples/topics/build.js FOLDER ENCODER_FOLDER      writes model.onnx, train.bin, test.bin, about.json and LICENSE.txt
//
// The second folder is that of examples/sentences. The encoder has seen words of the dictionary together, but no class.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadRuntime } from '../../js/runtime.js';
import { createTokenizer } from '../sentences/tokenizer.js';
import { licenceOf, readWordNet } from '../sentences/wordnet.js';
import { trainTopics } from './classifier.js';
import { chooseTexts, CLASSES, packTexts } from './dataset.js';

const [, , folder, from] = process.argv;
if (folder === undefined || from === undefined) {
  console.error('usage: node examples/topics/build.js FOLDER ENCODER_FOLDER');
  process.exit(2);
}
const begin = performance.now();
const log = (/** @type {string} */ text) => console.log(`${((performance.now() - begin) / 1000).toFixed(1).padStart(5)} s  ${text}`);
const tokenizer = createTokenizer(readFileSync(join(from, 'vocabulary.txt'), 'utf8').split('\n')), encoder = new Uint8Array(readFileSync(join(from, 'model.onnx')));
const { train, test } = chooseTexts(readWordNet(), tokenizer);
log(`${train.count} definitions to learn from, ${test.count} held out, ${CLASSES.length} classes`);
const runtime = await loadRuntime(readFileSync(new URL('../../build/wasm/bb.wasm', import.meta.url)));
const frozen = await trainTopics({ runtime, encoder, train, test, onlyClasses: true });
log(`only the new layer learns: ${(frozen.accuracy * 100).toFixed(1)} % of the held-out definitions`);
const { model, accuracy, confusion, steps } = await trainTopics({
  runtime, encoder, train, test, onProgress: ({ epoch, isEpochEnd, meanLoss, samplesPerSecond }) => { if (isEpochEnd) log(`epoch ${epoch + 1}  loss ${meanLoss.toFixed(4)}  ${samplesPerSecond?.toFixed(0)} definitions/s`); },
});
log(`the encoder's last layer too:  ${(accuracy * 100).toFixed(1)} % in ${steps} steps`);
mkdirSync(folder, { recursive: true });
const write = (/** @type {string} */ name, /** @type {string | Uint8Array} */ data) => writeFileSync(join(folder, name), data);
write('LICENSE.txt', licenceOf());
write('train.bin', packTexts(train));
write('test.bin', packTexts(test));
write('about.json', `${JSON.stringify({ accuracy, onlyClasses: frozen.accuracy, trained: train.count, tested: test.count, steps, classes: CLASSES.map((name, i) => ({ name, ...confusion.classes[i] })) })}\n`);
write('model.onnx', model);
log(`${folder}/model.onnx: ${model.length} bytes`);
