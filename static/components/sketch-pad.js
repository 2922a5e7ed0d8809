// @ts-check
/** A canvas to draw on with the pointer: brush, eraser, undo and redo. */
import { part } from "../lib/dom.js";
import { model } from "../lib/model.js";
import { read, write } from "../lib/storage.js";
import { updateSliderFill } from "./fields.js";

/** Models of grey pictures know light on black; others get a white background and a choice of colours. */
const BACKGROUND = model.channels === 1 ? "#000" : "#fff";
const BRUSH_COLOR = "#e8e8e8";
/** Pause after a stroke before the sketch is used. */
const PAUSE_MS = 350;
/** The tab's storage keeps the strokes here, so that a reload loses nothing. */
const STORAGE_KEY = `rdpm.sketch.${model.name}`;
const MAX_STROKES = 500;

/** @typedef {{color: string, width: number, points: [number, number][]} | "clear"} Stroke  points and width in pixels of the canvas */

export class SketchPad {
  /** @param {HTMLElement} root @param {(dataUrl: string) => void} onSketch */
  constructor(root, onSketch) {
    this.onSketch = onSketch;
    this.canvas = /** @type {HTMLCanvasElement} */ (part(root, "sketch"));
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    this.brushSize = /** @type {HTMLInputElement} */ (part(root, "brush-size"));
    this.brushColor = /** @type {HTMLInputElement | null} */ (part(root, "brush-color"));
    this.eraser = /** @type {HTMLButtonElement} */ (part(root, "erase"));
    this.undoButton = /** @type {HTMLButtonElement} */ (part(root, "undo-sketch"));
    this.redoButton = /** @type {HTMLButtonElement} */ (part(root, "redo-sketch"));
    this.timer = 0;
    /** @type {Stroke[]} */
    this.strokes = readStrokes();
    /** Strokes that were undone, the last one first to be redone. @type {Stroke[]} */
    this.undone = [];
    updateSliderFill(this.brushSize);
    this.brushSize.addEventListener("input", () => updateSliderFill(this.brushSize));
    this.eraser.addEventListener("click", () => this.#setErasing(!this.erasing));
    this.brushColor?.addEventListener("input", () => this.#setErasing(false));
    this.undoButton.addEventListener("click", () => this.undo());
    this.redoButton.addEventListener("click", () => this.redo());
    part(root, "clear-sketch").addEventListener("click", () => this.clear());
    this.#redraw();
    this.#listen();
  }

  get erasing() {
    return this.eraser.getAttribute("aria-pressed") === "true";
  }

  /** @param {boolean} erasing */
  #setErasing(erasing) {
    this.eraser.setAttribute("aria-pressed", String(erasing));
  }

  get isEmpty() {
    return this.strokes.length === 0 || this.strokes.at(-1) === "clear";
  }

  clear() {
    if (!this.isEmpty) this.#add("clear");
  }

  undo() {
    const stroke = this.strokes.pop();
    if (stroke) this.undone.push(stroke);
    if (stroke) this.#changed();
  }

  redo() {
    const stroke = this.undone.pop();
    if (stroke) this.strokes.push(stroke);
    if (stroke) this.#changed();
  }

  /** @param {Stroke} stroke */
  #add(stroke) {
    this.strokes.push(stroke);
    if (this.strokes.length > MAX_STROKES) this.strokes.shift();
    this.undone = [];
    this.#changed();
  }

  /** Other strokes are there than before. */
  #changed() {
    this.#redraw();
    write("session", STORAGE_KEY, this.strokes);
    this.#use();
  }

  /** Uses the sketch after a pause; an empty one isn't a picture. */
  #use() {
    clearTimeout(this.timer);
    if (this.isEmpty) return;
    this.timer = window.setTimeout(() => this.onSketch(this.canvas.toDataURL("image/png")), PAUSE_MS);
  }

  #redraw() {
    this.context.fillStyle = BACKGROUND;
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    const from = this.strokes.lastIndexOf("clear") + 1;
    for (const stroke of this.strokes.slice(from)) {
      if (stroke !== "clear") stroke.points.forEach((point, i) => this.#drawLine(stroke, stroke.points[Math.max(0, i - 1)], point));
    }
    this.undoButton.setAttribute("aria-disabled", String(this.strokes.length === 0));
    this.redoButton.setAttribute("aria-disabled", String(this.undone.length === 0));
  }

  #listen() {
    const { canvas } = this;
    /** @param {PointerEvent} event @returns {[number, number]} */
    const position = (event) => {
      const box = canvas.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * canvas.width, ((event.clientY - box.top) / box.height) * canvas.height];
    };
    /** The stroke that is being drawn. @type {Exclude<Stroke, "clear"> | null} */
    let stroke = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      // A captured pointer may leave the canvas and come back. A synthetic one can't be captured.
      if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
      clearTimeout(this.timer);
      const start = position(event);
      const color = this.erasing ? BACKGROUND : this.brushColor?.value ?? BRUSH_COLOR;
      stroke = { color, width: (canvas.width / 28) * (0.6 + Number(this.brushSize.value)), points: [start] };
      this.#drawLine(stroke, start, start);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!stroke) return;
      const next = position(event);
      this.#drawLine(stroke, stroke.points[stroke.points.length - 1], next);
      stroke.points.push(next);
    });
    for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(name, () => {
        if (stroke) this.#add(stroke);
        stroke = null;
      });
    }
  }

  /** @param {Exclude<Stroke, "clear">} stroke @param {[number, number]} from @param {[number, number]} to */
  #drawLine({ color, width }, from, to) {
    const { context } = this;
    context.strokeStyle = color;
    context.lineWidth = width;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
  }
}

/** The strokes before a reload. @returns {Stroke[]} */
function readStrokes() {
  const stored = read("session", STORAGE_KEY);
  return Array.isArray(stored) ? stored.filter(isStroke).slice(-MAX_STROKES) : [];
}

/** @param {any} stroke @returns {stroke is Stroke} */
const isStroke = (stroke) =>
  stroke === "clear"
  || (/^#[0-9a-f]{3,6}$/.test(stroke?.color) && stroke.width > 0 && stroke.width < 200
    && Array.isArray(stroke.points) && stroke.points.length > 0
    && stroke.points.every((/** @type {any} */ point) => Array.isArray(point) && point.length === 2 && point.every(Number.isFinite)));
