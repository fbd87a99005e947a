// The parts of the example pages that need no page: what was trained is as good as it says, drawings become what the network knows, search finds by meaning.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { dealDigits, loadDigits } from '../../demo/digits.js';
import { preprocess, SIDE } from '../../examples/digits/preprocess.js';
import { accuracyOf } from '../../examples/digits/train.js';
import { encodeSentenceEncoder } from '../../examples/sentences/encoder.js';
import { createWordSearch, qualityOf } from '../../examples/sentences/quality.js';
import { createSearch, embed } from '../../examples/sentences/search.js';
import { samplesOf, trainTopics, withClasses } from '../../examples/topics/classifier.js';
import { CLASSES, LENGTH, packTexts, unpackTexts } from '../../examples/topics/dataset.js';
import { baseOf, createTokenizer, wordsOf } from '../../examples/sentences/tokenizer.js';
import { pointwiseMutualInformation, reduce } from '../../examples/sentences/vectors.js';
import { serveExamples } from '../../examples/serve.js';
import { createRuntime, createSession, createTrainerIn } from '../../js/index.js';
import { createAccuracy, evaluate } from '../../js/training/index.js';

const read = (name, encoding) => readFileSync(`build/examples/${name}`, encoding);

test('digits: the trained file reads at least 97 % of the held-out digits, and says what it reaches', async () => {
  const { test: held } = dealDigits(loadDigits(), 1);
  const accuracy = await accuracyOf(read('digits/model.onnx'), held);
  const about = JSON.parse(read('digits/about.json', 'utf8'));
  assert.ok(accuracy >= 0.97, `accuracy ${accuracy}`);
  assert.deepEqual([about.accuracy, about.tested, about.trained], [accuracy, 1500, 8500]);
});

test('digits: held-out digits drawn eight times as large and off the middle, through the preprocessing, are still read', async () => {
  const { test: held } = dealDigits(loadDigits(), 1);
  const scale = 8, size = 280, count = 300;
  const pixels = new Uint8Array(count * SIDE * SIDE);
  for (let i = 0; i < count; i++) {
    const ink = new Float32Array(size * size);
    for (let y = 0; y < SIDE * scale; y++) {
      for (let x = 0; x < SIDE * scale; x++) ink[(y + 50) * size + x + 8] = held.pixels[i * SIDE * SIDE + Math.floor(y / scale) * SIDE + Math.floor(x / scale)] / 255;
    }
    preprocess(ink, size).forEach((p, k) => { pixels[i * SIDE * SIDE + k] = Math.round(p * 255); });
  }
  const accuracy = await accuracyOf(read('digits/model.onnx'), { count, pixels, labels: held.labels.subarray(0, count) });
  assert.ok(accuracy >= 0.95, `accuracy ${accuracy}`);
});

test('digits: the ink is scaled to 20 pixels with its proportions and its centre of mass goes to the middle', () => {
  const size = 100, ink = new Float32Array(size * size);
  for (let y = 10; y < 50; y++) for (let x = 70; x < 80; x++) ink[y * size + x] = 1; // 10 wide, 40 high, in a corner
  const image = preprocess(ink, size);
  const rows = new Set(), columns = new Set();
  image.forEach((p, i) => { if (p > 0.5) { rows.add(Math.floor(i / SIDE)); columns.add(i % SIDE); } });
  assert.deepEqual([rows.size, columns.size], [20, 5]);
  assert.deepEqual([Math.min(...rows), Math.max(...rows)], [4, 23]);
  assert.equal(preprocess(new Float32Array(size * size), size), undefined);
  const dot = new Float32Array(size * size);
  dot[0] = 1; // a dot in the corner fills the box, and nothing runs over
  assert.equal(preprocess(dot, size).reduce((a, b) => a + b, 0), 400);
});

