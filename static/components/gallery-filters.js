// @ts-check
/** What filters the server's gallery: search words, model, class, style, dates, stars. */
import { createElement } from "../lib/dom.js";
import { createButton, createSelect } from "./elements.js";

/**
 * @typedef {import("../lib/server-gallery.js").GalleryFilter} GalleryFilter
 * @typedef {import("../lib/server-gallery.js").GallerySummary["groups"]} Groups
 */

/** Typing is searched when it has paused for this time. */
const SEARCH_DELAY_MS = 250;

export class GalleryFilters {
  /** @param {(filter: GalleryFilter) => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    /** @type {Groups} */
    this.groups = [];
    this.model = this.name = this.style = "";
    this.timer = 0;
    this.search = createInput("search", "Search");
    this.search.placeholder = "Search words";
    this.search.maxLength = 200;
    this.after = createInput("date", "From");
    this.before = createInput("date", "To");
    this.starred = createInput("checkbox", "");
    this.clearButton = createButton("link-button", "Clear", "Clear the filters", () => this.clear());
    this.toggle = createButton("secondary small gallery-more", "Filters", "", () => this.#expand(this.toggle.getAttribute("aria-expanded") !== "true"));
    this.selects = createElement("div", "gallery-selects");
    this.fields = createElement("div", "gallery-filter-fields");
    this.fields.id = "gallery-filter-fields";
    this.toggle.setAttribute("aria-controls", this.fields.id);
    const starredLabel = createElement("label", "checkbox");
    starredLabel.append(this.starred, new Text(" Starred"));
    this.fields.append(this.selects, labelled(this.after), labelled(this.before), starredLabel, this.clearButton);
    this.root = createElement("div", "server-filters");
    this.root.setAttribute("role", "search");
    this.root.append(this.search, this.toggle, this.fields);
    this.search.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = window.setTimeout(() => this.#changed(), SEARCH_DELAY_MS);
    });
    // Escape clears the words before it closes the dialog.
    this.search.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.search.value) return;
      event.preventDefault();
      this.search.value = "";
      this.#changed();
    });
    for (const input of [this.after, this.before, this.starred]) input.addEventListener("change", () => this.#changed());
    this.#expand(false);
    this.#showChoices();
  }

  /** @returns {GalleryFilter} */
  get value() {
    const search = this.search.value.trim();
    const after = startOf(this.after.value, 0);
    // The last day is included.
    const before = startOf(this.before.value, 1);
    return {
      ...(search && { search }), ...(this.model && { model: this.model }), ...(this.name && { class: this.name }), ...(this.style && { style: this.style }),
      ...(after && { after }), ...(before && { before }), ...(this.starred.checked && { favourite: "true" }),
    };
  }

  get isSet() {
    return Object.keys(this.value).length > 0;
  }

  clear() {
    this.search.value = this.after.value = this.before.value = "";
    this.model = this.name = this.style = "";
    this.starred.checked = false;
    this.#showChoices();
    this.#changed();
    this.search.focus();
  }

  /** The models, classes and styles that there are pictures of. @param {Groups} groups */
  setGroups(groups) {
    if (groups === this.groups) return;
    this.groups = groups;
    // A menu that is open stays as it is.
    if (!this.selects.contains(document.activeElement)) this.#showChoices();
  }

  #changed() {
    clearTimeout(this.timer);
    const count = Object.keys(this.value).filter((name) => name !== "search").length;
    this.toggle.textContent = count ? `Filters (${count})` : "Filters";
    this.clearButton.hidden = !this.isSet;
    this.onChange(this.value);
  }

  /** On narrow screens the fields are shown on demand. @param {boolean} isExpanded */
  #expand(isExpanded) {
    this.toggle.setAttribute("aria-expanded", String(isExpanded));
    this.fields.dataset.expanded = String(isExpanded);
    this.clearButton.hidden = !this.isSet;
  }

  #showChoices() {
    const ofModel = this.groups.filter(({ model }) => !this.model || model === this.model);
    /** @param {(string | undefined)[]} names @param {string} chosen @returns {[string, string][]} */
    const choices = (names, chosen) => [...new Set([...names, chosen])].filter((name) => name !== undefined && name !== "").sort().map((name) => [/** @type {string} */ (name), titleOf(/** @type {string} */ (name))]);
    const focused = document.activeElement?.getAttribute("aria-label");
    const styles = choices(ofModel.map(({ style }) => style), this.style);
    this.selects.replaceChildren(
      createSelect("Model", [["", "All models"], ...choices(this.groups.map(({ model }) => model), this.model)], this.model, (value) => {
        Object.assign(this, { model: value, name: "", style: "" });
        this.#showChoices();
        this.#changed();
      }),
      createSelect("Class", [["", "All classes"], ...choices(ofModel.map((group) => group.class), this.name)], this.name, (value) => {
        this.name = value;
        this.#changed();
      }),
      ...(styles.length ? [createSelect("Style", [["", "All styles"], ...styles], this.style, (value) => {
        this.style = value;
        this.#changed();
      })] : []),
    );
    if (focused) /** @type {HTMLElement | null} */ (this.selects.querySelector(`[aria-label="${focused}"]`))?.focus();
  }
}

/** A model as the page's menu calls it; other names stay. @param {string} name */
const titleOf = (name) => /** @type {HTMLOptionElement | null} */ (document.querySelector(`#model option[value="${CSS.escape(name)}"]`))?.text ?? name;

/** @param {string} type @param {string} label */
function createInput(type, label) {
  const input = document.createElement("input");
  input.type = type;
  if (label) input.setAttribute("aria-label", label);
  return input;
}

/** @param {HTMLInputElement} input */
function labelled(input) {
  const label = createElement("label", "gallery-date");
  const text = input.getAttribute("aria-label") ?? "";
  input.removeAttribute("aria-label");
  label.append(createElement("span", "", text), input);
  return label;
}

/** Midnight in the browser's time zone: RFC 3339. @param {string} date as 2026-01-31 @param {number} daysLater */
function startOf(date, daysLater) {
  const [year, month, day] = date.split("-").map(Number);
  if (!day) return "";
  const time = new Date(year, month - 1, day + daysLater);
  // What the server can't read filters nothing.
  return year >= 1970 && year < 9000 ? time.toISOString() : "";
}
