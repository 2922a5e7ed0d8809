// @ts-check
/** Elements that show codes: swatches in a code's colour, rows with a probability. */
import { textColorOn, toCss } from "../lib/colors.js";
import { createElement } from "../lib/dom.js";
import { codeColor } from "../lib/model.js";

/** @param {number} p 0…1 */
export const formatPercent = (p) => (p >= 0.0995 ? `${Math.round(100 * p)} %` : p >= 0.001 ? `${(100 * p).toPrecision(2)} %` : "< 0.1 %");

/** Gives an element a code's colour, and text on it a readable one. @param {HTMLElement} element @param {number} code */
export function setCodeColor(element, code) {
  const color = codeColor(code);
  element.style.setProperty("--code", toCss(color));
  element.style.setProperty("--on-code", textColorOn(color));
}

/**
 * List items for the most likely codes of a position: swatch, label, bar, probability.
 * @param {number[]} codes
 * @param {number[]} probabilities
 * @param {number | undefined} drawn   the code that was drawn
 * @param {(code: number) => string} [label]
 */
export function codeItems(codes, probabilities, drawn, label = String) {
  const largest = Math.max(...probabilities, Number.MIN_VALUE);
  return codes.map((code, i) => {
    const item = createElement("li", code === drawn ? "drawn" : "");
    const swatch = createElement("i", "swatch");
    setCodeColor(swatch, code);
    const bar = createElement("span", "probability-bar");
    bar.style.setProperty("--value", `${(100 * probabilities[i]) / largest}%`);
    item.append(swatch, createElement("span", "", label(code)), bar, createElement("span", "percent", formatPercent(probabilities[i])));
    return item;
  });
}
