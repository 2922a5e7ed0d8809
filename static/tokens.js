// @ts-check
/** The token grid on a canvas: colours, crossfade, and the cell that is pointed at or focused. */

/**
 * @typedef {import("./colors.js").Rgb} Rgb
 * @typedef {{row: number, column: number}} Cell
 */

const FADE_MS = 200;
const STAGGER_MS = 70;
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/** @param {number} x */
const ease = (x) => (x < 0.5 ? 2 * x * x : 1 - (2 - 2 * x) ** 2 / 2);

export class TokenCanvas {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {number} grid
   * @param {(cell: Cell | null, byKeyboard: boolean) => void} onCell
   */
  constructor(canvas, grid, onCell) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.grid = grid;
    this.onCell = onCell;
    const cells = grid * grid;
    /** @type {Rgb[]} */
    this.from = Array.from({ length: cells }, () => [128, 128, 128]);
    /** @type {Rgb[]} */
    this.to = this.from;
    /** Each cell's delay, so that the grid turns over like leaves, not like a slide. */
    this.delay = Array.from({ length: cells }, (_, i) => (((i * 37) % cells) / cells) * STAGGER_MS);
    this.start = -Infinity;
    this.request = 0;
    /** @type {Cell | null} */
    this.cell = null;
    this.byKeyboard = false;
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#listen();
  }

  /** @param {Rgb[]} colors one for each cell, row by row @param {boolean} [fade] */
  show(colors, fade = true) {
    const now = performance.now();
    this.from = this.#now(now);
    this.to = colors;
    this.start = fade && !reducedMotion.matches ? now : -Infinity;
    this.#draw();
  }

  /** The colours at this moment. @param {number} now @returns {Rgb[]} */
  #now(now) {
    return this.to.map((to, i) => {
      const x = ease(Math.min(1, Math.max(0, (now - this.start - this.delay[i]) / FADE_MS)));
      const from = this.from[i];
      return /** @type {Rgb} */ (to.map((c, k) => from[k] + (c - from[k]) * x));
    });
  }

  #resize() {
    const size = Math.max(1, Math.round(this.canvas.clientWidth * devicePixelRatio));
    if (this.canvas.width === size) return;
    // Resizing clears the canvas: paint before the browser shows it.
    this.canvas.width = this.canvas.height = size;
    this.#paint(this.#now(performance.now()));
  }

  #draw() {
    if (this.request) return;
    this.request = requestAnimationFrame(() => {
      this.request = 0;
      const now = performance.now();
      this.#paint(this.#now(now));
      if (now - this.start < FADE_MS + STAGGER_MS) this.#draw();
    });
  }

  /** @param {Rgb[]} colors */
  #paint(colors) {
    const { context, grid } = this;
    const size = this.canvas.width;
    const pitch = size / grid;
    const gap = Math.max(1, Math.round(pitch * 0.035));
    const radius = pitch * 0.06;
    context.clearRect(0, 0, size, size);
    colors.forEach(([r, g, b], i) => {
      const [x, y, w, h] = this.#box(Math.floor(i / grid), i % grid, pitch, gap);
      context.fillStyle = `rgb(${Math.round(r)} ${Math.round(g)} ${Math.round(b)})`;
      context.beginPath();
      context.roundRect(x, y, w, h, radius);
      context.fill();
    });
    if (!this.cell) return;
    const [x, y, w, h] = this.#box(this.cell.row, this.cell.column, pitch, gap);
    const line = Math.max(2, pitch * 0.035);
    // Dark and light together are seen on any colour.
    for (const [style, inset] of /** @type {[string, number][]} */ ([["#fff", line / 2], ["#000", line * 1.5]])) {
      context.strokeStyle = style;
      context.lineWidth = line;
      context.beginPath();
      context.roundRect(x + inset, y + inset, w - 2 * inset, h - 2 * inset, radius);
      context.stroke();
    }
  }

  /** Whole pixels, so that edges are crisp. @param {number} row @param {number} column @param {number} pitch @param {number} gap */
  #box(row, column, pitch, gap) {
    const last = this.grid - 1;
    const x = Math.round(column * pitch) + (column ? Math.ceil(gap / 2) : 0);
    const y = Math.round(row * pitch) + (row ? Math.ceil(gap / 2) : 0);
    const right = Math.round((column + 1) * pitch) - (column < last ? Math.floor(gap / 2) : 0);
    const bottom = Math.round((row + 1) * pitch) - (row < last ? Math.floor(gap / 2) : 0);
    return [x, y, right - x, bottom - y];
  }

  /** @param {Cell | null} cell @param {boolean} byKeyboard */
  #point(cell, byKeyboard) {
    if (cell?.row === this.cell?.row && cell?.column === this.cell?.column) return;
    this.cell = cell;
    this.byKeyboard = byKeyboard;
    this.#draw();
    this.onCell(cell, byKeyboard);
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
    canvas.addEventListener("pointermove", (event) => this.#point(under(event), false));
    canvas.addEventListener("pointerdown", (event) => this.#point(under(event), false));
    canvas.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse" && !this.byKeyboard) this.#point(null, false);
    });
    canvas.addEventListener("focus", () => {
      if (!this.cell && canvas.matches(":focus-visible")) this.#point({ row: 0, column: 0 }, true);
    });
    canvas.addEventListener("blur", () => this.#point(null, false));
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
      if (event.key === "Escape") this.#point(null, true);
      if (!target) return;
      event.preventDefault();
      this.#point({ row: clamp(target.row), column: clamp(target.column) }, true);
    });
  }
}
