// @ts-check
/** Form fields: sliders paired with numbers, validation, and errors beside the field. */

/** @param {string} id @returns {HTMLInputElement} */
export const field = (id) => /** @type {HTMLInputElement} */ (document.getElementById(id));

/** Keeps the slider `ID-range` and the number `ID` equal; the number is what is sent. @param {string} id @param {() => void} onChange */
export function pairWithSlider(id, onChange) {
  const number = field(id);
  const slider = field(`${id}-range`);
  slider?.addEventListener("input", () => {
    number.value = slider.value;
    updateSliderFill(slider);
    clearError(id);
    onChange();
  });
  number.addEventListener("input", () => {
    if (slider && number.value !== "") slider.value = number.value;
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

/** Tells the style sheet how much of the track lies before the thumb. @param {HTMLInputElement} slider */
export function updateSliderFill(slider) {
  const share = (slider.valueAsNumber - Number(slider.min)) / (Number(slider.max) - Number(slider.min));
  slider.style.setProperty("--filled", `${100 * share}%`);
}

/** An error if the text isn't a number that the field allows, else "". @param {HTMLInputElement} input @param {string} [text] */
export function validateNumber(input, text = input.value) {
  const { min, max, step } = input;
  const number = text.trim() === "" ? Number.NaN : Number(text);
  const integer = step === "1";
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
