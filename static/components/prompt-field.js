// @ts-check
/** The prompt of a model that knows words: a text field with suggestions, drawing styles, and examples. */
import { byId } from "../lib/dom.js";
import { clearError, field, showError } from "./fields.js";

/** The value that asks for all styles. */
const ALL = "all";

export class PromptField {
  /** @param {{onText: () => void, onStyle: () => void, onDraw: () => void, onExample: (address: string) => void}} events `onDraw`: a random prompt was chosen */
  constructor({ onText, onStyle, onDraw, onExample }) {
    this.onText = onText;
    this.input = field("prompt");
    this.unknown = /** @type {HTMLElement} */ (byId("prompt-unknown"));
    this.styleInputs = /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll("#settings input[name=style]")]);
    /** @type {import("./suggestions.js").Suggestions | undefined} */
    this.suggestions = undefined;
    for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": "prompt-options", "aria-expanded": "false" })) {
      this.input.setAttribute(name, value);
    }
    this.input.addEventListener("focus", () => this.#loadSuggestions(), { once: true });
    this.input.addEventListener("input", () => {
      clearError("prompt");
      this.showUnknown([]);
      onText();
    });
    for (const input of this.styleInputs) {
      input.addEventListener("change", () => {
        clearError("style");
        onStyle();
      });
    }
    byId("surprise").addEventListener("click", () => this.#surprise(onDraw));
    document.querySelector(".examples")?.addEventListener("click", (event) => {
      const { ctrlKey, metaKey, shiftKey, target } = /** @type {MouseEvent} */ (event);
      const link = /** @type {HTMLElement} */ (target).closest("a");
      if (!link || ctrlKey || metaKey || shiftKey) return;
      event.preventDefault();
      onExample(link.getAttribute("href") ?? "/");
    });
  }

  /** The prompt; "" without one. */
  get text() {
    return this.input.value.trim();
  }

  /** The styles of the model that are chosen: none (any style), one or all. */
  get styles() {
    const chosen = this.styleInputs.find(({ checked }) => checked)?.value ?? "";
    if (chosen !== ALL) return chosen ? [chosen] : [];
    return this.styleInputs.map(({ value }) => value).filter((value) => value && value !== ALL);
  }

  /** Takes the prompt and the style from an address. @param {URLSearchParams} query */
  apply(query) {
    this.setText(query.get("prompt") ?? "");
    this.setStyle(query.get("style") ?? "");
  }

  /** @param {string} text */
  setText(text) {
    this.input.value = text;
    this.suggestions?.close();
    this.showUnknown([]);
    clearError("prompt");
  }

  /** Chooses a style or all; any style if the model doesn't have it. @param {string} style */
  setStyle(style) {
    const input = this.styleInputs.find(({ value }) => value === style) ?? this.styleInputs[0];
    if (input) input.checked = true;
  }

  /** Says which words the model doesn't know. @param {string[]} words */
  showUnknown(words) {
    this.unknown.textContent = words.length ? `Unknown words, without effect: ${words.join(", ")}.` : "";
  }

  /** Without suggestions the field is a plain text field. */
  async #loadSuggestions() {
    try {
      const { Suggestions } = await import("./suggestions.js");
      this.suggestions = new Suggestions(this.input, (text) => {
        this.setText(text);
        this.onText();
      });
    } catch {
      this.input.addEventListener("focus", () => this.#loadSuggestions(), { once: true });
    }
  }

  /** A random subject, in a style in which training shows it. @param {() => void} onDraw */
  async #surprise(onDraw) {
    try {
      const { randomSubject } = await import("../lib/words.js");
      this.setText(await randomSubject());
    } catch {
      showError("prompt", "The server’s words can’t be read. Try again.");
      return;
    }
    this.setStyle("");
    this.onText();
    onDraw();
  }
}
