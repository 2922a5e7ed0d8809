// @ts-check
/** Everything received of one run, by picture and step. The images of a run may be at different steps. */

/**
 * @typedef {object} Frame
 * @property {number[][]} tokens       code per position, h rows of w
 * @property {number[][]} [entropy]    bits per position
 * @property {number[][]} [probability] of the drawn code
 * @property {string} noisy            data URL
 * @property {string} clean            data URL
 */

export class Run {
  /** @param {{count: number, steps: number}} shape */
  constructor({ count, steps }) {
    this.count = count;
    this.steps = steps;
    /** @type {Map<number, Frame>[]} step → frame, for each picture */
    this.frames = Array.from({ length: count }, () => new Map());
  }

  /** @param {{step: number, images: ({index: number} & Frame)[]}} event */
  add({ step, images }) {
    for (const image of images ?? []) this.frames[image.index]?.set(step, image);
  }

  /** @param {number} index @param {number} step @returns {Frame | undefined} */
  frame(index, step) {
    return this.frames[index]?.get(step);
  }

  /** The newest frame at or before `step`. @param {number} index @param {number} step */
  latest(index, step) {
    for (let t = step; t > 0; t--) {
      const frame = this.frame(index, t);
      if (frame) return frame;
    }
    return undefined;
  }

  /** The last step up to which every step of a picture is here. @param {number} index */
  reached(index) {
    let step = 0;
    while (this.frame(index, step + 1)) step++;
    return step;
  }

  /** How many pictures have all their steps. */
  finished() {
    return this.frames.filter((frames) => frames.size >= this.steps).length;
  }

  /** Mean entropy over the positions, in bits. @param {number} index @param {number} step */
  meanEntropy(index, step) {
    const bits = this.frame(index, step)?.entropy?.flat();
    return bits?.length ? bits.reduce((sum, x) => sum + x, 0) / bits.length : undefined;
  }
}
