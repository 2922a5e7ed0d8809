// @ts-check
/** One requestAnimationFrame loop for everything that moves; it rests while nothing does. */

/** @typedef {(now: number) => boolean} Paint returns whether there is more to come */

/** @type {Set<Paint>} */
const moving = new Set();
let request = 0;

const reduced = matchMedia("(prefers-reduced-motion: reduce)");

/** Whether the reader wants stillness. */
export const isStill = () => reduced.matches;

/** Calls `paint` once for each frame until it has nothing more to do. @param {Paint} paint */
export function animate(paint) {
  moving.add(paint);
  request ||= requestAnimationFrame(frame);
}

/** @param {number} now */
function frame(now) {
  request = 0;
  for (const paint of [...moving]) {
    if (!paint(now)) moving.delete(paint);
  }
  if (moving.size) request ||= requestAnimationFrame(frame);
}

/** Slow at both ends. @param {number} x 0…1 */
export const ease = (x) => (x < 0.5 ? 2 * x * x : 1 - (2 - 2 * x) ** 2 / 2);
