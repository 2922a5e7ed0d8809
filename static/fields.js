// @ts-check
/** Fields with a slider and a number that mirror each other, and sentences beside fields that can't be used. */

/** @param {string} id @returns {HTMLInputElement} */
export const field = (id) => /** @type {HTMLInputElement} */ (document.getElementById(id));

/** Makes the slider `ID-range` a handle of the number `ID`, which is what counts. @param {string} id @param {() => void} changed */
export function pair(id, changed) {
  const number = field(id);
  const range = field(`${id}-range`);
  range?.addEventListener("input", () => {
    number.value = range.value;
    fill(range);
    clearError(id);
    changed();
  });
  number.addEventListener("input", () => {
    if (range && number.value !== "") range.value = number.value;
    if (range) fill(range);
    clearError(id);
    changed();
  });
  if (range) fill(range);
}

/** @param {string} id @param {string | number} value */
export function set(id, value) {
  field(id).value = String(value);
  clearError(id);
  const range = field(`${id}-range`);
  if (!range) return;
  range.value = String(value);
  fill(range);
}

/** Tells the style how much of the track lies before the thumb. @param {HTMLInputElement} range */
export function fill(range) {
  const share = (range.valueAsNumber - Number(range.min)) / (Number(range.max) - Number(range.min));
  range.style.setProperty("--fill", `${100 * share}%`);
}

/** A sentence if what stands in a number field won't do, else "". @param {HTMLInputElement} input @param {string} [text] */
export function objection(input, text = input.value) {
  const { min, max, step } = input;
  const number = text.trim() === "" ? Number.NaN : Number(text);
  const whole = step === "1";
  if (number >= Number(min) && number <= Number(max) && (!whole || Number.isInteger(number))) return "";
  return `Give a ${whole ? "whole number" : "number"} from ${min} to ${max}.`;
}

/** @param {string} id @param {string} sentence @returns {boolean} whether there is such a field */
export function showError(id, sentence) {
  const place = document.getElementById(`${id}-error`);
  if (!place) return false;
  place.textContent = sentence;
  place.hidden = false;
  field(id)?.setAttribute("aria-invalid", "true");
  return true;
}

/** @param {string} id */
export function clearError(id) {
  const place = document.getElementById(`${id}-error`);
  if (place) place.hidden = true;
  field(id)?.removeAttribute("aria-invalid");
}
