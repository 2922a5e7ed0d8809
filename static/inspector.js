// @ts-check
/** One line about one cell at the step on show, and its place marked on the two pictures. */

/**
 * @typedef {import("./run.js").Frame} Frame
 * @typedef {import("./tokens.js").Cell} Cell
 */

export class Inspector {
  /**
   * @param {HTMLElement} line
   * @param {HTMLElement[]} markers
   * @param {number} grid
   */
  constructor(line, markers, grid) {
    this.line = line;
    this.markers = markers;
    this.grid = grid;
    this.hint = line.textContent ?? "";
    /** @type {Cell | null} */
    this.cell = null;
    /** @type {Frame | undefined} */
    this.frame = undefined;
  }

  /** @param {Cell | null} cell @param {boolean} byKeyboard */
  point(cell, byKeyboard) {
    this.cell = cell;
    // Spoken only to those who move by keyboard; a mouse would set off a flood.
    this.line.setAttribute("aria-live", byKeyboard ? "polite" : "off");
    for (const marker of this.markers) {
      marker.hidden = !cell;
      if (!cell) continue;
      const share = 100 / this.grid;
      marker.style.inlineSize = marker.style.blockSize = `${share}%`;
      marker.style.insetInlineStart = `${cell.column * share}%`;
      marker.style.insetBlockStart = `${cell.row * share}%`;
    }
    this.#write();
  }

  /** @param {Frame | undefined} frame */
  show(frame) {
    this.frame = frame;
    if (this.cell) this.#write();
  }

  #write() {
    this.line.textContent = this.#sentence();
    this.line.classList.toggle("active", Boolean(this.cell));
  }

  #sentence() {
    const { cell, frame } = this;
    if (!cell) return this.hint;
    const { row, column } = cell;
    const place = `Row ${row + 1}, column ${column + 1}`;
    const code = frame?.tokens?.[row]?.[column];
    if (code === undefined) return `${place}: nothing drawn yet`;
    const parts = [`code ${code}`];
    const bits = frame?.entropy?.[row]?.[column];
    if (Number.isFinite(bits)) parts.push(`entropy ${bits?.toFixed(2)} bits`);
    const p = frame?.probability?.[row]?.[column];
    if (typeof p === "number") parts.push(`probability ${p >= 0.1 ? `${Math.round(100 * p)} %` : `${(100 * p).toPrecision(2)} %`}`);
    return `${place}: ${parts.join(", ")}`;
  }
}
