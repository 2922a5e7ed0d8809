// @ts-check
/** A canvas to draw on with the pointer. */
import { part } from "../lib/dom.js";
import { model } from "../lib/model.js";
import { updateSliderFill } from "./fields.js";

/** Models of grey pictures know light on black; others get a white background and a choice of colours. */
const BACKGROUND = model.channels === 1 ? "#000" : "#fff";
const BRUSH_COLOR = "#e8e8e8";
/** Pause after a stroke before the sketch is used. */
const PAUSE_MS = 350;

export class SketchPad {
  /** @param {HTMLElement} root @param {(dataUrl: string) => void} onSketch */
  constructor(root, onSketch) {
    this.onSketch = onSketch;
    this.canvas = /** @type {HTMLCanvasElement} */ (part(root, "sketch"));
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    this.brushSize = /** @type {HTMLInputElement} */ (part(root, "brush-size"));
    this.brushColor = /** @type {HTMLInputElement | null} */ (part(root, "brush-color"));
    this.timer = 0;
    updateSliderFill(this.brushSize);
    this.brushSize.addEventListener("input", () => updateSliderFill(this.brushSize));
    part(root, "clear-sketch").addEventListener("click", () => this.clear());
    this.clear();
    this.#listen();
  }

  clear() {
    this.context.fillStyle = BACKGROUND;
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  #listen() {
    const { canvas } = this;
    /** @param {PointerEvent} event @returns {[number, number]} */
    const position = (event) => {
      const box = canvas.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * canvas.width, ((event.clientY - box.top) / box.height) * canvas.height];
    };
    /** Where the stroke is; null between strokes. @type {[number, number] | null} */
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      // A captured pointer may leave the canvas and come back. A synthetic one can't be captured.
      if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
      last = position(event);
      this.#drawLine(last, last);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      const next = position(event);
      this.#drawLine(last, next);
      last = next;
    });
    for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(name, () => {
        last = null;
      });
    }
  }

  /** @param {[number, number]} from @param {[number, number]} to */
  #drawLine(from, to) {
    const { context, canvas } = this;
    context.strokeStyle = this.brushColor?.value ?? BRUSH_COLOR;
    context.lineWidth = (canvas.width / 28) * (0.6 + Number(this.brushSize.value));
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.onSketch(canvas.toDataURL("image/png")), PAUSE_MS);
  }
}
