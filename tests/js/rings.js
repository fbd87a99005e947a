// Two rings of 100 points each, one around the other, in turn: what a network without a hidden layer cannot tell apart.
import { createRandom } from '../../js/data/index.js';

const POINTS = 200;
const random = createRandom(1);
/** [200, 2] */
export const x = new Float32Array(2 * POINTS);
/** The inner ring is 0, the outer 1. */
export const labels = Float32Array.from({ length: POINTS }, (_, i) => i % 2);
labels.forEach((label, i) => {
  const turn = random.next() * 2 * Math.PI, radius = 1 + label;
  x.set([radius * Math.cos(turn), radius * Math.sin(turn)], 2 * i);
});
