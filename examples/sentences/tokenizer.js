// tokenizer: how does a text become numbers of known words?
//
// Words are runs of letters in lower case, without accents and without a trailing 's. A word that the vocabulary lacks is tried again with the
// endings of English inflection taken off ("stories", "stopped", "making"). What is still unknown is left out. Used by the build and by the page.

/** Ending, and what stands in its place. The first that gives a known word wins. */
const ENDINGS = /** @type {const} */ ([
  ['ies', 'y'], ['ves', 'f'], ['es', ''], ['s', ''], ['ied', 'y'], ['ed', ''], ['ed', 'e'], ['ing', ''], ['ing', 'e'], ['er', ''], ['er', 'e'], ['est', ''], ['est', 'e'], ['ly', ''],
]);
const STEM_MIN = 2;

/** @param {string} text @returns {string[]} */
export function wordsOf(text) {
  const plain = /^[\0-\x7f]*$/.test(text) ? text : text.normalize('NFKD').replace(/\p{M}/gu, '');
  return plain.toLowerCase().match(/[a-z]+(?:'[a-z]+)?/g)?.map((word) => word.replace(/'s$/, '')) ?? [];
}

/** The form of a word that is known, or undefined. @param {string} word @param {{has: (word: string) => boolean}} known @returns {string | undefined} */
export function baseOf(word, known) {
  if (known.has(word)) return word;
  for (const [ending, instead] of ENDINGS) {
    if (!word.endsWith(ending) || word.length - ending.length < STEM_MIN) continue;
    const stem = word.slice(0, word.length - ending.length);
    if (known.has(stem + instead)) return stem + instead;
    // "stopped", "running": the last letter was doubled.
    if (instead === '' && /([b-df-hj-np-tv-z])\1$/.test(stem) && known.has(stem.slice(0, -1))) return stem.slice(0, -1);
  }
  return undefined;
}

/**
 * @param {readonly string[]} vocabulary  the word at place i has number i; place 0 is the padding and no word
 */
export function createTokenizer(vocabulary) {
  const numbers = new Map(vocabulary.slice(1).map((word, i) => [word, i + 1]));
  return {
    size: vocabulary.length,
    /** @param {string} text @returns {number[]} numbers of the known words, in the order of the text */
    encode: (text) => wordsOf(text).flatMap((word) => {
      const base = baseOf(word, numbers);
      return base === undefined ? [] : [/** @type {number} */ (numbers.get(base))];
    }),
  };
}
