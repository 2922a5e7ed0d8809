// @ts-check
/** A table of pictures of one seed: one setting changes from column to column, another one from row to row. */
import { createElement, part } from "../lib/dom.js";
import { saveFile } from "../lib/files.js";
import { decodePng } from "../lib/images.js";
import { model } from "../lib/model.js";
import { samplingOptions } from "../lib/sampling-options.js";
import { NOISE_CONTRAST, PictureCanvas } from "./picture-canvas.js";
import { field, parseNumber, validateNumber } from "./fields.js";

/** @typedef {{setting: string, label: string, values: string[]}} Axis  values as they are shown */

export const MAX_CELLS = 16;
/** Suggested values; those that the model doesn't allow are left out. @type {Record<string, string[]>} */
const SUGGESTED = {
  guidance: ["0", "1", "2", "4"],
  temperature: ["0", "0.5", "1", "1.5"],
  top_k: ["1", "8", "64", "256"],
  top_p: ["0.3", "0.6", "0.9", "1"],
};
/** Side of a picture in the saved file, in pixels at least; and the space for its labels. */
const SAVED_SIDE = 192;
const LABEL_SPACE = 44;

/** Suggested values of a setting. @param {string} setting @param {string[]} classes @returns {string} */
export function suggestedValues(setting, classes) {
  if (setting === "class") return classes.slice(0, 4).join(", ");
  const values = SUGGESTED[setting] ?? [String(samplingOptions.find(({ name }) => name === setting)?.default ?? ""), samplingOptions.find(({ name }) => name === setting)?.comparisonValue ?? ""];
  return values.filter((value) => !validateNumber(field(setting), value)).join(" ");
}

/** Reads the values of an axis. @param {string} setting @param {string} text @param {string[]} classes @returns {{axis: Axis, error: string}} */
export function parseAxis(setting, text, classes) {
  const label = setting === "class" ? "Class" : samplingOptions.find(({ name }) => name === setting)?.label ?? setting;
  const items = (setting === "class" ? text.split(/[,;]/) : text.split(/[;\s]+|,(?=\s)/)).map((item) => item.trim()).filter(Boolean);
  /** @type {string[]} */
  const values = [];
  let error = items.length ? "" : `Enter the values of ${label.toLowerCase()}.`;
  for (const item of items) {
    const value = setting === "class" ? classes.find((name) => name.toLowerCase() === item.toLowerCase()) ?? "" : item;
    if (setting === "class" && !value) error ||= `“${item.slice(0, 24)}” isn’t a class of this model.`;
    else if (setting !== "class" && validateNumber(field(setting), value)) error ||= `${label}: ${validateNumber(field(setting), value)}`;
    const shown = setting === "class" ? value : String(parseNumber(value));
    if (!values.includes(shown)) values.push(shown);
  }
  return { axis: { setting, label, values }, error };
}

export class Matrix {
  /** @param {HTMLElement} root @param {(index: number) => void} onOpen */
  constructor(root, onOpen) {
    this.root = root;
    this.table = /** @type {HTMLTableElement} */ (part(root, "matrix-table"));
    this.caption = /** @type {HTMLElement} */ (part(root, "matrix-caption"));
    this.saveButton = /** @type {HTMLButtonElement} */ (part(root, "save-matrix"));
    this.saveButton.addEventListener("click", () => this.save());
    /** @type {PictureCanvas[]} */
    this.canvases = [];
    /** @type {import("../lib/picture.js").Picture[]} */
    this.pictures = [];
    /** @type {Axis[]} columns and rows */
    this.axes = [];
    this.name = "";
    this.ready = false;
    this.table.addEventListener("click", (event) => {
      const button = /** @type {HTMLElement} */ (event.target).closest("button");
      if (button && this.ready) onOpen(Number(button.value));
    });
  }

  /** @param {Axis} columns @param {Axis} rows @param {import("../lib/picture.js").Picture[]} pictures row by row @param {string} name of the file */
  show(columns, rows, pictures, name) {
    this.axes = [columns, rows];
    this.pictures = pictures;
    this.name = name;
    this.setReady(false);
    this.canvases = [];
    this.caption.textContent = `${columns.label} from left to right, ${rows.label.toLowerCase()} from top to bottom`;
    const head = document.createElement("thead");
    const top = document.createElement("tr");
    top.append(createElement("td", "matrix-corner", `${rows.label} ↓  ${columns.label} →`), ...columns.values.map((value) => heading(value, "col")));
    head.append(top);
    const body = document.createElement("tbody");
    rows.values.forEach((rowValue, row) => {
      const line = document.createElement("tr");
      line.append(heading(rowValue, "row"), ...columns.values.map((value, column) => {
        const index = row * columns.values.length + column;
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = model.imageSize;
        const button = document.createElement("button");
        Object.assign(button, { type: "button", value: String(index), className: "matrix-cell" });
        button.setAttribute("aria-label", `${columns.label} ${value}, ${rows.label.toLowerCase()} ${rowValue}: open in Draw`);
        button.append(canvas);
        this.canvases.push(new PictureCanvas(canvas));
        this.canvases[index].showNoise(pictures[index].seed, NOISE_CONTRAST.clean);
        const cell = document.createElement("td");
        cell.append(button);
        return cell;
      }));
      body.append(line);
    });
    this.table.replaceChildren(this.caption, head, body);
  }

  /** Shows the last step of each picture. */
  showLatest() {
    this.pictures.forEach(({ steps, lastStep }, index) => {
      if (steps[lastStep]) this.canvases[index].show(steps[lastStep].clean, 160);
    });
  }

  /** @param {boolean} ready all pictures are drawn */
  setReady(ready) {
    this.ready = ready;
    this.saveButton.setAttribute("aria-disabled", String(!ready));
  }

  /** Saves the table with its labels as one picture. */
  async save() {
    if (!this.ready) return;
    const [columns, rows] = this.axes;
    const scale = Math.max(1, Math.ceil(SAVED_SIDE / model.imageSize));
    const side = scale * model.imageSize;
    const gap = 8;
    const measure = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(1, 1).getContext("2d"));
    const font = "500 18px \"Atkinson Next\", system-ui, sans-serif";
    measure.font = font;
    const left = Math.ceil(Math.max(...[rows.label, ...rows.values].map((text) => measure.measureText(text).width))) + 2 * gap;
    const canvas = new OffscreenCanvas(left + columns.values.length * (side + gap), 2 * LABEL_SPACE + rows.values.length * (side + gap));
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = "#000";
    context.font = font;
    context.textBaseline = "middle";
    context.imageSmoothingEnabled = false;
    context.fillText(columns.label, left, LABEL_SPACE / 2);
    context.fillText(rows.label, gap, 1.5 * LABEL_SPACE);
    columns.values.forEach((value, column) => context.fillText(value, left + column * (side + gap), 1.5 * LABEL_SPACE));
    rows.values.forEach((value, row) => context.fillText(value, gap, 2 * LABEL_SPACE + row * (side + gap) + side / 2));
    const images = await Promise.all(this.pictures.map(({ png }) => decodePng(png)));
    images.forEach((image, index) => {
      const [row, column] = [Math.floor(index / columns.values.length), index % columns.values.length];
      context.drawImage(image, left + column * (side + gap), 2 * LABEL_SPACE + row * (side + gap), side, side);
    });
    saveFile(await canvas.convertToBlob({ type: "image/png" }), `${this.name}.png`);
  }
}

/** @param {string} text @param {"col" | "row"} scope */
function heading(text, scope) {
  const cell = createElement("th", "", text);
  cell.setAttribute("scope", scope);
  return cell;
}
