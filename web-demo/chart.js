// chart: one line of numbers per round, drawn as SVG.

const WIDTH = 400, HEIGHT = 160, MARGIN = 6;
const POINTS_MAX = 500;

/** @param {string} name @param {Record<string, string | number>} attributes */
function element(name, attributes) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}

/**
 * @param {SVGElement} svg
 * @param {{min?: number, max?: number}} [range]  fixed ends of the scale; else those of the data
 */
export function createChart(svg, { min, max } = {}) {
  /** @type {number[]} */
  let points = [];
  return {
    /** @param {number} value */
    add(value) {
      if (!Number.isFinite(value)) return;
      points = [...points, value].slice(-POINTS_MAX);
      const low = min ?? 0, high = max ?? Math.max(...points, 1e-9);
      const x = (/** @type {number} */ i) => MARGIN + (points.length === 1 ? 0 : (i / (points.length - 1)) * (WIDTH - 2 * MARGIN));
      const y = (/** @type {number} */ v) => HEIGHT - MARGIN - ((v - low) / (high - low)) * (HEIGHT - 2 * MARGIN);
      const grid = [0.25, 0.5, 0.75].map((part) => element('line', { x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part }));
      const line = element('polyline', { points: points.map((v, i) => `${x(i).toFixed(1)},${y(v).toFixed(1)}`).join(' ') });
      svg.replaceChildren(...grid, line, element('circle', { cx: x(points.length - 1), cy: y(value), r: 3 }));
    },
  };
}
