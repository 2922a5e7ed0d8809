// @ts-check
/**
 * A grid of any number of pictures: only the rows that are visible are in the document, and are used again for others while it
 * scrolls. The grid itself has the focus and names its active cell, so that no focus is lost with a row. Pictures are selected by
 * pointer, touch and keyboard.
 */
import { createElement } from "../lib/dom.js";

/**
 * @template T
 * @typedef {object} Source
 * @property {() => number} count
 * @property {(position: number) => T | undefined} at                    undefined: not loaded yet
 * @property {(first: number, last: number) => void} want                these are looked at
 * @property {(first: number, last: number) => Promise<T[]>} range       loads these
 * @property {(picture: T) => string} id
 * @property {(picture: T) => {url: string, caption: string, label: string, marked: boolean}} describe
 *
 */

/**
 * @typedef {{element: HTMLElement, frame: HTMLElement, caption: HTMLElement, image: HTMLImageElement | null, picture: unknown, position: number}} Cell
 * @typedef {{element: HTMLElement, cells: Cell[]}} Row
 */

/** In rem: a cell's least width, the space between cells, the height of a caption with the space above it. */
const MIN_CELL = 6.5;
/** Columns at least. */
const MIN_COLUMNS = 3;
const GAP = 0.625;
const CAPTION = 1.375;
/** Rows beyond each edge of the window. */
const OVERSCAN = 2;
/** After fast scrolling, pictures are loaded when it has been slow for this time. */
const SETTLE_MS = 80;
/** Browsers allow no higher elements. */
const MAX_HEIGHT = 15_000_000;

/** @template T */
export class PictureGrid {
  /** @param {string} label @param {number} maxSelected @param {Source<T>} source @param {{onSelect: () => void, onOpen: () => void, onDelete: () => void, onLimit: () => void}} events */
  constructor(label, maxSelected, source, events) {
    this.source = source;
    this.events = events;
    this.maxSelected = maxSelected;
    /** The selected pictures by id. @type {Map<string, T>} */
    this.selected = new Map();
    /** Position of the cell that keys act on. */
    this.active = 0;
    /** Where a range of the selection begins. */
    this.anchor = 0;
    /** 0 until the grid has a size. */
    this.columns = 0;
    this.rowHeight = 0;
    this.rem = 16;
    this.lastTop = 0;
    this.frame = 0;
    this.settleTimer = 0;
    /** The rows in the document, by their number. @type {Map<number, Row>} */
    this.rows = new Map();
    /** Rows that show nothing. @type {Row[]} */
    this.free = [];
    this.made = 0;
    this.root = createElement("div", "picture-grid");
    this.root.tabIndex = 0;
    this.root.setAttribute("role", "grid");
    this.root.setAttribute("aria-label", label);
    this.root.setAttribute("aria-multiselectable", "true");
    this.content = createElement("div", "picture-rows");
    this.content.setAttribute("role", "presentation");
    this.root.append(this.content);
    this.root.addEventListener("scroll", () => this.#schedule(), { passive: true });
    this.root.addEventListener("click", (event) => this.#onClick(event));
    this.root.addEventListener("dblclick", (event) => this.#positionOf(event) >= 0 && events.onOpen());
    this.root.addEventListener("keydown", (event) => this.#onKey(event));
    new ResizeObserver(() => this.#resize()).observe(this.root);
  }

  /** Shows the pictures that there are now. */
  update() {
    if (!this.columns) return this.#resize();
    const count = this.source.count();
    const rows = Math.ceil(count / this.columns);
    this.root.setAttribute("aria-rowcount", String(rows));
    this.root.setAttribute("aria-colcount", String(this.columns));
    this.content.style.height = `${Math.min(MAX_HEIGHT, rows * this.rowHeight)}px`;
    this.active = Math.min(this.active, Math.max(0, count - 1));
    for (const [number, row] of this.rows) this.#bindRow(row, number);
    this.#render();
  }

  /** Goes back to the first picture, and selects nothing. */
  reset() {
    this.active = this.anchor = 0;
    this.root.scrollTop = 0;
    this.select([]);
  }

  /** @param {T[]} pictures */
  select(pictures) {
    this.selected = new Map(pictures.slice(0, this.maxSelected).map((picture) => [this.source.id(picture), picture]));
    if (pictures.length > this.maxSelected) this.events.onLimit();
    this.#showSelection();
  }

  #resize() {
    if (!this.root.clientWidth) return;
    const { scrollTop } = this.root;
    const first = this.columns ? Math.floor(scrollTop / this.rowHeight) * this.columns : 0;
    const within = this.columns ? scrollTop % this.rowHeight : 0;
    this.rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    const width = this.content.clientWidth;
    const gap = GAP * this.rem;
    const columns = Math.max(MIN_COLUMNS, Math.floor((width + gap) / (MIN_CELL * this.rem + gap)));
    const rowHeight = Math.round((width - gap * (columns - 1)) / columns + CAPTION * this.rem + gap);
    if (columns === this.columns && rowHeight === this.rowHeight) return this.#render();
    this.columns = columns;
    this.rowHeight = rowHeight;
    this.root.style.setProperty("--columns", String(this.columns));
    for (const row of [...this.rows.values(), ...this.free]) row.element.remove();
    this.rows.clear();
    this.free = [];
    this.update();
    this.root.scrollTop = Math.floor(first / this.columns) * this.rowHeight + Math.min(within, this.rowHeight);
  }

  #schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.#render();
    });
  }

  /** Shows the rows in the window; costs the same wherever it is. */
  #render() {
    const { scrollTop, clientHeight } = this.root;
    if (!clientHeight || !this.columns) return;
    const isFast = Math.abs(scrollTop - this.lastTop) > this.rowHeight;
    this.lastTop = scrollTop;
    const count = this.source.count();
    const lastRow = Math.ceil(count / this.columns) - 1;
    const top = Math.max(0, Math.floor(scrollTop / this.rowHeight) - OVERSCAN);
    const bottom = Math.min(lastRow, Math.floor((scrollTop + clientHeight) / this.rowHeight) + OVERSCAN);
    for (const [number, row] of this.rows) {
      if (number >= top && number <= bottom) continue;
      this.rows.delete(number);
      this.free.push(row);
    }
    for (let number = top; number <= bottom; number++) {
      if (this.rows.has(number)) continue;
      const row = this.free.pop() ?? this.#makeRow();
      row.element.hidden = false;
      row.element.style.transform = `translateY(${number * this.rowHeight}px)`;
      row.element.setAttribute("aria-rowindex", String(number + 1));
      this.rows.set(number, row);
      this.#bindRow(row, number);
    }
    for (const { element } of this.free) element.hidden = true;
    this.#showActive();
    clearTimeout(this.settleTimer);
    if (isFast) this.settleTimer = window.setTimeout(() => this.#loadVisible(), SETTLE_MS);
    else this.#loadVisible();
  }

  /** Loads the pictures in the window. */
  #loadVisible() {
    const count = this.source.count();
    const numbers = [...this.rows.keys()];
    const first = Math.min(...numbers) * this.columns;
    const last = Math.min(count - 1, (Math.max(...numbers) + 1) * this.columns - 1);
    this.source.want(numbers.length ? first : 0, numbers.length ? last : 0);
    for (const { cells } of this.rows.values()) {
      for (const cell of cells) if (cell.picture && !cell.image) this.#loadImage(cell);
    }
  }

