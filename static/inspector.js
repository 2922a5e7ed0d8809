// @ts-check
/** What there is to know about one cell: its code, how sure the model was, what else it considered, and its past. */
import { css, inkOn } from "./colors.js";
import { model } from "./model.js";

/**
 * @typedef {import("./run.js").Frame} Frame
 * @typedef {import("./tokens.js").Cell} Cell
 */

/** @param {number} p */
export const percent = (p) => (p >= 0.0995 ? `${Math.round(100 * p)} %` : p >= 0.001 ? `${(100 * p).toPrecision(2)} %` : "< 0.1 %");

export class Inspector {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @param {string} name @returns {any} */
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.stepTitle = /** @type {HTMLElement} */ (part("step-title"));
    this.narration = /** @type {HTMLElement} */ (part("narration"));
    this.before = this.narration.textContent ?? "";
    this.place = /** @type {HTMLElement} */ (part("place"));
    this.swatch = /** @type {HTMLElement} */ (part("swatch"));
    this.code = /** @type {HTMLElement} */ (part("code"));
    this.probability = /** @type {HTMLElement} */ (part("probability"));
    this.entropy = /** @type {HTMLElement} */ (part("entropy"));
    this.alternativesBlock = /** @type {HTMLElement} */ (part("alternatives-block"));
    this.alternatives = /** @type {HTMLElement} */ (part("alternatives"));
    this.history = /** @type {HTMLElement} */ (part("history"));
  }

  /** What there is to say while no cell is pointed at. @param {number} step 0 before the first @param {string} sentence */
  overview(step, sentence) {
    this.stepTitle.textContent = step ? `Step ${step} of ${model.steps}` : "Noise";
    this.narration.textContent = step ? sentence : this.before;
  }

  /**
   * @param {Cell | null} cell
   * @param {Frame[]} frames by step
   * @param {number} step on show
   * @returns {string} the same as a sentence
   */
  show(cell, frames, step) {
    const frame = frames[step];
    this.root.dataset.active = String(Boolean(cell && frame));
    if (!cell) {
      this.place.textContent = "One cell";
      return "";
    }
    const { row, column } = cell;
    const place = `Row ${row + 1}, column ${column + 1}`;
    this.place.textContent = place;
    if (!frame) return `${place}: nothing drawn yet`;

    const code = frame.tokens[row][column];
    const bits = frame.entropy?.[row]?.[column];
    const p = frame.probability?.[row]?.[column];
    this.code.textContent = `Code ${code}`;
    paint(this.swatch, code);
    this.probability.textContent = p === undefined ? "none: encoded" : percent(p);
    this.entropy.textContent = bits === undefined ? "none: encoded" : `${bits.toFixed(2)} of ${model.bits.toFixed(0)} bits`;
    this.#alternatives(frame, cell, code);
    this.history.replaceChildren(...this.#past(frames, cell, step));
    const sure = p === undefined ? "" : `, probability ${percent(p)}`;
    const undecided = bits === undefined ? "" : `, entropy ${bits.toFixed(1)} bits`;
    return `${place}: code ${code}${sure}${undecided}`;
  }

  /** @param {Frame} frame @param {Cell} cell @param {number} drawn */
  #alternatives({ alternatives }, { row, column }, drawn) {
    const codes = alternatives?.codes[row]?.[column] ?? [];
    const probabilities = alternatives?.probabilities[row]?.[column] ?? [];
    this.alternativesBlock.hidden = !codes.length;
    const most = Math.max(...probabilities, Number.MIN_VALUE);
    this.alternatives.replaceChildren(...codes.map((code, i) => {
      const item = document.createElement("li");
      item.className = code === drawn ? "chosen" : "";
      const swatch = element("i", "swatch");
      paint(swatch, code);
      const share = element("span", "share");
      share.style.setProperty("--value", `${(100 * probabilities[i]) / most}%`);
      item.append(swatch, element("span", "", String(code)), share, element("span", "percent", percent(probabilities[i])));
      if (code === drawn) item.append(element("span", "visually-hidden", "drawn"));
      return item;
    }));
  }

  /** @param {Frame[]} frames @param {Cell} cell @param {number} step on show */
  #past(frames, { row, column }, step) {
    return Array.from({ length: model.steps }, (_, i) => {
      const code = frames[i + 1]?.tokens[row]?.[column];
      const item = element("li", i + 1 === step ? "on-show" : "", code === undefined ? "–" : String(code));
      item.title = `Step ${i + 1}`;
      if (code !== undefined) paint(item, code);
      return item;
    });
  }
}

/** @param {string} tag @param {string} style @param {string} [text] */
function element(tag, style, text = "") {
  const made = document.createElement(tag);
  if (style) made.className = style;
  made.textContent = text;
  return made;
}

/** @param {HTMLElement} place @param {number} code */
function paint(place, code) {
  const color = model.colors[code] ?? [128, 128, 128];
  place.style.setProperty("--code", css(color));
  place.style.setProperty("--on-code", inkOn(color));
}
