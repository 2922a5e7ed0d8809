// @ts-check
/** The token grid on a canvas: colours that fade into each other, numbers, and the cell that is pointed at. */
import { animate, ease, isStill } from "./animation.js";
import { css, inkOn, mix } from "./colors.js";

/**
 * @typedef {import("./colors.js").Rgb} Rgb
 * @typedef {{row: number, column: number}} Cell
 */

/** Cells turn over one after the other, like leaves, within this share of the fade. */
const STAGGER = 0.35;

export class TokenCanvas {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {number} grid
   * @param {(cell: Cell | null, how: {pinned: boolean, byKeyboard: boolean}) => void} onCell
   */
  constructor(canvas, grid, onCell) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.grid = grid;
    this.onCell = onCell;
    const cells = grid * grid;
    /** @type {Rgb[]} */
    this.from = Array.from({ length: cells }, () => [128, 128, 128]);
    this.to = this.from;
    this.delay = Array.from({ length: cells }, (_, i) => (((i * 37) % cells) / cells) * STAGGER);
    /** @type {string[]} */
    this.texts = [];
    this.start = 0;
    this.fade = 0;
    /** The cell that is marked. @type {Cell | null} */
    this.cell = null;
    /** The cell that stays marked when the pointer leaves: clicked, or chosen by keyboard. @type {Cell | null} */
    this.pinned = null;
    this.paint = this.#paint.bind(this);
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#listen();
  }

  /** @param {Rgb[]} colors one for each cell, row by row @param {number} [fade] milliseconds @param {string[]} [texts] */
  show(colors, fade = 0, texts = []) {
    const now = performance.now();
    this.from = this.to.map((_, i) => this.#color(i, now));
    this.to = colors;
    this.texts = texts;
    this.start = now;
    this.fade = isStill() ? 0 : fade;
    animate(this.paint);
  }

  /** The colour of a cell at this moment. @param {number} i @param {number} now @returns {Rgb} */
  #color(i, now) {
    const x = this.fade ? ((now - this.start) / this.fade - this.delay[i]) / (1 - STAGGER) : 1;
    return x >= 1 ? this.to[i] : mix(this.from[i], this.to[i], ease(Math.max(0, x)));
  }

  #resize() {
    const size = Math.max(1, Math.round(this.canvas.clientWidth * devicePixelRatio));
    if (this.canvas.width === size) return;
    // Resizing clears the canvas: paint before the browser shows it.
    this.canvas.width = this.canvas.height = size;
    this.#paint(performance.now());
  }

  /** @param {number} now */
  #paint(now) {
    const { context, grid } = this;
    const size = this.canvas.width;
    const pitch = size / grid;
    context.clearRect(0, 0, size, size);
    for (let i = 0; i < grid * grid; i++) {
      const color = this.#color(i, now);
      const [x, y, w, h] = this.#box(Math.floor(i / grid), i % grid, pitch);
      context.fillStyle = css(color);
      context.beginPath();
      context.roundRect(x, y, w, h, pitch * 0.05);
      context.fill();
      const text = this.texts[i];
      if (!text) continue;
      context.fillStyle = inkOn(color);
      context.font = `500 ${Math.round(pitch * 0.26)}px "Atkinson Next", system-ui, sans-serif`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(text, x + w / 2, y + h / 2 + pitch * 0.015);
    }
    if (this.cell) this.#mark(this.cell, pitch);
    return now - this.start < this.fade;
  }

  /** Dark and light together are seen on any colour. @param {Cell} cell @param {number} pitch */
  #mark(cell, pitch) {
    const { context } = this;
    const [x, y, w, h] = this.#box(cell.row, cell.column, pitch);
    const line = Math.max(2, pitch * 0.035);
    for (const [style, inset] of /** @type {[string, number][]} */ ([["#fff", line / 2], ["#000", line * 1.5]])) {
      context.strokeStyle = style;
      context.lineWidth = line;
      context.beginPath();
      context.roundRect(x + inset, y + inset, w - 2 * inset, h - 2 * inset, pitch * 0.05);
      context.stroke();
    }
  }

  /** Whole pixels, so that edges are crisp. @param {number} row @param {number} column @param {number} pitch */
  #box(row, column, pitch) {
    const gap = Math.max(1, Math.round(pitch * 0.03));
    const last = this.grid - 1;
    const x = Math.round(column * pitch) + (column ? Math.ceil(gap / 2) : 0);
    const y = Math.round(row * pitch) + (row ? Math.ceil(gap / 2) : 0);
    const right = Math.round((column + 1) * pitch) - (column < last ? Math.floor(gap / 2) : 0);
    const bottom = Math.round((row + 1) * pitch) - (row < last ? Math.floor(gap / 2) : 0);
    return [x, y, right - x, bottom - y];
  }

  /** Marks a cell without telling anybody. @param {Cell | null} cell @param {boolean} pinned */
  mark(cell, pinned) {
    this.cell = cell;
    if (pinned) this.pinned = cell;
    animate(this.paint);
  }

  /** @param {Cell | null} cell @param {{pin?: boolean, byKeyboard?: boolean}} [how] */
  #point(cell, { pin = false, byKeyboard = false } = {}) {
    if (pin) this.pinned = cell;
    if (cell?.row === this.cell?.row && cell?.column === this.cell?.column) return;
    this.mark(cell, pin);
    this.onCell(cell, { pinned: pin, byKeyboard });
  }

  #listen() {
    const { canvas, grid } = this;
    /** @param {number} x */
    const clamp = (x) => Math.max(0, Math.min(grid - 1, x));
    /** @param {PointerEvent} event */
    const under = (event) => {
      const box = canvas.getBoundingClientRect();
      return {
        row: clamp(Math.floor(((event.clientY - box.top) / box.height) * grid)),
        column: clamp(Math.floor(((event.clientX - box.left) / box.width) * grid)),
      };
    };
    canvas.addEventListener("pointermove", (event) => {
      // A finger that moves scrolls the page.
      if (event.pointerType === "mouse") this.#point(under(event));
    });
    canvas.addEventListener("pointerdown", (event) => this.#point(under(event), { pin: true }));
    canvas.addEventListener("pointerleave", () => this.#point(this.pinned));
    canvas.addEventListener("focus", () => {
      if (!this.cell && canvas.matches(":focus-visible")) this.#point({ row: 0, column: 0 }, { pin: true, byKeyboard: true });
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
        End: { row, column: grid - 1 },
      }[event.key];
      if (event.key === "Escape") this.#point(null, { pin: true, byKeyboard: true });
      if (!target) return;
      event.preventDefault();
      this.#point({ row: clamp(target.row), column: clamp(target.column) }, { pin: true, byKeyboard: true });
    });
  }
}