  /** @param {Cell} cell */
  #loadImage(cell) {
    const image = new Image();
    image.alt = "";
    image.decoding = "async";
    image.draggable = false;
    image.addEventListener("error", () => {
      if (cell.image === image) cell.element.dataset.state = "missing";
    });
    image.src = this.source.describe(/** @type {T} */ (cell.picture)).url;
    cell.image = image;
    cell.frame.append(image);
  }

  #makeRow() {
    const element = createElement("div", "picture-row");
    element.setAttribute("role", "row");
    const cells = Array.from({ length: this.columns }, (_, column) => {
      const cell = createElement("div", "picture-cell");
      cell.id = `picture-cell-${++this.made}`;
      cell.setAttribute("role", "gridcell");
      cell.setAttribute("aria-colindex", String(column + 1));
      const frame = createElement("span", "picture-frame");
      const caption = createElement("span", "picture-caption");
      cell.append(frame, createElement("span", "picture-check"), caption);
      element.append(cell);
      return { element: cell, frame, caption, image: null, picture: null, position: -1 };
    });
    this.content.append(element);
    return { element, cells };
  }

  /** @param {Row} row @param {number} number */
  #bindRow(row, number) {
    const count = this.source.count();
    row.cells.forEach((cell, column) => {
      cell.position = number * this.columns + column;
      const exists = cell.position < count;
      cell.element.hidden = !exists;
      this.#bindCell(cell, exists ? this.source.at(cell.position) : undefined);
    });
  }

  /** @param {Cell} cell @param {T | undefined} picture */
  #bindCell(cell, picture) {
    const { element } = cell;
    if (cell.picture !== (picture ?? null) || !element.dataset.state) {
      const described = picture && this.source.describe(picture);
      // An image that hasn't arrived isn't waited for.
      if (cell.image && cell.image.getAttribute("src") !== described?.url) {
        if (!cell.image.complete) cell.image.removeAttribute("src");
        cell.image.remove();
        cell.image = null;
      }
      cell.picture = picture ?? null;
      element.dataset.state = picture ? "loaded" : "loading";
      element.dataset.marked = String(Boolean(described?.marked));
      element.setAttribute("aria-label", described?.label ?? "Loading");
      cell.caption.textContent = described?.caption ?? "";
    }
    this.#showState(cell);
  }

  /** @param {Cell} cell */
  #showState({ element, picture, position }) {
    const isSelected = Boolean(picture) && this.selected.has(this.source.id(/** @type {T} */ (picture)));
    element.setAttribute("aria-selected", String(isSelected));
    element.classList.toggle("active", position === this.active);
  }

  #showSelection() {
    for (const { cells } of this.rows.values()) cells.forEach((cell) => this.#showState(cell));
    this.events.onSelect();
  }

  /** Names the active cell, if it is in the document. */
  #showActive() {
    const row = this.rows.get(Math.floor(this.active / this.columns));
    const cell = row?.cells[this.active % this.columns];
    if (cell && !cell.element.hidden) this.root.setAttribute("aria-activedescendant", cell.element.id);
    else this.root.removeAttribute("aria-activedescendant");
  }

  /** @param {number} position @param {boolean} [scroll] into the window */
  #activate(position, scroll = true) {
    this.active = position;
    for (const { cells } of this.rows.values()) cells.forEach((cell) => this.#showState(cell));
    const top = Math.floor(position / this.columns) * this.rowHeight;
    const { scrollTop, clientHeight } = this.root;
    if (scroll && top < scrollTop) this.root.scrollTop = top;
    else if (scroll && top + this.rowHeight > scrollTop + clientHeight) this.root.scrollTop = top + this.rowHeight - clientHeight;
    this.#render();
  }

  /** The position that an event is at; -1 between the pictures. @param {Event} event */
  #positionOf(event) {
    const element = /** @type {HTMLElement} */ (event.target).closest(".picture-cell");
    for (const { cells } of this.rows.values()) {
      const cell = cells.find((one) => one.element === element);
      if (cell) return cell.position;
    }
    return -1;
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const position = this.#positionOf(event);
    if (position < 0) return;
    const adds = event.ctrlKey || event.metaKey || /** @type {PointerEvent} */ (event).pointerType === "touch" || Boolean(/** @type {HTMLElement} */ (event.target).closest(".picture-check"));
    this.#activate(position, false);
    if (event.shiftKey) return this.#selectRange(position, adds);
    this.anchor = position;
    if (adds) return this.#toggle(position);
    const picture = this.source.at(position);
    if (picture) this.select([picture]);
  }

  /** @param {number} position */
  #toggle(position) {
    const picture = this.source.at(position);
    if (!picture) return;
    const id = this.source.id(picture);
    if (!this.selected.delete(id)) {
      if (this.selected.size >= this.maxSelected) return this.events.onLimit();
      this.selected.set(id, picture);
    }
    this.#showSelection();
  }

  /** Selects from the anchor to a position. @param {number} position @param {boolean} adds to what is selected */
  async #selectRange(position, adds) {
    const [first, last] = [Math.min(this.anchor, position), Math.max(this.anchor, position)];
    const kept = adds ? [...this.selected.values()] : [];
    // One more than allowed is enough to say so.
    const pictures = await this.source.range(first, Math.min(last, first + this.maxSelected));
    this.select([...new Map([...kept, ...pictures].map((picture) => [this.source.id(picture), picture])).values()]);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const count = this.source.count();
    if (!count || event.altKey) return;
    const { active, columns } = this;
    const control = event.ctrlKey || event.metaKey;
    const page = Math.max(1, Math.floor(this.root.clientHeight / this.rowHeight)) * columns;
    const start = active - (active % columns);
    const target = {
      ArrowLeft: active - 1, ArrowRight: active + 1, ArrowUp: active - columns, ArrowDown: active + columns, PageUp: active - page, PageDown: active + page,
      Home: control ? 0 : start, End: control ? count - 1 : start + columns - 1,
    }[event.key];
    if (target !== undefined) {
      // Up and down stay in the column; at the edge nothing moves.
      const isVertical = ["ArrowUp", "ArrowDown"].includes(event.key) && (target < 0 || Math.floor(target / columns) > Math.floor((count - 1) / columns));
      const position = isVertical ? active : Math.min(count - 1, Math.max(0, target));
      this.#activate(position);
      if (event.shiftKey) this.#selectRange(position, false);
      else this.anchor = position;
    } else if (event.key === " ") {
      if (event.shiftKey) this.#selectRange(active, true);
      else this.#toggle(active);
      this.anchor = active;
    } else if (control && event.key.toLowerCase() === "a") {
      this.anchor = 0;
      this.#selectRange(count - 1, false);
    } else if (event.key === "Enter") {
      const picture = this.source.at(active);
      if (!picture) return;
      this.select([picture]);
      this.events.onOpen();
    } else if (event.key === "Delete" && this.selected.size) {
      this.events.onDelete();
    } else if (event.key === "Escape" && this.selected.size) {
      this.select([]);
    } else {
      return;
    }
    event.preventDefault();
  }
}
