// @ts-check
/** Describes the step that is shown, or one cell of it: code, probability, entropy, alternatives, codes at other steps. */
import { createElement, part } from "../lib/dom.js";
import { model } from "../lib/model.js";
import { codeItems, formatPercent, setCodeColor } from "./code-swatch.js";

/**
 * @typedef {import("../lib/picture.js").Step} Step
 * @typedef {import("./token-grid.js").Cell} Cell
 */

export class Inspector {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.stepTitle = /** @type {HTMLElement} */ (part(root, "step-title"));
    this.stepDescription = /** @type {HTMLElement} */ (part(root, "step-description"));
    this.initialDescription = this.stepDescription.textContent ?? "";
    this.position = /** @type {HTMLElement} */ (part(root, "position"));
    this.swatch = /** @type {HTMLElement} */ (part(root, "swatch"));
    this.code = /** @type {HTMLElement} */ (part(root, "code"));
    this.probability = /** @type {HTMLElement} */ (part(root, "probability"));
    this.entropy = /** @type {HTMLElement} */ (part(root, "entropy"));
    this.alternativesSection = /** @type {HTMLElement} */ (part(root, "alternatives-section"));
    this.alternatives = /** @type {HTMLElement} */ (part(root, "alternatives"));
    /** Called when the list of alternatives has changed. @type {((list: HTMLElement, cell: Cell, step: number) => void) | undefined} */
    this.onAlternatives = undefined;
    this.codeHistory = /** @type {HTMLElement} */ (part(root, "code-history"));
  }

  /** What to show while no cell is selected. @param {number} step 0 before the first @param {string} description */
  showStep(step, description) {
    this.stepTitle.textContent = step ? `Step ${step} of ${model.stepCount}` : "Noise";
    this.stepDescription.textContent = step ? description : this.initialDescription;
  }

  /**
   * @param {Cell | null} cell
   * @param {Step[]} steps by number
   * @param {number} step  the step that is shown
   * @returns {string} the same as a sentence
   */
  showCell(cell, steps, step) {
    const data = steps[step];
    this.root.dataset.active = String(Boolean(cell && data));
    if (!cell) {
      this.position.textContent = "Cell";
      return "";
    }
    const { row, column } = cell;
    const position = `Row ${row + 1}, column ${column + 1}`;
    this.position.textContent = position;
    if (!data) return `${position}: no code yet`;

    const code = data.tokens[row][column];
    const bits = data.entropy?.[row]?.[column];
    const p = data.probability?.[row]?.[column];
    this.code.textContent = `Code ${code}`;
    setCodeColor(this.swatch, code);
    this.probability.textContent = p === undefined ? "none (encoded)" : formatPercent(p);
    this.entropy.textContent = bits === undefined ? "none (encoded)" : `${bits.toFixed(2)} of ${model.codeBits.toFixed(0)} bits`;
    const codes = data.alternatives?.codes[row]?.[column] ?? [];
    this.alternativesSection.hidden = !codes.length;
    this.alternatives.replaceChildren(...codeItems(codes, data.alternatives?.probabilities[row]?.[column] ?? [], code, { drawnProbability: p, drawnRank: data.alternatives?.ranks?.[row]?.[column] }));
    this.onAlternatives?.(this.alternatives, cell, step);
    this.codeHistory.replaceChildren(...codeHistoryItems(steps, cell, step));
    const probability = p === undefined ? "" : `, probability ${formatPercent(p)}`;
    const entropy = bits === undefined ? "" : `, entropy ${bits.toFixed(1)} bits`;
    return `${position}: code ${code}${probability}${entropy}`;
  }
}

/** The cell's code at each step. @param {Step[]} steps @param {Cell} cell @param {number} step the step that is shown */
function codeHistoryItems(steps, { row, column }, step) {
  return Array.from({ length: model.stepCount }, (_, i) => {
    const code = steps[i + 1]?.tokens[row]?.[column];
    const item = createElement("li", i + 1 === step ? "current" : "", code === undefined ? "–" : String(code));
    item.title = `Step ${i + 1}`;
    if (code !== undefined) setCodeColor(item, code);
    return item;
  });
}
