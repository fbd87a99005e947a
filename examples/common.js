// common: what the example pages do around the engine.

import { isBbwError } from '/js/errors.js';

/** @param {string} id */
export const get = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {string} text @param {'ok' | 'busy' | 'error'} [state] */
export function say(text, state = 'ok') {
  get('status').textContent = text;
  get('status').dataset.state = state;
}

/** Shows an error with its code, so that it can be looked up. @param {unknown} error */
export function sayError(error) {
  const message = error instanceof Error ? error.message : String(error);
  say(isBbwError(error) ? `${error.code}: ${message}` : message, 'error');
}

/** @param {string} path */
export async function fetchBytes(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} could not be fetched: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** @param {string} path */
export const fetchText = async (path) => new TextDecoder().decode(await fetchBytes(path));

/** @param {number} n */
export const amount = (n) => (n < 1e6 ? `${(n / 1e3).toFixed(0)} kB` : `${(n / 1e6).toFixed(1)} MB`);
/** @param {number} ms */
export const duration = (ms) => (ms < 10 ? `${ms.toFixed(1)} ms` : `${ms.toFixed(0)} ms`);

/**
 * A bar for each class in the table `bars`.
 * @param {string[]} names
 * @returns {{ show(probabilities: ArrayLike<number>): number, clear(): void }}  `show` gives the place of the best
 */
export function createBars(names) {
  const table = get('bars');
  const rows = names.map((name) => {
    const row = document.createElement('tr'), head = document.createElement('th'), cell = document.createElement('td'), value = document.createElement('td'), bar = document.createElement('progress');
    head.scope = 'row';
    head.textContent = name;
    cell.className = 'bar';
    bar.max = 1;
    bar.setAttribute('aria-label', `Probability of ${name}`);
    cell.append(bar);
    row.append(head, cell, value);
    table.append(row);
    return { row, bar, value };
  });
  const bars = {
    show(/** @type {ArrayLike<number>} */ probabilities) {
      const best = Array.from(probabilities).indexOf(Math.max(...Array.from(probabilities)));
      rows.forEach(({ row, bar, value }, i) => {
        bar.value = probabilities[i];
        value.textContent = `${(probabilities[i] * 100).toFixed(1)} %`;
        row.className = i === best ? 'best' : '';
      });
      table.dataset.best = names[best];
      return best;
    },
    clear() {
      for (const { row, bar, value } of rows) {
        bar.value = 0;
        value.textContent = '–';
        row.className = '';
      }
      delete table.dataset.best;
    },
  };
  bars.clear();
  return bars;
}
