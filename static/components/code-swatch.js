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
 * List items for the most likely codes of a position: swatch, label, bar, probability. The code that was drawn is always
 * among them; if it isn't one of the most likely, it stands at the end.
 * @param {number[]} codes
 * @param {number[]} probabilities
 * @param {number | undefined} drawn   the code that was drawn
 * @param {{label?: (code: number) => string, drawnProbability?: number, drawnRank?: number}} [options]
 */
export function codeItems(codes, probabilities, drawn, { label = String, drawnProbability, drawnRank } = {}) {
  const isListed = drawn === undefined || drawnProbability === undefined || !codes.length || codes.includes(drawn);
  const allCodes = isListed ? codes : [...codes, drawn];
  const allProbabilities = isListed ? probabilities : [...probabilities, drawnProbability];
  const largest = Math.max(...allProbabilities, Number.MIN_VALUE);
  return allCodes.map((code, i) => {
    const item = createElement("li", code === drawn ? "drawn" : "");
    const swatch = createElement("i", "swatch");
    setCodeColor(swatch, code);
    const bar = createElement("span", "probability-bar");
    bar.style.setProperty("--value", `${(100 * allProbabilities[i]) / largest}%`);
    const rank = `rank ${i < codes.length ? i + 1 : drawnRank ?? `${codes.length + 1} or lower`}`;
    item.title = code === drawn ? `${rank}, drawn` : rank;
    item.append(swatch, createElement("span", "", label(code)), bar, createElement("span", "percent", formatPercent(allProbabilities[i])));
    if (code === drawn) item.append(createElement("span", "rank", `drawn, ${rank}`));
    return item;
  });
}
