// @ts-check
/** The contact sheet: all pictures of a run, denoising together; choosing one puts it on stage. */
import { model } from "./model.js";
import { gridPicture, PictureCanvas } from "./pictures.js";

/** @typedef {"clean" | "noisy" | "tokens"} Mode */

export class Sheet {
  /** @param {HTMLElement} block @param {(index: number) => void} onChoose */
  constructor(block, onChoose) {
    this.block = block;
    this.root = /** @type {HTMLElement} */ (block.querySelector('[data-part="sheet"]'));
    /** @type {PictureCanvas[]} */
    this.canvases = [];
    /** @type {import("./run.js").Picture[]} */
    this.pictures = [];
    /** @type {Mode} */
    this.mode = "clean";
    this.step = 0;
    this.root.addEventListener("change", (event) => onChoose(Number(/** @type {HTMLInputElement} */ (event.target).value)));
    block.querySelector(".segments")?.addEventListener("change", (event) => {
      this.mode = /** @type {Mode} */ (/** @type {HTMLInputElement} */ (event.target).value);
      this.show(this.step, 0);
    });
  }

  /** @param {import("./run.js").Picture[]} pictures @param {string[]} labels */
  reset(pictures, labels) {
    this.pictures = pictures;
    this.canvases = [];
    this.block.hidden = pictures.length < 2;
    this.root.replaceChildren();
    if (this.block.hidden) return;
    pictures.forEach(({ seed }, index) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: `on-${this.root.closest("section")?.id}`, value: String(index), checked: index === 0 });
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = model.imageSize;
      const text = document.createElement("span");
      text.textContent = labels[index];
      label.append(input, canvas, text);
      this.root.append(label);
      this.canvases.push(new PictureCanvas(canvas));
      this.canvases[index].noise(seed + index, 0.06);
    });
  }

  /** @param {number} step @param {number} fade milliseconds */
  show(step, fade) {
    this.step = step;
    this.canvases.forEach((canvas, index) => {
      const { frames, reached } = this.pictures[index];
      const frame = frames[Math.min(step, reached)];
      if (!frame) return;
      canvas.show(this.mode === "tokens" ? tokenPicture(frame) : frame[this.mode], fade);
    });
  }
}

/** @type {WeakMap<import("./run.js").Frame, OffscreenCanvas>} */
const drawn = new WeakMap();

/** @param {import("./run.js").Frame} frame */
export function tokenPicture(frame) {
  let picture = drawn.get(frame);
  if (!picture) {
    const colors = frame.tokens.flat().map((code) => model.colors[code] ?? [128, 128, 128]);
    picture = gridPicture(/** @type {import("./colors.js").Rgb[]} */ (colors), model.grid, model.imageSize);
    drawn.set(frame, picture);
  }
  return picture;
}
