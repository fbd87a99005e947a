// chart: one number per round, drawn as SVG with both axes.

const HEIGHT = 200, LEFT = 44, RIGHT = 12, TOP = 12, BOTTOM = 34;
const POINTS_MAX = 500;

/** @param {string} name @param {Record<string, string | number>} attributes @param {string} [text] */
function element(name, attributes, text) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  if (text !== undefined) node.textContent = text;
  return node;
}

/** The smallest of 1, 2, 5, 10, ... times a power of ten that is not below `value`. @param {number} value */
function niceAbove(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return /** @type {number} */ ([1, 2, 5, 10].find((factor) => factor * power >= value)) * power;
}

/** About five round numbers of rounds between two. @param {number} first @param {number} last */
function roundTicks(first, last) {
  const step = Math.max(1, niceAbove((last - first) / 5 || 1));
  const ticks = [];
  for (let tick = Math.ceil(first / step) * step; tick <= last; tick += step) ticks.push(tick);
  return ticks;
}

/**
 * @param {SVGElement} svg
 * @param {object} options
 * @param {string} options.label  what is drawn, for those who do not see it
 * @param {number} [options.max]  fixed upper end of the scale; else one above the data
 * @param {(value: number) => string} options.format  of the numbers at the axis
 */
export function createChart(svg, { label, max, format }) {
  /** @type {{round: number, value: number}[]} */
  let points = [];

  function draw() {
    const width = Math.max(svg.clientWidth, 200);
    const high = max ?? niceAbove(Math.max(...points.map((p) => p.value), 1e-3));
    const first = points[0]?.round ?? 0, last = points.at(-1)?.round ?? 1;
    const x = (/** @type {number} */ round) => LEFT + (last === first ? 0 : (round - first) / (last - first)) * (width - LEFT - RIGHT);
    const y = (/** @type {number} */ value) => HEIGHT - BOTTOM - (value / high) * (HEIGHT - TOP - BOTTOM);
    svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    const grid = [0, 0.25, 0.5, 0.75, 1].map((part) => part * high).flatMap((value) => [
      element('line', { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      element('text', { x: LEFT - 6, y: y(value) + 4, 'text-anchor': 'end' }, format(value)),
    ]);
    const rounds = roundTicks(first, last).map((round) => element('text', { x: x(round), y: HEIGHT - BOTTOM + 16, 'text-anchor': 'middle' }, String(round)));
    const title = element('text', { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 3, 'text-anchor': 'middle' }, 'round');
    const line = element('polyline', { points: points.map((p) => `${x(p.round).toFixed(1)},${y(p.value).toFixed(1)}`).join(' ') });
    const end = points.at(-1);
    svg.replaceChildren(...grid, ...rounds, title, line, ...(end ? [element('circle', { cx: x(end.round), cy: y(end.value), r: 3.5 })] : []));
    svg.setAttribute('aria-label', end ? `${label}: ${format(end.value)} after round ${end.round}` : `${label}: nothing yet`);
  }
  new ResizeObserver(draw).observe(svg);

  return {
    /** @param {number} round @param {number} value */
    add(round, value) {
      if (!Number.isFinite(value)) return;
      if (points.length > 0 && round < points[points.length - 1].round) points = []; // the server began anew
      points = [...points, { round, value }].slice(-POINTS_MAX);
      draw();
    },
  };
}