test('sentences: words are cut, and known forms found', () => {
  const known = new Set(['story', 'stop', 'make', 'run', 'dog', 'wolf', 'quick']);
  assert.deepEqual(wordsOf("The DOG's café, don't!"), ['the', 'dog', 'cafe', "don't"]);
  const cases = [['stories', 'story'], ['stopped', 'stop'], ['making', 'make'], ['running', 'run'], ['dogs', 'dog'], ['wolves', 'wolf'], ['quickly', 'quick'], ['cat', undefined], ['s', undefined]];
  for (const [word, base] of cases) assert.equal(baseOf(word, known), base, word);
  assert.deepEqual(createTokenizer(['', 'dog', 'run']).encode('Dogs were running'), [1, 2]);
});

test('sentences: the encoder is the masked mean of the words, without the common direction, of length 1', async () => {
  const vectors = Float32Array.of(0, 0, 1.27, 0, 0, 1.27); // exact as int8
  const session = await createSession(encodeSentenceEncoder({ width: 2, vectors, common: Float32Array.of(0, 0) }));
  const ids = BigInt64Array.of(1n, 2n, 1n, 1n, 0n, 0n), mask = BigInt64Array.of(1n, 1n, 1n, 0n, 0n, 0n);
  const run = (s) => [...s.run({ input_ids: { data: ids, dims: [3, 2] }, attention_mask: { data: mask, dims: [3, 2] } }).embedding.data].map((x) => Number(x.toFixed(4)));
  assert.deepEqual(run(session), [0.7071, 0.7071, 1, 0, 0, 0]);
  session.dispose();
  const without = await createSession(encodeSentenceEncoder({ width: 2, vectors, common: Float32Array.of(1, 0) }));
  assert.deepEqual(run(without), [0, 1, 0, 0, 0, 0]);
  without.dispose();
});

test('sentences: words of like company get like vectors', () => {
  // Two topics of four words; each text is three words of one topic.
  const texts = [];
  for (const first of [1, 5]) for (let skip = 0; skip < 4; skip++) texts.push([0, 1, 2, 3].filter((i) => i !== skip).map((i) => first + i));
  const share = Float64Array.from({ length: 9 }, (_, i) => (i === 0 ? 0 : 3 / 8));
  const vectors = reduce(pointwiseMutualInformation(texts, share), 2, { extra: 6 });
  const cosine = (a, b) => {
    const [x, y] = [a, b].map((i) => vectors.subarray(i * 2, i * 2 + 2));
    return (x[0] * y[0] + x[1] * y[1]) / (Math.hypot(...x) * Math.hypot(...y));
  };
  assert.ok(cosine(1, 4) > 0.99 && cosine(5, 8) > 0.99, `within ${cosine(1, 4)} ${cosine(5, 8)}`);
  assert.ok(cosine(1, 5) < 0.1, `across ${cosine(1, 5)}`);
});

test('sentences: definitions that nobody learnt from find their sentence clearly more often than by equal words', async () => {
  const { sentences, definitions } = JSON.parse(read('sentences/sentences.json', 'utf8'));
  const about = JSON.parse(read('sentences/about.json', 'utf8'));
  const tokenizer = createTokenizer(read('sentences/vocabulary.txt', 'utf8').split('\n'));
  const session = await createSession(read('sentences/model.onnx'));
  const search = createSearch(session, tokenizer, sentences), words = createWordSearch(tokenizer, sentences);
  const queries = definitions.slice(0, about.queries);
  const quality = qualityOf(search.scores, queries), baseline = qualityOf(words.scores, queries);
  assert.deepEqual([quality, baseline], [about.quality, about.baseline]);
  assert.ok(quality.firstTen > 1.3 * baseline.firstTen && quality.reciprocal > 1.2 * baseline.reciprocal, JSON.stringify({ quality, baseline }));

  // Where query and sentence share no known word, equal words are no better than chance: 10 of 3,000.
  const apart = queries.map((query, i) => [query, i]).filter(([query, i]) => !tokenizer.encode(query).some((word) => tokenizer.encode(sentences[i]).includes(word)));
  const found = apart.filter(([query, i]) => search.find(query, 10).some(({ place }) => place === i)).length;
  assert.ok(apart.length > 100 && found / apart.length > 10 * (10 / 3000), `${found} of ${apart.length}`);

  // One text gives one vector, alone or in a batch.
  const alone = embed(session, tokenizer, [sentences[7]]).vectors, together = embed(session, tokenizer, sentences.slice(0, 20)).vectors.subarray(7 * about.width, 8 * about.width);
  alone.forEach((x, i) => assert.ok(Math.abs(x - together[i]) < 1e-6));
  assert.deepEqual(search.find('xqzv'), []);
  session.dispose();
});

