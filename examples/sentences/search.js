// search: finds the sentences that mean most nearly what a text says.
//
// The encoder (an ONNX file, run by a session) turns texts into vectors of length 1; the cosine of two is their product. All sentences are embedded
// when the search is made. Used by the page, the build and the tests.

/** Sentences that are embedded in one run: short ones are padded to the longest of their batch. */
const BATCH = 256;

/** @typedef {{place: number, score: number}} Hit  `place` of the sentence, `score` from -1 to 1 */

/**
 * @param {import('../../js/session.js').Session} session @param {{encode: (text: string) => number[]}} tokenizer @param {readonly string[]} texts
 * @returns {{width: number, vectors: Float32Array}} a row for each text
 */
export function embed(session, tokenizer, texts) {
  const width = Number(session.outputs[0].dims?.[1]);
  const vectors = new Float32Array(texts.length * width);
  for (let first = 0; first < texts.length; first += BATCH) {
    const rows = texts.slice(first, first + BATCH).map((text) => tokenizer.encode(text));
    const longest = Math.max(1, ...rows.map((row) => row.length));
    const ids = new BigInt64Array(rows.length * longest), mask = new BigInt64Array(rows.length * longest);
    rows.forEach((row, i) => row.forEach((number, j) => {
      ids[i * longest + j] = BigInt(number);
      mask[i * longest + j] = 1n;
    }));
    const dims = [rows.length, longest];
    const { embedding } = session.run({ input_ids: { data: ids, dims }, attention_mask: { data: mask, dims } });
    vectors.set(/** @type {Float32Array} */ (embedding.data), first * width);
  }
  return { width, vectors };
}

/**
 * @param {import('../../js/session.js').Session} session @param {{encode: (text: string) => number[]}} tokenizer @param {readonly string[]} sentences
 */
export function createSearch(session, tokenizer, sentences) {
  const { width, vectors } = embed(session, tokenizer, sentences);
  /** The score of every sentence. @param {string} text @returns {Float32Array} */
  function scores(text) {
    const query = embed(session, tokenizer, [text]).vectors;
    const all = new Float32Array(sentences.length);
    for (let i = 0; i < all.length; i++) {
      let sum = 0;
      for (let j = 0; j < width; j++) sum += query[j] * vectors[i * width + j];
      all[i] = sum;
    }
    return all;
  }
  return {
    scores,
    /** The best first; none when no word of the text is known. @param {string} text @param {number} [count] @returns {Hit[]} */
    find(text, count = 10) {
      if (tokenizer.encode(text).length === 0) return [];
      const all = scores(text);
      return [...all.keys()].sort((a, b) => all[b] - all[a] || a - b).slice(0, count).map((place) => ({ place, score: all[place] }));
    },
  };
}
