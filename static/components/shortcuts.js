// @ts-check
/** Keyboard shortcuts: Space plays, the arrow keys step, D draws, S saves, ? lists them. Not while typing, and not where a control uses the key. */
import { createElement } from "../lib/dom.js";
import { read, write } from "../lib/storage.js";
import { createButton } from "./elements.js";

/** Stored as false if the user has turned them off: people who dictate may press keys without meaning to. */
const KEY = "rdpm.shortcuts";

/** @type {[string[], string][]} */
const LIST = [
  [["Space"], "Play or pause"],
  [["←", "→"], "Step back or forward"],
  [["D"], "Draw, compare or draw variations"],
  [["S"], "Save the picture"],
  [["Z"], "Undo in the sketch"],
  [["?"], "Show this list"],
];

/** Controls that type, and those that use Space or the arrow keys themselves. */
const TYPING = "input:not([type=radio], [type=checkbox], [type=range], [type=button]), textarea, select, [contenteditable]";
const USES_SPACE = "button, a, input, summary, [role=application], video";
const USES_ARROWS = "input, [role=application], pre, .sheet, .history-list";

/** @typedef {{play: () => void, step: (offset: number) => void, draw: () => void, save: () => void, undo: () => void}} Actions */

export class Shortcuts {
  /** @param {Actions} actions */
  constructor(actions) {
    this.actions = actions;
    this.enabled = read("local", KEY) !== false;
    /** @type {HTMLDialogElement | null} */
    this.dialog = null;
    /** The focused element was clicked: Space isn't meant for it. */
    this.clicked = false;
    addEventListener("pointerdown", () => {
      this.clicked = true;
    });
    addEventListener("keydown", ({ key }) => {
      if (key === "Tab") this.clicked = false;
    });
    addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (!this.enabled || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!target.closest || target.closest(`${TYPING}, dialog`) || document.querySelector("dialog:modal")) return;
    /** @type {Record<string, () => (() => void) | boolean | null | undefined>} */
    const keys = {
      " ": () => (!target.closest(USES_SPACE) || (this.clicked && target.closest("button, [type=radio]"))) && this.actions.play,
      ArrowLeft: () => !target.closest(USES_ARROWS) && (() => this.actions.step(-1)),
      ArrowRight: () => !target.closest(USES_ARROWS) && (() => this.actions.step(1)),
      d: () => !event.repeat && this.actions.draw,
      s: () => !event.repeat && this.actions.save,
      z: () => this.actions.undo,
      "?": () => () => this.show(),
    };
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key]?.();
    if (typeof action !== "function") return;
    event.preventDefault();
    // A button that is focused clicks at keyup.
    if (event.key === " ") addEventListener("keyup", (up) => up.preventDefault(), { once: true, capture: true });
    action();
  }

  /** Lists the shortcuts. */
  show() {
    this.dialog ??= this.#createDialog();
    this.dialog.showModal();
  }

  #createDialog() {
    const dialog = /** @type {HTMLDialogElement} */ (createElement("dialog", "small-dialog"));
    dialog.setAttribute("aria-labelledby", "shortcuts-title");
    const title = createElement("h2", "", "Keyboard shortcuts");
    title.id = "shortcuts-title";
    const list = createElement("dl", "shortcut-list");
    for (const [keys, text] of LIST) {
      const term = createElement("dt");
      term.append(...keys.map((key) => createElement("kbd", "", key)));
      const row = createElement("div");
      row.append(term, createElement("dd", "", text));
      list.append(row);
    }
    const enabled = document.createElement("input");
    Object.assign(enabled, { type: "checkbox", checked: this.enabled });
    enabled.addEventListener("change", () => {
      this.enabled = enabled.checked;
      write("local", KEY, this.enabled);
    });
    const label = createElement("label", "checkbox");
    label.append(enabled, new Text(" Use these shortcuts"));
    const actions = createElement("div", "dialog-actions");
    actions.append(label, createButton("secondary small", "Close", "", () => dialog.close()));
    dialog.append(title, list, actions);
    document.body.append(dialog);
    return dialog;
  }
}
