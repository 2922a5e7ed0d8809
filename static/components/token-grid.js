// @ts-check
/** A token grid on a canvas: crossfading colours, a text in each cell, and a marked cell that pointer and keys move. */
import { mix, textColorOn, toCss } from "../lib/colors.js";
import { animate, ease, prefersReducedMotion } from "../lib/frame-loop.js";

/**
 * @typedef {import("../lib/colors.js").Rgb} Rgb
 * @typedef {{row: number, column: number}} Cell
 */

/** Cells change one after the other within this share of the crossfade. */
const STAGGER = 0.35;

export class TokenGrid {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {number} size rows and columns
   * @param {(cell: Cell | null, how: {pinned: boolean, byKeyboard: boolean}) => void} onCell
   */
  constructor(canvas, size, onCell) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.size = size;
    this.onCell = onCell;
    const cells = size * size;
    /** @type {Rgb[]} */
    this.previous = Array.from({ length: cells }, () => [128, 128, 128]);
    this.colors = this.previous;
    this.delays = Array.from({ length: cells }, (_, i) => (((i * 37) % cells) / cells) * STAGGER);
    /** @type {string[]} */
    this.texts = [];
    this.fadeStart = 0;
    this.fadeMs = 0;
    /** The marked cell. @type {Cell | null} */
    this.cell = null;
    /** Indices of cells that are marked lightly, because they have something in common with the marked one. @type {Set<number>} */
    this.others = new Set();
    /** The cell that stays marked when the pointer leaves: clicked, or chosen by keyboard. @type {Cell | null} */
    this.pinned = null;
    this.paint = this.#paint.bind(this);
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#listen();
  }

  /** @param {Rgb[]} colors one for each cell, row by row @param {number} [fadeMs] @param {string[]} [texts] */
  show(colors, fadeMs = 0, texts = []) {
    const now = performance.now();
    this.previous = this.colors.map((_, i) => this.#colorAt(i, now));
    this.colors = colors;
    this.texts = texts;
    this.fadeStart = now;
    this.fadeMs = prefersReducedMotion() ? 0 : fadeMs;
    animate(this.paint);
  }

  /** The colour of a cell at a moment of the crossfade. @param {number} i @param {number} now @returns {Rgb} */
  #colorAt(i, now) {
    const x = this.fadeMs ? ((now - this.fadeStart) / this.fadeMs - this.delays[i]) / (1 - STAGGER) : 1;
    return x >= 1 ? this.colors[i] : mix(this.previous[i], this.colors[i], ease(Math.max(0, x)));
  }

  #resize() {
    const pixels = Math.max(1, Math.round(this.canvas.clientWidth * devicePixelRatio));
    if (this.canvas.width === pixels) return;
    // Resizing clears the canvas: paint before the browser shows it.
    this.canvas.width = this.canvas.height = pixels;
    this.#paint(performance.now());
  }

  /** @param {number} now */
  #paint(now) {
    const { context, size } = this;
    const pixels = this.canvas.width;
    const pitch = pixels / size;
    context.clearRect(0, 0, pixels, pixels);
    for (let i = 0; i < size * size; i++) {
      const color = this.#colorAt(i, now);
      const [x, y, w, h] = this.#cellBox(Math.floor(i / size), i % size, pitch);
      context.fillStyle = toCss(color);
      context.beginPath();
      context.roundRect(x, y, w, h, pitch * 0.05);
      context.fill();
      if (this.others.has(i)) {
        context.strokeStyle = textColorOn(color);
        context.lineWidth = Math.max(1.5, pitch * 0.025);
        const inset = pitch * 0.14;
        context.strokeRect(x + inset, y + inset, w - 2 * inset, h - 2 * inset);
      }
      const text = this.texts[i];
      if (!text) continue;
      context.fillStyle = textColorOn(color);
      context.font = `500 ${Math.round(pitch * 0.26)}px "Atkinson Next", system-ui, sans-serif`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(text, x + w / 2, y + h / 2 + pitch * 0.015);
    }
    if (this.cell) this.#paintMark(this.cell, pitch);
    return now - this.fadeStart < this.fadeMs;
  }

  /** A white and a black line: together they stand out on any colour. @param {Cell} cell @param {number} pitch */
  #paintMark(cell, pitch) {
    const { context } = this;
    const [x, y, w, h] = this.#cellBox(cell.row, cell.column, pitch);
    const line = Math.max(2, pitch * 0.035);
    for (const [style, inset] of /** @type {[string, number][]} */ ([["#fff", line / 2], ["#000", line * 1.5]])) {
      context.strokeStyle = style;
      context.lineWidth = line;
      context.beginPath();
      context.roundRect(x + inset, y + inset, w - 2 * inset, h - 2 * inset, pitch * 0.05);
      context.stroke();
    }
  }

  /** Position and size in whole pixels, for crisp edges. @param {number} row @param {number} column @param {number} pitch */
  #cellBox(row, column, pitch) {
    const gap = Math.max(1, Math.round(pitch * 0.03));
    const last = this.size - 1;
    const x = Math.round(column * pitch) + (column ? Math.ceil(gap / 2) : 0);
    const y = Math.round(row * pitch) + (row ? Math.ceil(gap / 2) : 0);
    const right = Math.round((column + 1) * pitch) - (column < last ? Math.floor(gap / 2) : 0);
    const bottom = Math.round((row + 1) * pitch) - (row < last ? Math.floor(gap / 2) : 0);
    return [x, y, right - x, bottom - y];
  }

  /** Marks a cell without calling back. @param {Cell | null} cell @param {boolean} pinned */
  mark(cell, pinned) {
    this.cell = cell;
    if (pinned) this.pinned = cell;
    animate(this.paint);
  }

  /** Marks a cell and calls back. @param {Cell | null} cell @param {{pin?: boolean, byKeyboard?: boolean}} [how] */
  #select(cell, { pin = false, byKeyboard = false } = {}) {
    if (pin) this.pinned = cell;
    if (cell?.row === this.cell?.row && cell?.column === this.cell?.column) return;
    this.mark(cell, pin);
    this.onCell(cell, { pinned: pin, byKeyboard });
  }

  #listen() {
    const { canvas, size } = this;
    /** @param {number} x */
    const clamp = (x) => Math.max(0, Math.min(size - 1, x));
    /** @param {PointerEvent} event */
    const cellUnder = (event) => {
      const box = canvas.getBoundingClientRect();
      return {
        row: clamp(Math.floor(((event.clientY - box.top) / box.height) * size)),
        column: clamp(Math.floor(((event.clientX - box.left) / box.width) * size)),
      };
    };
    canvas.addEventListener("pointermove", (event) => {
      // A moving finger scrolls the page.
      if (event.pointerType === "mouse") this.#select(cellUnder(event));
    });
    canvas.addEventListener("pointerdown", (event) => this.#select(cellUnder(event), { pin: true }));
    canvas.addEventListener("pointerleave", () => this.#select(this.pinned));
    canvas.addEventListener("focus", () => {
      if (!this.cell && canvas.matches(":focus-visible")) this.#select({ row: 0, column: 0 }, { pin: true, byKeyboard: true });
    });
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const { row, column } = this.cell ?? { row: 0, column: 0 };
      const target = {
        ArrowLeft: { row, column: column - 1 },
        ArrowRight: { row, column: column + 1 },
        ArrowUp: { row: row - 1, column },
        ArrowDown: { row: row + 1, column },
        Home: { row, column: 0 },
        End: { row, column: size - 1 },
      }[event.key];
      if (event.key === "Escape") this.#select(null, { pin: true, byKeyboard: true });
      if (!target) return;
      event.preventDefault();
      this.#select({ row: clamp(target.row), column: clamp(target.column) }, { pin: true, byKeyboard: true });
    });
  }
}