test('topics: the trained file sorts the held-out definitions as well as it says, far better than by chance', async () => {
  const train = unpackTexts(new Uint8Array(read('topics/train.bin'))), held = unpackTexts(new Uint8Array(read('topics/test.bin'))), about = JSON.parse(read('topics/about.json', 'utf8'));
  assert.deepEqual([train.count, held.count, train.words.length, about.trained, about.tested], [3000, 600, 3000 * LENGTH, 3000, 600]);
  assert.deepEqual(unpackTexts(packTexts(held)), held);
  const rows = new Set(Array.from({ length: train.count }, (_, i) => train.words.subarray(i * LENGTH, (i + 1) * LENGTH).join()));
  const shared = Array.from({ length: held.count }, (_, i) => rows.has(held.words.subarray(i * LENGTH, (i + 1) * LENGTH).join())).filter(Boolean).length;
  assert.ok(shared < 12, `${shared} held-out definitions have the known words of a trained one`);
  const session = await createSession(read('topics/model.onnx'));
  const { accuracy } = await evaluate(session, samplesOf(held), { accuracy: createAccuracy() });
  session.dispose();
  assert.equal(accuracy, about.accuracy);
  assert.ok(accuracy > 0.78, `accuracy ${accuracy}`); // by chance 10 %
  assert.deepEqual(about.classes.map(({ name, support }) => [name, support]), CLASSES.map((name) => [name, 60]));
});

test('topics: what is frozen stays, the last layer and the new one learn, and the same seed gives the same file', async () => {
  const runtime = createRuntime(new WebAssembly.Module(readFileSync('build/wasm/bb.wasm'))), encoder = new Uint8Array(read('sentences/model.onnx'));
  const train = unpackTexts(new Uint8Array(read('topics/train.bin'))), held = unpackTexts(new Uint8Array(read('topics/test.bin')));
  const weights = (onnx, options) => { const trainer = createTrainerIn(runtime, onnx, { loss: 'softmax-cross-entropy', ...options }); try { return [trainer.layout.map(({ name }) => name), trainer.parameters()]; } finally { trainer.free(); } };
  const run = (options) => trainTopics({ runtime, encoder, train, test: held, epochs: 1, ...options });
  const [names, before] = weights(withClasses(encoder), { freeze: ['words.*', 'one', 'tiny'] });
  assert.deepEqual(names, ['projection', 'classes.weight', 'classes.bias']);
  const first = await run(), after = weights(first.model, { freeze: ['words.*', 'one', 'tiny'] })[1];
  assert.ok(before.slice(0, 64 * 64).some((w, i) => w !== after[i]), 'the projection has learnt');
  assert.deepEqual(weights(first.model, { freeze: ['projection', 'classes.*'] }), weights(withClasses(encoder), { freeze: ['projection', 'classes.*'] }));
  assert.deepEqual((await run()).model, first.model);
  const frozen = weights((await run({ onlyClasses: true })).model, { freeze: ['words.*', 'one', 'tiny'] })[1];
  assert.deepEqual(frozen.slice(0, 64 * 64), before.slice(0, 64 * 64));
  await assert.rejects(run({ signal: AbortSignal.abort(new Error('enough')) }), /enough/);
});

test('the server gives the pages and nothing else', async () => {
  const site = await serveExamples();
  try {
    const status = async (path, options) => (await fetch(site.url + path, options)).status;
    for (const path of ['', 'digits/', 'sentences/', 'topics/', 'js/index.js', 'build/wasm/bb.wasm', 'build/examples/sentences/LICENSE.txt']) assert.equal(await status(path), 200, path);
    for (const path of ['package.json', 'src/', 'examples/serve.js', 'js/%2e%2e/package.json', 'build/', 'digits']) assert.equal(await status(path), 404, path);
    assert.equal(await status('digits/', { method: 'POST' }), 405);
  } finally {
    await site.close();
  }
});
