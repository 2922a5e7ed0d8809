// @ts-check
/** Elements that dialogs make: buttons, groups of radio buttons, selections. */
import { createElement } from "../lib/dom.js";

/** @param {string} className @param {string} text @param {string} label says more than the text; "" if it is enough @param {() => void} onClick */
export function createButton(className, text, label, onClick) {
  const button = /** @type {HTMLButtonElement} */ (createElement("button", className, text));
  button.type = "button";
  if (label) button.setAttribute("aria-label", label);
  button.addEventListener("click", onClick);
  return button;
}

/** Radio buttons that look like one control. @param {string} name @param {string} label @param {[string, string][]} choices values and texts @param {string} chosen @param {(value: string) => void} onChange */
export function createSegments(name, label, choices, chosen, onChange) {
  const group = createElement("div", "segments");
  group.setAttribute("role", "radiogroup");
  group.setAttribute("aria-label", label);
  for (const [value, text] of choices) {
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name, value, checked: value === chosen });
    const item = document.createElement("label");
    item.append(input, createElement("span", "", text));
    group.append(item);
  }
  group.addEventListener("change", (event) => onChange(/** @type {HTMLInputElement} */ (event.target).value));
  return group;
}

/** @param {string} label @param {[string, string][]} choices values and texts @param {string} chosen @param {(value: string) => void} onChange */
export function createSelect(label, choices, chosen, onChange) {
  const select = document.createElement("select");
  select.setAttribute("aria-label", label);
  select.append(...choices.map(([value, text]) => new Option(text, value, false, value === chosen)));
  select.addEventListener("change", () => onChange(select.value));
  return select;
}
