// @ts-check
/** A picture that is being drawn, with the data of every step received so far. */
import { decodePng } from "./images.js";

/**
 * @typedef {object} Step
 * @property {number[][]} tokens         code per position, h rows of w
 * @property {number[][]} [entropy]      bits per position
 * @property {number[][]} [probability]  of the drawn code
 * @property {{codes: number[][][], probabilities: number[][][], ranks: number[][]}} [alternatives]  the most likely codes per position; the rank of the drawn code
 * @property {CanvasImageSource} noisy
 * @property {CanvasImageSource} clean
 * @property {{noisy: string, clean: string}} [sources]  the previews as data URLs
 *
 * @typedef {Omit<Step, "noisy" | "clean" | "sources"> & {noisy: string, clean: string}} StepMessage  as the server sends it: previews are data URLs
 */

/** Decodes the previews of a step. @param {StepMessage} message @returns {Promise<Step>} */
export async function decodeStep(message) {
  const [noisy, clean] = await Promise.all([decodePng(message.noisy), decodePng(message.clean)]);
  return { ...message, noisy, clean, sources: { noisy: message.noisy, clean: message.clean } };
}

export class Picture {
  /** @param {{label: string, subject?: string, style?: string, seed: number, firstStep?: number}} options `firstStep`: later than 1 for variations */
  constructor({ label, subject = label, style = "", seed, firstStep = 1 }) {
    /** What was asked for: the prompt, or the class. */
    this.label = label;
    /** What it shows: the subject that was drawn of the class, or the label. */
    this.subject = subject;
    /** Its drawing style; "" if the model has none. */
    this.style = style;
    this.seed = seed;
    this.firstStep = firstStep;
    /** @type {Step[]} by step number */
    this.steps = [];
    /** The finished picture: a PNG's data URL. */
    this.png = "";
  }

  /** Names what it shows. */
  get description() {
    return this.style ? `${this.subject}, ${this.style} style` : this.subject;
  }

  /** The last step up to which none is missing; 0 before the first. */
  get lastStep() {
    let step = this.firstStep - 1;
    while (this.steps[step + 1]) step++;
    return step < this.firstStep ? 0 : step;
  }

  /** Mean entropy over the positions, in bits. @param {number} step */
  meanEntropy(step) {
    const bits = this.steps[step]?.entropy?.flat();
    return bits?.length ? bits.reduce((sum, x) => sum + x, 0) / bits.length : undefined;
  }
}
