// @ts-check
/** Pictures in the making: everything known of each, step by step. Any step can be looked at again at any time. */
import { decode } from "./pictures.js";

/**
 * @typedef {object} Frame
 * @property {number[][]} tokens         code per position, h rows of w
 * @property {number[][]} [entropy]      bits per position
 * @property {number[][]} [probability]  of the drawn code
 * @property {{codes: number[][][], probabilities: number[][][]}} [alternatives]  the likeliest codes per position
 * @property {CanvasImageSource} noisy
 * @property {CanvasImageSource} clean
 *
 * @typedef {Omit<Frame, "noisy" | "clean"> & {noisy: string, clean: string}} Received  previews as data URLs
 */

/** Decodes the previews of a step. @param {Received} received @returns {Promise<Frame>} */
export async function toFrame(received) {
  const [noisy, clean] = await Promise.all([decode(received.noisy), decode(received.clean)]);
  return { ...received, noisy, clean };
}

/** One picture. */
export class Picture {
  /** @param {{label: string, seed: number, first?: number}} about `first`: its first step, later than 1 for variations */
  constructor({ label, seed, first = 1 }) {
    this.label = label;
    this.seed = seed;
    this.first = first;
    /** @type {Frame[]} by step */
    this.frames = [];
    /** The finished picture: a PNG's data URL. */
    this.result = "";
  }

  /** The newest step up to which every step is here; 0 before the first. */
  get reached() {
    let step = this.first - 1;
    while (this.frames[step + 1]) step++;
    return step < this.first ? 0 : step;
  }

  /** Mean entropy over the positions, in bits. @param {number} step */
  meanEntropy(step) {
    const bits = this.frames[step]?.entropy?.flat();
    return bits?.length ? bits.reduce((sum, x) => sum + x, 0) / bits.length : undefined;
  }
}
