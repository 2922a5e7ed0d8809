// @ts-check
/** The charts that a timeline can show. */
import { model } from "../lib/model.js";

/**
 * @typedef {import("../lib/picture.js").Picture} Picture
 * @typedef {import("./timeline.js").Chart} Chart
 */

/** Mean entropy of one or two pictures, and that of the inspected cell. @param {Picture[]} pictures @param {import("./token-grid.js").Cell | null} cell @returns {Chart} */
export function entropyChart([picture, second], cell) {
  /** @param {number} step */
  const cellValue = (step) => (cell ? picture.steps[step]?.entropy?.[cell.row]?.[cell.column] : undefined);
  const steps = Array.from({ length: model.stepCount }, (_, i) => i + 1);
  const values = steps.flatMap((step) => [picture.meanEntropy(step), second?.meanEntropy(step), cellValue(step)]);
  return {
    title: second ? "Mean entropy (outline: right)" : "Mean entropy",
    // The largest value fills a bar: the model's entropies are far below those of all codes.
    max: Math.max(...values.map((value) => value ?? 0)) || model.codeBits,
    value: (step) => picture.meanEntropy(step),
    secondValue: second && ((step) => second.meanEntropy(step)),
    cellValue: cell ? cellValue : undefined,
    format: (bits) => `${bits.toFixed(2)} of ${model.codeBits.toFixed(0)} bits`,
  };
}

/** Error of the clean preview at each step. @param {number[]} errors by step, 0…1 @returns {Chart} */
export function errorChart(errors) {
  return {
    title: "Error of the clean preview",
    max: Math.max(...errors.slice(1)),
    value: (step) => errors[step],
    format: (error) => `${(100 * error).toFixed(1)} %`,
  };
}
