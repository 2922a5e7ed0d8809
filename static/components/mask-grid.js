// @ts-check
/** A grid of cells on a picture, that pointer and keys mark: brush, wide brush, rectangle, with undo and redo. */
import { createElement } from "../lib/dom.js";

/** @typedef {"brush" | "wide" | "rectangle"} Tool */

const MAX_UNDO = 200;

export class MaskGrid {
  /** @param {HTMLElement} root @param {number} size rows and columns @param {() => void} onChange a mark was set, or undone */
  constructor(root, size, onChange) {
    this.root = root;
    this.size = size;
    this.onChange = onChange;
    /** @type {Tool} */
    this.tool = "brush";
    /** Row by row. */
    this.marked = new Array(size * size).fill(false);
    /** @type {boolean[][]} */
    this.done = [];
    /** @type {boolean[][]} */
    this.undone = [];
    root.setAttribute("role", "grid");
    root.setAttribute("aria-multiselectable", "true");
    root.style.setProperty("--size", String(size));
    this.cells = this.marked.map((_, i) => {
      const cell = createElement("i");
      cell.setAttribute("role", "gridcell");
      cell.tabIndex = i ? -1 : 0;
      return cell;
    });
    for (let row = 0; row < size; row++) {
      const element = createElement("div");
      element.setAttribute("role", "row");
      element.append(...this.cells.slice(row * size, (row + 1) * size));
      root.append(element);
    }
    this.#show();
    this.#listenToPointer();
    root.addEventListener("keydown", (event) => this.#onKey(event));
  }

  get count() {
    return this.marked.filter(Boolean).length;
  }

  /** Marked cells as [row, column]. @returns {[number, number][]} */
  get positions() {
    return this.marked.flatMap((marked, i) => (marked ? [/** @type {[number, number]} */ ([Math.floor(i / this.size), i % this.size])] : []));
  }

  /** Sets all marks as one action that can be undone. @param {(marked: boolean, index: number) => boolean} mark */
  set(mark) {
    this.#commit(this.marked, this.marked.map(mark));
  }

  /** Other marks, without undo. @param {boolean[]} marked */
  reset(marked) {
    this.marked = marked;
    this.done = [];
    this.undone = [];
    this.#show();
    this.onChange();
  }

  undo() {
    this.#move(this.done, this.undone);
  }

  redo() {
    this.#move(this.undone, this.done);
  }

  /** @param {boolean[][]} from @param {boolean[][]} to */
  #move(from, to) {
    const marked = from.pop();
    if (!marked) return;
    to.push(this.marked);
    this.marked = marked;
    this.#show();
    this.onChange();
  }

