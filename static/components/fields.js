// @ts-check
/**
 * Form fields: sliders paired with numbers, validation, and errors beside the field. Numbers are text fields with a
 * `data-min`, `data-max` and `data-step`: a number field would silently drop the comma of “1,5”.
 */

/** @param {string} id @returns {HTMLInputElement} */
export const field = (id) => /** @type {HTMLInputElement} */ (document.getElementById(id));

/** Keeps the slider `ID-range` and the number `ID` equal; the number is what is sent. @param {string} id @param {() => void} onChange */
export function pairWithSlider(id, onChange) {
  const number = field(id);
  const slider = field(`${id}-range`);
  number.addEventListener("keydown", (event) => stepByKey(number, event));
  slider?.addEventListener("input", () => {
    number.value = slider.value;
    updateSliderFill(slider);
    clearError(id);
    onChange();
  });
  number.addEventListener("input", () => {
    const value = parseNumber(number.value);
    if (slider && !Number.isNaN(value)) slider.value = String(value);
    if (slider) updateSliderFill(slider);
    clearError(id);
    onChange();
  });
  if (slider) updateSliderFill(slider);
}

/** @param {string} id @param {string | number} value */
export function setValue(id, value) {
  field(id).value = String(value);
  clearError(id);
  const slider = field(`${id}-range`);
  if (!slider) return;
  slider.value = String(value);
  updateSliderFill(slider);
}

/** The number in a field; NaN if it isn't one. @param {string} id */
export const numberValue = (id) => parseNumber(field(id).value);

/** A number with a decimal point or a decimal comma. @param {string} text @returns {number} NaN if it isn't one */
export function parseNumber(text) {
  const number = text.trim().replace(/^([-+]?\d*),(\d+)$/, "$1.$2");
  return number === "" ? Number.NaN : Number(number);
}

/** Up and Down change a number by a step. @param {HTMLInputElement} input @param {KeyboardEvent} event */
function stepByKey(input, event) {
  const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  const value = parseNumber(input.value);
  if (!direction || Number.isNaN(value)) return;
  event.preventDefault();
  const { min, max, step } = input.dataset;
  const next = Math.max(Number(min), Math.min(Number(max), value + direction * Number(step)));
  input.value = String(Number(next.toFixed(6)));
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Tells the style sheet how much of the track lies before the thumb. @param {HTMLInputElement} slider */
export function updateSliderFill(slider) {
  const share = (slider.valueAsNumber - Number(slider.min)) / (Number(slider.max) - Number(slider.min));
  slider.style.setProperty("--filled", `${100 * share}%`);
}

/** An error if the text isn't a number that the field allows, else "". @param {HTMLInputElement} input @param {string} [text] */
export function validateNumber(input, text = input.value) {
  const { min, max } = input.dataset;
  const number = parseNumber(text);
  const integer = input.dataset.integer === "true";
  if (number >= Number(min) && number <= Number(max) && (!integer || Number.isInteger(number))) return "";
  return `Enter a ${integer ? "whole number" : "number"} from ${min} to ${max}.`;
}

/** @param {string} id @param {string} error @returns {boolean} whether the form has this field */
export function showError(id, error) {
  const element = document.getElementById(`${id}-error`);
  if (!element) return false;
  element.textContent = error;
  element.hidden = false;
  field(id)?.setAttribute("aria-invalid", "true");
  return true;
}

/** @param {string} id */
export function clearError(id) {
  const element = document.getElementById(`${id}-error`);
  if (element) element.hidden = true;
  field(id)?.removeAttribute("aria-invalid");
}
