// page: a search box over sentences that are embedded when the page opens.

import { createSession } from '/js/session.js';
import { amount, duration, fetchBytes, fetchText, get, say, sayError } from '/examples/common.js';
import { createSearch } from './search.js';
import { createTokenizer } from './tokenizer.js';

const BUILT = '/build/examples/sentences';
const SHOWN = 10;
/** To begin with. */
const TRIES = ['rain and snow', 'cooking dinner', 'money and debt', 'soldiers in battle', 'a journey by train'];

const query = /** @type {HTMLInputElement} */ (get('query'));

async function start() {
  const [onnx, vocabulary, { sentences }, about] = await Promise.all([
    fetchBytes(`${BUILT}/model.onnx`), fetchText(`${BUILT}/vocabulary.txt`), fetchText(`${BUILT}/sentences.json`).then(JSON.parse), fetchText(`${BUILT}/about.json`).then(JSON.parse),
  ]);
  const session = await createSession(onnx);
  const begin = performance.now();
  const search = createSearch(session, createTokenizer(vocabulary.split('\n')), sentences);
  get('embedded').textContent = duration(performance.now() - begin);
  get('count').textContent = String(sentences.length);
  get('size').textContent = `${amount(about.bytes)}, ${about.words} words`;
  get('quality').textContent = `${(about.quality.firstTen * 100).toFixed(0)} % (by equal words: ${(about.baseline.firstTen * 100).toFixed(0)} %)`;

  function run() {
    try {
      const text = query.value.trim();
      if (text === '') {
        get('results').replaceChildren();
        return say('Type some words.');
      }
      const at = performance.now();
      const hits = search.find(text, SHOWN);
      const ms = performance.now() - at;
      get('time').textContent = `${ms.toFixed(1)} ms`;
      get('results').replaceChildren(...hits.map(({ place, score }) => {
        const item = document.createElement('li'), sentence = document.createElement('span'), value = document.createElement('span');
        sentence.className = 'text';
        sentence.textContent = sentences[place];
        value.className = 'score';
        value.textContent = score.toFixed(3);
        value.setAttribute('aria-label', `score ${score.toFixed(2)}`);
        item.append(sentence, value);
        return item;
      }));
      say(hits.length === 0 ? 'None of these words is in the vocabulary. Try others.' : `${hits.length} sentences nearest to “${text}”.`);
    } catch (error) {
      sayError(error);
    }
  }
  get('form').addEventListener('submit', (event) => {
    event.preventDefault();
    run();
  });
  let timer = 0;
  query.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(run, 150); // a short rest, so that a screen reader is not told of every letter
  });
  get('tries').append(...TRIES.map((text) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = text;
    button.addEventListener('click', () => {
      query.value = text;
      run();
    });
    return button;
  }));
  query.disabled = /** @type {HTMLButtonElement} */ (get('go')).disabled = false;
  query.value = TRIES[0];
  run();
}

try {
  await start();
} catch (error) {
  sayError(error);
}
