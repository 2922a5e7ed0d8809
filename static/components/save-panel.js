// @ts-check
/** Chooses what to save: a picture, a sheet or an animation; its content, format and size. */
import { part } from "../lib/dom.js";
import { sheetFits, sheetSize } from "../lib/files.js";
import { model } from "../lib/model.js";

/**
 * @typedef {"picture" | "sheet" | "animation"} What
 * @typedef {{what: What, content: import("./sheet.js").Content, format: string, scale: number}} SaveOptions
 */

/** Formats of still pictures and of animations. @type {Record<"still" | "animation", [string, string][]>} */
const FORMATS = {
  still: [["png", "PNG"], ["webp", "WebP"], ["jpeg", "JPEG"]],
  animation: [["gif", "GIF"], ["png", "APNG"], ["webp", "WebP"]],
};
const SCALES = [1, 4, 8, 16, 32];
/** The default is the smallest scale with a side of about this many pixels. */
const DEFAULT_SIDE = 1000;
/** Largest animation that the server creates: pixels of all frames. */
const MAX_ANIMATION_PIXELS = 2 ** 24;

/** Pixels of a saved file for each pixel of the picture, unless the user chooses another scale. */
export const DEFAULT_SCALE = SCALES.find((scale) => scale * model.imageSize >= DEFAULT_SIDE) ?? SCALES[SCALES.length - 1];

export class SavePanel {
  /** @param {HTMLElement} root @param {() => void} onChange */
  constructor(root, onChange) {
    this.what = /** @type {HTMLSelectElement} */ (part(root, "save-what"));
    this.content = /** @type {HTMLSelectElement} */ (part(root, "save-content"));
    this.format = /** @type {HTMLSelectElement} */ (part(root, "save-format"));
    this.scale = /** @type {HTMLSelectElement} */ (part(root, "save-scale"));
    this.count = 1;
    /** What the formats are those of. @type {"still" | "animation" | ""} */
    this.kind = "";
    /** The scale is the user's choice. */
    this.scaleChosen = false;
    this.scale.addEventListener("change", () => {
      this.scaleChosen = true;
    });
    this.what.addEventListener("change", () => {
      this.#update();
      onChange();
    });
    this.#update();
  }

  /** @param {number} count of the run's pictures */
  setCount(count) {
    this.count = count;
    this.what.options[1].disabled = count < 2;
    if (count < 2 && this.what.value === "sheet") this.what.value = "picture";
    this.#update();
  }

  /** @returns {SaveOptions} */
  get options() {
    return {
      what: /** @type {What} */ (this.what.value),
      content: /** @type {import("./sheet.js").Content} */ (this.content.value),
      format: this.format.value,
      scale: Number(this.scale.value),
    };
  }

  #update() {
    const what = /** @type {What} */ (this.what.value);
    const kind = what === "animation" ? "animation" : "still";
    if (kind !== this.kind) setOptions(this.format, FORMATS[kind]);
    this.kind = kind;
    const scales = SCALES.filter((scale) => {
      const side = scale * model.imageSize;
      if (what === "animation") return model.stepCount * side ** 2 <= MAX_ANIMATION_PIXELS;
      return what === "picture" || sheetFits(this.count, side);
    });
    const size = (/** @type {number} */ scale) => (what === "sheet" ? sheetSize(this.count, scale * model.imageSize) : [scale * model.imageSize, scale * model.imageSize]);
    const largest = scales.filter((scale) => scale <= DEFAULT_SCALE).at(-1) ?? 1;
    const chosen = this.scaleChosen && scales.includes(Number(this.scale.value)) ? this.scale.value : String(largest);
    setOptions(this.scale, scales.map((scale) => [String(scale), `× ${scale}: ${size(scale).join(" × ")} pixels`]), chosen);
  }
}

/** @param {HTMLSelectElement} select @param {[string, string][]} options values and labels @param {string} [chosen] */
function setOptions(select, options, chosen = options[0][0]) {
  select.replaceChildren(...options.map(([value, label]) => new Option(label, value, false, value === chosen)));
}
