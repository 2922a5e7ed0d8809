// @ts-check
/** What completes the text of a combobox: a listbox below it, by keyboard, pointer and touch. Loaded when the field first has the focus. */
import { byId, createElement } from "../lib/dom.js";
import { completions } from "../lib/words.js";

/** Typing pauses that long before suggestions are asked for. */
const PAUSE_MS = 120;

export class Suggestions {
  /** @param {HTMLInputElement} input @param {(text: string) => void} onChoose */
  constructor(input, onChoose) {
    this.input = input;
    this.onChoose = onChoose;
    this.list = /** @type {HTMLElement} */ (byId("prompt-options"));
    this.announcement = /** @type {HTMLElement} */ (byId("prompt-suggestions"));
    /** The option that the arrow keys have reached; -1 for none. */
    this.active = -1;
    this.timer = 0;
    this.request = new AbortController();
    input.addEventListener("input", () => this.#suggestSoon());
    input.addEventListener("keydown", (event) => this.#onKey(event));
    input.addEventListener("blur", () => this.close());
    input.form?.addEventListener("submit", () => this.close());
    // A press keeps the focus in the field.
    this.list.addEventListener("pointerdown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const option = /** @type {HTMLElement} */ (event.target).closest("[role=option]");
      if (option) this.onChoose(option.textContent ?? "");
    });
    // What was typed before this code was loaded.
    if (input.value !== input.defaultValue) this.#suggestSoon();
  }

  close() {
    clearTimeout(this.timer);
    this.request.abort();
    this.#setActive(-1);
    this.#setOpen(false);
    this.announcement.textContent = "";
  }

  #suggestSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#suggest(), PAUSE_MS);
  }

  async #suggest() {
    this.request.abort();
    this.request = new AbortController();
    const { signal } = this.request;
    const { found, similar } = await completions(this.input.value.trimStart(), signal).catch(() => ({ found: [], similar: false }));
    if (signal.aborted || document.activeElement !== this.input) return;
    this.#setActive(-1);
    this.list.replaceChildren(...found.map((text, index) => {
      const option = createElement("li", "", text);
      option.id = `prompt-option-${index}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      return option;
    }));
    this.list.setAttribute("aria-label", similar ? "Similar words" : "Suggestions");
    this.list.classList.toggle("similar", similar);
    this.#setOpen(found.length > 0);
    const what = similar ? "similar word" : "suggestion";
    this.announcement.textContent = found.length ? `${found.length} ${what}${found.length > 1 ? "s" : ""}` : "";
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey) return;
    const count = this.list.children.length;
    switch (event.key) {
      case "ArrowDown":
      case "ArrowUp": {
        event.preventDefault();
        if (this.list.hidden) {
          this.#suggest();
        } else {
          // From the last option to the text, and on to the first.
          const next = this.active + (event.key === "ArrowDown" ? 1 : -1);
          this.#setActive(next < -1 ? count - 1 : next >= count ? -1 : next);
        }
        break;
      }
      case "Enter":
        if (this.active < 0) return this.close();
        event.preventDefault();
        this.onChoose(this.list.children[this.active].textContent ?? "");
        break;
      case "Escape":
        if (this.list.hidden) return;
        event.preventDefault();
        this.close();
        break;
    }
  }

  /** @param {number} index */
  #setActive(index) {
    this.active = index;
    [...this.list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === index)));
    const option = this.list.children[index];
    if (option) {
      this.input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else {
      this.input.removeAttribute("aria-activedescendant");
    }
  }

  /** @param {boolean} open */
  #setOpen(open) {
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
  }
}
