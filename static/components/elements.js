// @ts-check
/** Elements that dialogs make: buttons, groups of radio buttons, selections. */
import { copyText } from "../lib/clipboard.js";
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

/** Code with a button that copies it: `code` is what to fill, `status` says whether it was copied, and `fallback` shows the code where it can't be. */
export function createCode() {
  const code = createElement("code");
  const block = document.createElement("pre");
  block.tabIndex = 0;
  block.setAttribute("role", "region");
  block.setAttribute("aria-label", "The code");
  block.append(code);
  const status = createElement("span", "code-status");
  status.setAttribute("role", "status");
  const fallback = document.createElement("textarea");
  Object.assign(fallback, { className: "copy-text", readOnly: true, hidden: true, rows: 4 });
  fallback.setAttribute("aria-label", "Text to copy");
  const copy = createButton("secondary small", "Copy", "Copy the code", () => copyText(code.textContent ?? "", status, fallback));
  return { code, block, status, fallback, copy };
}
