// @ts-check
/** A list with one small picture for each step. */
import { PictureCanvas } from "./picture-canvas.js";

export class StepStrip {
  /** @param {HTMLElement} list its items hold a canvas each @param {(step: number) => void} [onChoose] */
  constructor(list, onChoose) {
    this.items = [...list.querySelectorAll("li")];
    this.canvases = this.items.map((item) => new PictureCanvas(/** @type {HTMLCanvasElement} */ (item.querySelector("canvas"))));
    if (onChoose) this.items.forEach((item, i) => item.addEventListener("click", () => onChoose(i + 1)));
  }

  /** @param {number} step @param {CanvasImageSource} image @param {number} [fadeMs] */
  show(step, image, fadeMs = 0) {
    this.canvases[step - 1]?.show(image, fadeMs);
  }

  /** Marks the step that the viewer shows. @param {number} step */
  setCurrent(step) {
    this.items.forEach((item, i) => item.classList.toggle("current", i + 1 === step));
  }
}
