// @ts-check
/** What is on show: the token grid, the noisy and the clean picture, the inspected cell. */
import { decorativeNoise, fallbackPalette, noisePicture, parseHex } from "./colors.js";
import { Inspector } from "./inspector.js";
import { TokenCanvas } from "./tokens.js";

/** @typedef {import("./run.js").Frame} Frame */

export class Stage {
  /**
   * @param {HTMLElement} root
   * @param {{grid: number, codes: number, imageSize: number}} shape
   */
  constructor(root, { grid, codes, imageSize }) {
    /** @param {string} selector @returns {any} */
    const find = (selector) => root.querySelector(selector);
    this.grid = grid;
    this.codes = codes;
    this.imageSize = imageSize;
    this.palette = fallbackPalette(codes);
    this.canvas = /** @type {HTMLCanvasElement} */ (find("#tokens"));
    this.noisy = /** @type {HTMLImageElement} */ (find("#noisy"));
    this.clean = /** @type {HTMLImageElement} */ (find("#clean"));
    this.inspector = new Inspector(
      find("#inspector"),
      [.../** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(".view .marker"))],
      grid,
    );
    this.tokens = new TokenCanvas(this.canvas, grid, (cell, byKeyboard) => this.inspector.point(cell, byKeyboard));
    this.noiseSeed = 0;
    /** @type {Frame | undefined} */
    this.frame = undefined;
  }

  /** @param {string[]} colors "#rrggbb" for each code */
  setColors(colors) {
    const parsed = colors.map(parseHex);
    if (parsed.length < this.codes || parsed.includes(null)) return;
    this.palette = /** @type {import("./colors.js").Rgb[]} */ (parsed);
    this.#paint();
  }

  /** Before the first step: noise, as the sampler starts from. @param {number} seed */
  showNoise(seed) {
    this.noiseSeed = seed;
    this.noisy.src = noisePicture(this.imageSize, seed, 0.75);
    this.clean.src = noisePicture(this.imageSize, seed, 0.06);
    this.#put(undefined, 0);
  }

  /** @param {Frame} frame @param {number} step */
  showFrame(frame, step) {
    this.noisy.src = frame.noisy;
    this.clean.src = frame.clean;
    this.noisy.alt = `Noisy latent at step ${step}, decoded`;
    this.clean.alt = `Clean preview at step ${step}`;
    this.#put(frame, step);
  }

  /** @param {Frame | undefined} frame @param {number} step */
  #put(frame, step) {
    this.frame = frame;
    this.canvas.dataset.step = String(step);
    this.inspector.show(frame);
    this.#paint();
  }

  #paint() {
    const { palette, frame, grid } = this;
    const random = decorativeNoise(this.noiseSeed ^ 0x5eed);
    const codes = frame
      ? frame.tokens.flat()
      : Array.from({ length: grid * grid }, () => Math.floor(random() * this.codes));
    this.tokens.show(codes.map((code) => palette[code] ?? [128, 128, 128]));
  }
}