  /** @param {boolean[]} before @param {boolean[]} after */
  #commit(before, after) {
    this.marked = after;
    if (before.some((marked, i) => marked !== after[i])) {
      this.done.push(before);
      if (this.done.length > MAX_UNDO) this.done.shift();
      this.undone = [];
      this.onChange();
    }
    this.#show();
  }

  #show() {
    this.cells.forEach((cell, i) => {
      const name = `Row ${Math.floor(i / this.size) + 1}, column ${(i % this.size) + 1}: ${this.marked[i] ? "drawn again" : "kept"}`;
      if (cell.getAttribute("aria-label") === name) return;
      cell.setAttribute("aria-label", name);
      cell.setAttribute("aria-selected", String(this.marked[i]));
    });
  }

  /** The cells that a stroke between two cells covers. @param {number[]} from row and column @param {number[]} to @returns {Set<number>} */
  #covered([row, column], [toRow, toColumn]) {
    /** @type {Set<number>} */
    const cells = new Set();
    const { size } = this;
    /** @param {number} y @param {number} x */
    const add = (y, x) => {
      if (y >= 0 && y < size && x >= 0 && x < size) cells.add(y * size + x);
    };
    if (this.tool === "rectangle") {
      for (let y = Math.min(row, toRow); y <= Math.max(row, toRow); y++) {
        for (let x = Math.min(column, toColumn); x <= Math.max(column, toColumn); x++) add(y, x);
      }
      return cells;
    }
    const length = Math.max(Math.abs(toRow - row), Math.abs(toColumn - column), 1);
    const reach = this.tool === "wide" ? 1 : 0;
    for (let i = 0; i <= length; i++) {
      const [y, x] = [Math.round(row + ((toRow - row) * i) / length), Math.round(column + ((toColumn - column) * i) / length)];
      for (let dy = -reach; dy <= reach; dy++) for (let dx = -reach; dx <= reach; dx++) add(y + dy, x + dx);
    }
    return cells;
  }

  #listenToPointer() {
    const { root, size } = this;
    /** @param {PointerEvent} event */
    const cellUnder = (event) => {
      const box = root.getBoundingClientRect();
      const clamp = (/** @type {number} */ x) => Math.max(0, Math.min(size - 1, Math.floor(x)));
      return [clamp(((event.clientY - box.top) / box.height) * size), clamp(((event.clientX - box.left) / box.width) * size)];
    };
    /** The stroke that is being painted. @type {{start: number[], last: number[], before: boolean[], value: boolean} | null} */
    let stroke = null;
    /** @param {number[]} cell */
    const paint = (cell) => {
      if (!stroke) return;
      const { value, before, start, last } = stroke;
      const isRectangle = this.tool === "rectangle";
      const covered = this.#covered(isRectangle ? start : last, cell);
      this.marked = (isRectangle ? before : this.marked).map((marked, i) => (covered.has(i) ? value : marked));
      stroke.last = cell;
      this.#show();
    };
    root.addEventListener("pointerdown", (event) => {
      if (event.button && event.button !== 5) return;
      // A captured pointer may leave the grid and come back. A synthetic one can't be captured.
      if (event.isTrusted) root.setPointerCapture(event.pointerId);
      const cell = cellUnder(event);
      const index = cell[0] * size + cell[1];
      // The eraser of a pen erases; others do what the first cell lacks.
      const value = event.button === 5 ? false : !this.marked[index];
      stroke = { start: cell, last: cell, before: this.marked, value };
      this.#focus(index, event.isTrusted);
      paint(cell);
    });
    root.addEventListener("pointermove", (event) => {
      if (!stroke) return;
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) paint(cellUnder(each));
    });
    root.addEventListener("pointerup", () => {
      if (stroke) this.#commit(stroke.before, this.marked);
      stroke = null;
    });
    root.addEventListener("pointercancel", () => {
      if (stroke) this.marked = stroke.before;
      stroke = null;
      this.#show();
    });
  }

  /** @param {number} index @param {boolean} [take] whether it gets the focus */
  #focus(index, take = true) {
    for (const [i, cell] of this.cells.entries()) cell.tabIndex = i === index ? 0 : -1;
    if (take) this.cells[index].focus({ preventScroll: true });
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const index = this.cells.indexOf(/** @type {HTMLElement} */ (event.target));
    if (index < 0) return;
    const { size } = this;
    const [row, column] = [Math.floor(index / size), index % size];
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      if (key === "z" || key === "y") {
        event.preventDefault();
        event.stopPropagation();
        if (key === "y" || event.shiftKey) this.redo();
        else this.undo();
      }
      if (key === "a") {
        event.preventDefault();
        this.set(() => true);
      }
      if (key !== "home" && key !== "end") return;
    }
    if (event.altKey) return;
    const all = event.ctrlKey || event.metaKey;
    const target = {
      arrowleft: [row, column - 1],
      arrowright: [row, column + 1],
      arrowup: [row - 1, column],
      arrowdown: [row + 1, column],
      home: [all ? 0 : row, 0],
      end: [all ? size - 1 : row, size - 1],
    }[key];
    if (key === " " || key === "enter") {
      event.preventDefault();
      event.stopPropagation();
      const covered = this.#covered([row, column], [row, column]);
      const value = !this.marked[index];
      this.set((marked, i) => (covered.has(i) ? value : marked));
    }
    if (!target) return;
    event.preventDefault();
    event.stopPropagation();
    const clamp = (/** @type {number} */ x) => Math.max(0, Math.min(size - 1, x));
    const next = clamp(target[0]) * size + clamp(target[1]);
    // With Shift, the cell that is reached gets the mark of the one that is left.
    if (event.shiftKey) this.set((marked, i) => (i === next ? this.marked[index] : marked));
    this.#focus(next);
  }
}
