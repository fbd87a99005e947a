// turns: gives other tasks of the host their turn while something runs for long.
//
// A turn ends after a time, or after a number of pieces of work: the second is all that works where the clock stands still while code runs (edge workers).

/**
 * A task of the host from now: timers and messages that are due run before it. Timers of browsers wait 4 ms, messages do not.
 * @returns {{wait: () => Promise<void>, close: () => void}}
 */
function createPause() {
  const { setImmediate: immediate } = /** @type {{setImmediate?: (call: () => void) => unknown}} */ (globalThis);
  if (typeof immediate === 'function') return { wait: () => new Promise((resolve) => immediate(() => resolve())), close: () => {} };
  if (typeof MessageChannel !== 'function') return { wait: () => new Promise((resolve) => setTimeout(resolve, 0)), close: () => {} };
  const { port1, port2 } = new MessageChannel();
  /** @type {(() => void) | undefined} */
  let wake;
  port1.onmessage = () => wake?.();
  return {
    wait: () => new Promise((resolve) => {
      wake = resolve;
      port2.postMessage(0);
    }),
    close: () => port1.close(),
  };
}

/**
 * @param {{budgetMs: number, budgetCount: number, now: () => number}} options
 */
export function createTurns({ budgetMs, budgetCount, now }) {
  const pause = createPause();
  let begin = now(), count = 0;
  return {
    /** After each piece of work: waits when the turn is over. @returns {Promise<void> | undefined} */
    next() {
      if (++count < budgetCount && now() - begin < budgetMs) return undefined;
      return pause.wait().then(() => {
        begin = now();
        count = 0;
      });
    },
    close: pause.close,
  };
}
