// @ts-check
/** The panels of one picture: its clean or noisy preview, and its token grid, coloured in one of several ways. */
import { colorDistance, decorativeRandom, distanceColor, entropyColor } from "../lib/colors.js";
import { part } from "../lib/dom.js";
import { codeColor, model, tokensPerStep } from "../lib/model.js";
import { NOISE_CONTRAST, PictureCanvas } from "./picture-canvas.js";
import { TokenGrid } from "./token-grid.js";

/**
 * @typedef {import("../lib/picture.js").Step} Step
 * @typedef {import("../lib/colors.js").Rgb} Rgb
 * @typedef {import("./token-grid.js").Cell} Cell
 * @typedef {"code" | "entropy" | "change" | "difference"} ColorMode  `change`: from the step before; `difference`: from the picture beside it
 */

export class PicturePanels {
  /** @param {HTMLElement} root @param {(cell: Cell | null, how: {pinned: boolean, byKeyboard: boolean}) => void} onCell */
  constructor(root, onCell) {
    this.root = root;
    this.canvas = /** @type {HTMLCanvasElement} */ (part(root, "tokens"));
    this.tokens = new TokenGrid(this.canvas, model.gridSize, onCell);
    this.noisy = new PictureCanvas(part(root, "noisy"));
    this.clean = new PictureCanvas(part(root, "clean"));
    this.cellMarkers = /** @type {HTMLElement[]} */ ([...root.querySelectorAll(".cell-marker")]);
    this.name = (this.canvas.getAttribute("aria-label") ?? "").split(":")[0];
    /** @type {ColorMode} */
    this.colorMode = "code";
    this.showNumbers = false;
  }

  /** Shows noise before the first step. @param {number} seed */
  showNoise(seed) {
    const random = decorativeRandom(seed ^ 0x5eed);
    const codes = Array.from({ length: tokensPerStep }, () => Math.floor(random() * model.codeCount));
    this.canvas.dataset.step = "0";
    this.tokens.show(codes.map(codeColor));
    this.noisy.showNoise(seed, NOISE_CONTRAST.noisy);
    this.clean.showNoise(seed, NOISE_CONTRAST.clean);
  }

  /** @param {Step[]} steps by number @param {number} step @param {number} fadeMs @param {Step} [other] the same step of the picture beside it */
  show(steps, step, fadeMs, other) {
    const data = steps[step];
    const reference = this.colorMode === "difference" ? other : steps[step - 1];
    this.canvas.dataset.step = String(step);
    this.tokens.show(this.#colors(data, reference), fadeMs, this.showNumbers ? this.#texts(data, reference) : []);
    this.noisy.show(data.noisy, fadeMs);
    this.clean.show(data.clean, fadeMs);
    this.noisy.canvas.setAttribute("aria-label", `${this.name}: noisy latent at step ${step}, decoded`);
    this.clean.canvas.setAttribute("aria-label", `${this.name}: clean preview at step ${step}`);
  }

  /** @param {Step} step @param {Step | undefined} reference @returns {Rgb[]} */
  #colors(step, reference) {
    if (this.colorMode === "code") return step.tokens.flat().map(codeColor);
    if (this.colorMode === "entropy") return (step.entropy ?? zeroGrid()).flat().map((bits) => entropyColor(bits / model.codeBits));
    // Before the first step there is nothing to compare with.
    if (!reference) return step.tokens.flat().map(() => NO_REFERENCE);
    return codeDistances(step, reference).map(distanceColor);
  }

  /** @param {Step} step @param {Step | undefined} reference */
  #texts(step, reference) {
    if (this.colorMode === "code") return step.tokens.flat().map(String);
    if (this.colorMode === "entropy") return (step.entropy ?? []).flat().map((bits) => bits.toFixed(1));
    if (!reference) return [];
    return codeDistances(step, reference).map((distance) => (distance ? distance.toFixed(2) : "="));
  }

  /** @param {string} preview "clean" or "noisy" */
  setPreview(preview) {
    this.root.dataset.preview = preview;
    for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (this.root.querySelectorAll("[data-part=preview] input"))) {
      input.checked = input.value === preview;
    }
  }

  /** Marks a cell in the grid and on the previews. @param {Cell | null} cell @param {boolean} pinned */
  mark(cell, pinned) {
    this.tokens.mark(cell, pinned);
    for (const marker of this.cellMarkers) {
      marker.hidden = !cell;
      if (!cell) continue;
      const share = 100 / model.gridSize;
      marker.style.inlineSize = marker.style.blockSize = `${share}%`;
      marker.style.insetInlineStart = `${cell.column * share}%`;
      marker.style.insetBlockStart = `${cell.row * share}%`;
    }
  }
}

/** The distance of each code from the one at the same position of another step; 0 for the same code. @param {Step} step @param {Step | undefined} other */
function codeDistances(step, other) {
  const codes = other?.tokens.flat();
  return step.tokens.flat().map((code, i) => {
    if (!codes || codes[i] === code) return 0;
    return colorDistance(codeColor(code), codeColor(codes[i]));
  });
}

/** @type {Rgb} */
const NO_REFERENCE = [128, 128, 128];

const zeroGrid = () => Array.from({ length: model.gridSize }, () => new Array(model.gridSize).fill(0));
