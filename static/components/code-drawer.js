// @ts-check
/** Code for the settings, beside the page and not over it, so that it follows them. Loaded when it is first opened. */
import { codeFor, LANGUAGES } from "../lib/code-examples.js";
import { createElement } from "../lib/dom.js";
import { read, write } from "../lib/storage.js";
import { createButton, createCode, createSegments } from "./elements.js";

/**
 * @typedef {import("../lib/code-examples.js").CodePlan} CodePlan
 * @typedef {{name: string, label: string, plan: CodePlan}} CodeScope  what the code makes: one picture, all, …
 */

/** The language that was shown last. */
const LANGUAGE_KEY = "rdpm.code-language";

export class CodeDrawer {
  /** @param {() => CodeScope[] | null | undefined} readScopes  null: the settings are invalid; undefined: the view has no code */
  constructor(readScopes) {
    this.readScopes = readScopes;
    this.dialog = /** @type {HTMLDialogElement} */ (createElement("dialog", "code-drawer"));
    this.dialog.setAttribute("aria-labelledby", "code-title");
    const title = createElement("h2", "", "Code");
    title.id = "code-title";
    const stored = read("local", LANGUAGE_KEY);
    this.language = LANGUAGES.some(([name]) => name === stored) ? String(stored) : LANGUAGES[0][0];
    this.scope = "";
    /** The scopes that can be chosen now, as one text. */
    this.scopeNames = "";
    this.languages = createSegments("code-language", "Language", LANGUAGES, this.language, (value) => {
      this.language = value;
      write("local", LANGUAGE_KEY, value);
      this.update();
    });
    this.scopes = createElement("div", "code-scopes");
    this.note = createElement("p", "code-note");
    this.note.setAttribute("role", "status");
    const { code, block, status, fallback, copy } = createCode();
    this.code = code;
    this.copy = copy;
    const header = createElement("div", "code-header");
    header.append(title, status, this.copy, createButton("secondary small", "Close", "Close the code", () => this.close()));
    const choices = createElement("div", "code-choices");
    choices.append(this.languages, this.scopes);
    this.dialog.append(header, choices, this.note, block, fallback);
    this.dialog.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      this.close();
    });
    document.body.append(this.dialog);
    /** What gets the focus when the drawer closes. @type {HTMLElement | null} */
    this.opener = null;
  }

  /** @param {HTMLElement} opener */
  open(opener) {
    this.opener = opener;
    if (!this.dialog.open) this.dialog.show();
    this.update();
    /** @type {HTMLElement | null} */ (this.languages.querySelector("input:checked"))?.focus();
  }

  close() {
    this.dialog.close();
    if (this.opener?.checkVisibility()) this.opener.focus();
  }

  /** The settings, the picture or the view have changed. */
  update() {
    if (!this.dialog.open) return;
    const scopes = this.readScopes();
    if (scopes === undefined) return this.dialog.close();
    this.copy.disabled = !scopes?.length;
    if (!scopes) {
      this.note.textContent = "A setting is invalid. Correct it; the code below is for the settings before.";
      return;
    }
    const scope = scopes.find(({ name }) => name === this.scope) ?? scopes[0];
    const names = scopes.map(({ name, label }) => `${name} ${label}`).join("|");
    if (names !== this.scopeNames) {
      this.scopeNames = names;
      const choices = scopes.map(({ name, label }) => /** @type {[string, string]} */ ([name, label]));
      this.scopes.replaceChildren(...(scopes.length > 1 ? [createSegments("code-scope", "Pictures", choices, scope.name, (value) => {
        this.scope = value;
        this.update();
      })] : []));
    }
    const code = codeFor(this.language, scope.plan);
    this.copy.disabled = !code;
    const random = scope.plan.pictures.some(({ request }) => request.seed === undefined);
    this.note.textContent = !code ? "This language can’t do that here. Choose another one." : random ? "Without a seed each run draws another picture." : "";
    if (this.code.textContent !== code) this.code.textContent = code;
  }
}
