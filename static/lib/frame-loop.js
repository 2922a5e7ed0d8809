// @ts-check
/** One requestAnimationFrame loop for all canvases that move; it stops while none does. */

/** @typedef {(now: number) => boolean} Paint returns whether it must be called for the next frame, too */

/** @type {Set<Paint>} */
const active = new Set();
let request = 0;

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

export const prefersReducedMotion = () => reducedMotion.matches;

/** Calls `paint` once for each frame until it returns false. @param {Paint} paint */
export function animate(paint) {
  active.add(paint);
  request ||= requestAnimationFrame(paintAll);
}

/** @param {number} now */
function paintAll(now) {
  request = 0;
  for (const paint of [...active]) {
    if (!paint(now)) active.delete(paint);
  }
  if (active.size) request ||= requestAnimationFrame(paintAll);
}

/** Quadratic ease-in and ease-out. @param {number} x 0…1 */
export const ease = (x) => (x < 0.5 ? 2 * x * x : 1 - (2 - 2 * x) ** 2 / 2);
