// @ts-check
/** A dialog with a large picture: pixelated or smooth, any step, the other pictures of the sheet, saving. Loaded when it is first opened. */
import { createElement } from "../lib/dom.js";
import { model } from "../lib/model.js";
import { createButton } from "./elements.js";
import { NOISE_CONTRAST, PictureCanvas } from "./picture-canvas.js";

/**
 * @typedef {import("../lib/picture.js").Picture} Picture
 * @typedef {object} Shown
 * @property {Picture[]} pictures
 * @property {number} index
 * @property {number} step
 * @property {(index: number) => void} [onChoose]  another picture is shown
 * @property {() => void} [onSave]
 */

export class Lightbox {
  constructor() {
    this.dialog = /** @type {HTMLDialogElement} */ (createElement("dialog", "lightbox"));
    this.dialog.setAttribute("aria-label", "Large picture");
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = model.imageSize;
    canvas.setAttribute("role", "img");
    this.canvas = new PictureCanvas(canvas);
    const frame = createElement("div", "lightbox-frame");
    frame.append(canvas);
    this.caption = createElement("p", "lightbox-caption");
    this.caption.setAttribute("role", "status");
    this.previous = createButton("icon", "‹", "Previous picture", () => this.#move(-1));
    this.next = createButton("icon", "›", "Next picture", () => this.#move(1));
    this.slider = document.createElement("input");
    Object.assign(this.slider, { type: "range", className: "slider", min: "1", max: String(model.stepCount), step: "1" });
    this.slider.setAttribute("aria-label", "Step");
    this.slider.addEventListener("input", () => this.#show(this.slider.valueAsNumber));
    this.smooth = document.createElement("input");
    this.smooth.type = "checkbox";
    this.smooth.checked = !model.isPixelArt;
    frame.classList.toggle("smooth", this.smooth.checked);
    this.smooth.addEventListener("change", () => frame.classList.toggle("smooth", this.smooth.checked));
    const smoothLabel = createElement("label", "checkbox");
    smoothLabel.append(this.smooth, new Text(" Smooth"));
    this.save = createButton("secondary", "Save", "", () => this.shown?.onSave?.());
    const close = createButton("secondary", "Close", "", () => this.dialog.close());
    const controls = createElement("div", "lightbox-controls");
    controls.append(this.previous, this.next, this.slider, smoothLabel, this.save, close);
    this.dialog.append(frame, this.caption, controls);
    this.dialog.addEventListener("keydown", (event) => this.#onKey(event));
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    frame.addEventListener("dblclick", () => this.dialog.close());
    document.body.append(this.dialog);
    /** @type {Shown | null} */
    this.shown = null;
  }

  /** @param {Shown} shown */
  open(shown) {
    this.shown = shown;
    const several = shown.pictures.length > 1;
    this.previous.hidden = this.next.hidden = !several;
    this.save.hidden = !shown.onSave;
    this.dialog.showModal();
    this.slider.focus();
    this.#show(shown.step);
  }

  /** @param {number} step */
  #show(step) {
    if (!this.shown) return;
    const { pictures, index } = this.shown;
    const { steps, lastStep, label, seed } = pictures[index];
    const shownStep = Math.min(Math.max(1, step), lastStep);
    this.shown.step = shownStep || step;
    this.slider.disabled = lastStep === 0;
    this.slider.value = String(shownStep);
    this.slider.setAttribute("aria-valuetext", `Step ${shownStep} of ${model.stepCount}`);
    const min = Number(this.slider.min);
    this.slider.style.setProperty("--filled", `${(100 * (this.slider.valueAsNumber - min)) / (model.stepCount - min)}%`);
    if (steps[shownStep]) this.canvas.show(steps[shownStep].clean);
    else this.canvas.showNoise(seed, NOISE_CONTRAST.noisy);
    const place = pictures.length > 1 ? `${index + 1} of ${pictures.length} · ` : "";
    const name = label ? `${label}, seed ${seed}` : "Your picture";
    this.caption.textContent = `${place}${name} · step ${shownStep} of ${model.stepCount}`;
    this.canvas.canvas.setAttribute("aria-label", `${name}, step ${shownStep}`);
  }

  /** Shows another picture of the sheet. @param {number} offset */
  #move(offset) {
    if (!this.shown) return;
    const count = this.shown.pictures.length;
    if (count < 2) return;
    this.shown.index = (this.shown.index + offset + count) % count;
    this.shown.onChoose?.(this.shown.index);
    this.#show(this.shown.step);
  }

  /** Left and right show other pictures, except on the slider, where they change the step. @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const offset = { PageUp: -1, PageDown: 1, ...(event.target !== this.slider && { ArrowLeft: -1, ArrowRight: 1 }) }[event.key];
    if (!offset) return;
    event.preventDefault();
    this.#move(offset);
  }
}
