// quality: does the search find a sentence by what it means?
//
// The queries are definitions that nobody has learnt from: each belongs to one of the sentences, an example of the defined word. The word itself is seldom
// part of its definition. Search by equal words (TF-IDF) is what the encoder has to beat.

/** @typedef {{first: number, firstTen: number, reciprocal: number}} Quality  shares of queries whose sentence comes first, among ten; mean of 1 / rank */

/**
 * @param {(query: string) => ArrayLike<number>} scores  of all sentences @param {readonly string[]} queries  query i belongs to sentence i
 * @returns {Quality} of equal scores the own sentence ranks last
 */
export function qualityOf(scores, queries) {
  let first = 0, firstTen = 0, reciprocal = 0;
  queries.forEach((query, own) => {
    const all = scores(query);
    let rank = 1;
    for (let i = 0; i < all.length; i++) if (i !== own && all[i] >= all[own]) rank++;
    if (rank === 1) first++;
    if (rank <= 10) firstTen++;
    reciprocal += 1 / rank;
  });
  return { first: first / queries.length, firstTen: firstTen / queries.length, reciprocal: reciprocal / queries.length };
}

/** Search by equal words, rare ones counting more. @param {{encode: (text: string) => number[]}} tokenizer @param {readonly string[]} sentences */
export function createWordSearch(tokenizer, sentences) {
  const rows = sentences.map((text) => tokenizer.encode(text));
  /** Sentences of each word. @type {Map<number, number>} */
  const counts = new Map();
  for (const row of rows) for (const word of new Set(row)) counts.set(word, (counts.get(word) ?? 0) + 1);
  /** @param {readonly number[]} row */
  function weigh(row) {
    /** @type {Map<number, number>} */
    const weights = new Map();
    for (const word of row) weights.set(word, (weights.get(word) ?? 0) + Math.log(sentences.length / (1 + (counts.get(word) ?? 0))));
    const length = Math.hypot(...weights.values()) || 1;
    for (const [word, weight] of weights) weights.set(word, weight / length);
    return weights;
  }
  const weighed = rows.map(weigh);
  return {
    /** @param {string} text @returns {number[]} */
    scores(text) {
      const query = [...weigh(tokenizer.encode(text))];
      return weighed.map((weights) => query.reduce((sum, [word, weight]) => sum + weight * (weights.get(word) ?? 0), 0));
    },
  };
}
