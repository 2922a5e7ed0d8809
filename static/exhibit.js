// @ts-check
/** One picture on stage: its token grid, coloured in one of three ways, and its two previews. */
import { changeColor, decorativeNoise, distance, entropyColor } from "./colors.js";
import { model } from "./model.js";
import { PictureCanvas } from "./pictures.js";
import { TokenCanvas } from "./tokens.js";

/**
 * @typedef {import("./run.js").Frame} Frame
 * @typedef {import("./tokens.js").Cell} Cell
 * @typedef {import("./colors.js").Rgb} Rgb
 * @typedef {"code" | "entropy" | "change" | "difference"} Mode
 */

/** @type {Rgb} */
const GREY = [128, 128, 128];

export class Exhibit {
  /** @param {HTMLElement} root @param {(cell: Cell | null, how: {pinned: boolean, byKeyboard: boolean}) => void} onCell */
  constructor(root, onCell) {
    /** @param {string} name @returns {any} */
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.canvas = /** @type {HTMLCanvasElement} */ (part("tokens"));
    this.tokens = new TokenCanvas(this.canvas, model.grid, onCell);
    this.noisy = new PictureCanvas(part("noisy"));
    this.clean = new PictureCanvas(part("clean"));
    this.markers = /** @type {HTMLElement[]} */ ([...root.querySelectorAll(".marker")]);
    this.name = (this.canvas.getAttribute("aria-label") ?? "").split(":")[0];
    /** @type {Mode} */
    this.mode = "code";
    this.numbers = false;
  }

  /** Before the first step: noise, as decoration. @param {number} seed */
  showNoise(seed) {
    const random = decorativeNoise(seed ^ 0x5eed);
    const codes = Array.from({ length: model.grid ** 2 }, () => Math.floor(random() * model.codes));
    this.canvas.dataset.step = "0";
    this.tokens.show(codes.map((code) => model.colors[code] ?? GREY));
    this.noisy.noise(seed, 0.75);
    this.clean.noise(seed, 0.06);
  }

  /** @param {Frame[]} frames by step @param {number} step @param {number} fade milliseconds @param {Frame} [other] the same step of the run beside it */
  show(frames, step, fade, other) {
    const frame = frames[step];
    const against = this.mode === "difference" ? other : frames[step - 1];
    this.canvas.dataset.step = String(step);
    this.tokens.show(this.#colors(frame, against), fade, this.numbers ? this.#texts(frame, against) : []);
    this.noisy.show(frame.noisy, fade);
    this.clean.show(frame.clean, fade);
    this.noisy.canvas.setAttribute("aria-label", `${this.name}: noisy latent at step ${step}, decoded`);
    this.clean.canvas.setAttribute("aria-label", `${this.name}: clean preview at step ${step}`);
  }

  /** @param {Frame} frame @param {Frame | undefined} against @returns {Rgb[]} */
  #colors(frame, against) {
    if (this.mode === "entropy") return (frame.entropy ?? blank()).flat().map((bits) => entropyColor(bits / model.bits));
    if (this.mode !== "code") return distances(frame, against).map(changeColor);
    return frame.tokens.flat().map((code) => model.colors[code] ?? GREY);
  }

  /** @param {Frame} frame @param {Frame | undefined} against */
  #texts(frame, against) {
    if (this.mode === "entropy") return (frame.entropy ?? []).flat().map((bits) => bits.toFixed(1));
    if (this.mode !== "code") return distances(frame, against).map((far) => (far ? far.toFixed(2) : "="));
    return frame.tokens.flat().map(String);
  }

  /** Marks a cell here and its place on the previews. @param {Cell | null} cell @param {boolean} pinned */
  mark(cell, pinned) {
    this.tokens.mark(cell, pinned);
    for (const marker of this.markers) {
      marker.hidden = !cell;
      if (!cell) continue;
      const share = 100 / model.grid;
      marker.style.inlineSize = marker.style.blockSize = `${share}%`;
      marker.style.insetInlineStart = `${cell.column * share}%`;
      marker.style.insetBlockStart = `${cell.row * share}%`;
    }
  }
}

/** How far each code lies from the one in its place in another grid: 0 for the same code, 1 for far away. @param {Frame} frame @param {Frame | undefined} other */
function distances(frame, other) {
  const codes = other?.tokens.flat();
  return frame.tokens.flat().map((code, i) => {
    if (!codes || codes[i] === code) return 0;
    return distance(model.colors[code] ?? GREY, model.colors[codes[i]] ?? GREY);
  });
}

const blank = () => Array.from({ length: model.grid }, () => new Array(model.grid).fill(0));
