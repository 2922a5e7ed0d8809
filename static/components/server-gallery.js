// @ts-check
/** The pictures that the server keeps: filters, search, a grid, and what can be done with those that are selected. Loaded when it is first shown. */
import { showBriefly, showUntilReplaced } from "../lib/clipboard.js";
import { createElement, loadStyle } from "../lib/dom.js";
import { saveFile } from "../lib/files.js";
import { PicturePages } from "../lib/picture-pages.js";
import { changePictures, deletePicture, downloadPictures, idOf, restorePicture, setFavourite } from "../lib/server-gallery.js";
import { createButton } from "./elements.js";
import { GalleryFilters } from "./gallery-filters.js";
import { PictureGrid } from "./picture-grid.js";

/**
 * @typedef {import("../lib/server-gallery.js").ServerPicture} ServerPicture
 * @typedef {import("../lib/server-picture.js").TargetView} TargetView
 * @typedef {(picture: ServerPicture, view: TargetView) => Promise<() => void>} Opener fetches a picture; the result shows it
 */

/** As many as the server puts into one ZIP file. */
const MAX_SELECTED = 500;
const HINT = "Select pictures to open, star, download or delete them.";

/** @param {number} count */
const pictures = (count) => (count === 1 ? "1 picture" : `${count.toLocaleString("en")} pictures`);

export class ServerGallery {
  /** @param {{onOpen: Opener, onLeave: () => void, onCount: (text: string) => void}} events `onLeave`: a view shows a picture now */
  constructor({ onOpen, onLeave, onCount }) {
    this.onOpen = onOpen;
    this.onLeave = onLeave;
    this.onCount = onCount;
    /** What deleting removed last. @type {ServerPicture[]} */
    this.deleted = [];
    this.undoTimer = 0;
    /** The server is changing pictures or making a file. */
    this.isBusy = false;
    /** The pictures get the focus when they arrive. */
    this.takesFocus = false;
    this.pages = new PicturePages(() => this.#show());
    this.filters = new GalleryFilters((filter) => {
      this.grid.reset();
      this.pages.open(filter);
      this.#show();
    });
    const { pages } = this;
    this.grid = new PictureGrid("Pictures on the server", MAX_SELECTED, {
      count: () => pages.count,
      at: (position) => pages.at(position),
      want: (first, last) => pages.want(first, last),
      range: (first, last) => pages.range(first, last),
      id: idOf,
      describe: describePicture,
    }, {
      onSelect: () => this.#showSelection(),
      onOpen: () => this.#open("draw"),
      onDelete: () => this.#delete(),
      onLimit: () => showBriefly(this.status, `Up to ${MAX_SELECTED} pictures can be selected at once.`),
    });
    this.root = createElement("div", "gallery-panel server-gallery");
    this.message = createElement("div", "gallery-message");
    this.messageText = createElement("p");
    this.messageButton = createButton("secondary small", "", "", () => (this.pages.error ? this.pages.refresh() : this.filters.clear()));
    this.message.append(this.messageText, this.messageButton);
    this.facts = createElement("p", "gallery-facts", HINT);
    this.status = createElement("span", "gallery-status");
    this.status.setAttribute("role", "status");
    this.undoButton = createButton("secondary small", "Undo", "", () => this.#undo());
    this.undoButton.hidden = true;
    /** @param {string} text @param {string} label @param {() => void} onClick */
    const button = (text, label, onClick) => createButton("secondary small", text, label, onClick);
    /** Buttons for one selected picture. */
    this.openButtons = [
      button("Draw", "Open in Draw", () => this.#open("draw")),
      button("Edit", "Open in Edit", () => this.#open("edit")),
      button("Compare", "Open in Compare", () => this.#open("compare")),
    ];
    this.star = button("Star", "", () => this.#toggleStars());
    this.download = button("Download", "Download as a ZIP file", () => this.#download());
    this.remove = button("Delete", "", () => this.#delete());
    this.none = createButton("link-button", "Select none", "", () => {
      this.grid.select([]);
      this.focus();
    });
    this.#build();
  }

  #build() {
    const openers = createElement("div", "gallery-openers");
    openers.setAttribute("role", "group");
    openers.setAttribute("aria-label", "Open the picture");
    openers.append(createElement("span", "", "Open in"), ...this.openButtons);
    openers.firstElementChild?.setAttribute("aria-hidden", "true");
    const actions = createElement("div", "gallery-actions");
    actions.append(openers, this.star, this.download, this.remove);
    const results = createElement("div", "gallery-actions gallery-results");
    results.append(this.facts, this.none, this.status, this.undoButton);
    const box = createElement("div", "gallery-grid-box");
    box.append(this.grid.root, this.message);
    this.root.append(this.filters.root, box, results, actions);
  }

  /** Shows the newest pictures, or what is new since it was closed. */
  open() {
    if (this.pages.isEmpty) this.pages.open(this.filters.value);
    else this.pages.refresh();
    this.#show();
    this.#showSelection();
  }

  /** Focuses the pictures, as soon as there are some. */
  focus() {
    this.takesFocus = this.grid.root.hidden;
    this.grid.root.focus();
  }

  /** Shows what is known by now. */
  #show() {
    const { pages, filters } = this;
    if (pages.groups.length) filters.setGroups(pages.groups);
    const isLoading = pages.isEmpty && !pages.error;
    const isEmpty = !pages.isEmpty && pages.count === 0;
    this.root.dataset.state = pages.error ? "failed" : isLoading ? "loading" : isEmpty ? "empty" : "loaded";
    this.grid.root.setAttribute("aria-busy", String(isLoading));
    this.grid.root.hidden = isEmpty || isLoading || (pages.isEmpty && pages.error !== null);
    this.message.hidden = !isLoading && !isEmpty && !pages.error;
    if (pages.error) this.#say(pages.error.message, "Try again");
    else if (isLoading) this.#say("Loading…");
    else if (isEmpty && filters.isSet) this.#say("No picture has these properties.", "Clear the filters");
    else if (isEmpty) this.#say("The server keeps no pictures of yours yet. Draw some: they appear here.");
    this.onCount(pages.isCounted ? pictures(pages.count) : "");
    this.grid.update();
    if (this.takesFocus && !this.grid.root.hidden) this.focus();
  }

  /** @param {string} text @param {string} [action] */
  #say(text, action = "") {
    if (this.messageText.textContent !== text) this.messageText.textContent = text;
    this.messageButton.textContent = action;
    this.messageButton.hidden = !action;
  }

  #showSelection() {
    const selected = [...this.grid.selected.values()];
    this.facts.textContent = selected.length === 1 ? factsOf(selected[0]) : selected.length ? `${pictures(selected.length)} selected` : HINT;
    this.star.textContent = selected.length && selected.every(({ favourite }) => favourite) ? "Remove star" : "Star";
    for (const button of this.openButtons) button.disabled = selected.length !== 1 || this.isBusy;
    this.none.hidden = !selected.length;
    for (const button of [this.star, this.download, this.remove]) button.disabled = !selected.length || this.isBusy;
  }

  /** One action at a time. @param {string} message @param {() => Promise<string>} action returns what happened */
  async #whileBusy(message, action) {
    if (this.isBusy) return;
    this.isBusy = true;
    this.#showSelection();
    showUntilReplaced(this.status, message);
    try {
      showBriefly(this.status, await action());
    } catch (error) {
      showUntilReplaced(this.status, /** @type {Error} */ (error).message);
    } finally {
      this.isBusy = false;
      this.#showSelection();
      // A button that was disabled has lost the focus.
      if (document.activeElement === document.body || document.activeElement?.matches("dialog, :disabled")) this.focus();
    }
  }

  /** @param {TargetView} view */
  #open(view) {
    const [picture] = this.grid.selected.values();
    if (!picture || this.grid.selected.size > 1) return;
    return this.#whileBusy("Opening…", async () => {
      const show = await this.onOpen(picture, view);
      this.onLeave();
      show();
      return "";
    });
  }

  #toggleStars() {
    const selected = [...this.grid.selected.values()];
    const favourite = !selected.every((picture) => picture.favourite);
    return this.#whileBusy(favourite ? "Adding stars…" : "Removing stars…", async () => {
      const { changed, error } = await changePictures(selected.filter((picture) => picture.favourite !== favourite), (picture) => setFavourite(picture, favourite));
      for (const picture of changed) this.#replace(picture, { ...picture, favourite });
      this.grid.update();
      if (error) throw error;
      return favourite ? `Starred ${pictures(changed.length)}. The server keeps them whatever its limits.` : `Removed the stars of ${pictures(changed.length)}.`;
    });
  }

  /** @param {ServerPicture} before @param {ServerPicture} after */
  #replace(before, after) {
    this.pages.replace(before, after);
    if (this.grid.selected.has(idOf(after))) this.grid.selected.set(idOf(after), after);
  }

  #download() {
    const selected = [...this.grid.selected.values()];
    return this.#whileBusy("Creating the ZIP file…", async () => {
      saveFile(await downloadPictures(selected), "rdpm-pictures.zip");
      return `Saved ${pictures(selected.length)} as rdpm-pictures.zip.`;
    });
  }

  #delete() {
    const selected = [...this.grid.selected.values()];
    return this.#whileBusy(`Deleting ${pictures(selected.length)}…`, async () => {
      const { changed, answers, error } = await changePictures(selected, deletePicture);
      this.grid.select(selected.filter((picture) => !changed.includes(picture)));
      this.#setDeleted(changed, answers.map(({ undo_until }) => Date.parse(undo_until)));
      this.pages.refresh();
      if (error) throw error;
      return changed.length === 1 ? "Picture deleted." : `${pictures(changed.length)} deleted.`;
    });
  }

  /** Undo is offered as long as the server can. @param {ServerPicture[]} deleted @param {number[]} until times in ms */
  #setDeleted(deleted, until) {
    clearTimeout(this.undoTimer);
    this.deleted = deleted;
    this.undoButton.hidden = !deleted.length;
    this.undoButton.textContent = deleted.length > 1 ? `Undo deleting ${deleted.length}` : "Undo";
    if (deleted.length) this.undoTimer = window.setTimeout(() => this.#setDeleted([], []), Math.max(0, Math.min(...until) - Date.now()));
  }

  #undo() {
    const { deleted } = this;
    return this.#whileBusy("Restoring…", async () => {
      const { changed, error } = await changePictures(deleted, restorePicture);
      this.#setDeleted([], []);
      this.pages.refresh();
      if (error) throw error;
      this.grid.select(changed);
      return changed.length === 1 ? "Picture restored." : `${pictures(changed.length)} restored.`;
    });
  }
}

/** What the grid shows of a picture. @param {ServerPicture} picture */
function describePicture({ class: name, words, style, seed, favourite, url }) {
  const caption = words || name;
  const label = [caption, ...(style ? [`${style} style`] : []), `seed ${seed}`, ...(favourite ? ["starred"] : [])].join(", ");
  return { url, caption, label, marked: favourite };
}

/** @param {ServerPicture} picture */
function factsOf({ class: name, words, style, seed, index, model, created, favourite }) {
  const what = words && words !== name ? [words, name] : [name];
  return [
    ...(favourite ? ["★"] : []), ...what, ...(style ? [`${style} style`] : []), `seed ${seed}`, ...(index ? [`no. ${index + 1}`] : []), model, new Date(created).toLocaleString(),
  ].filter(Boolean).join(" · ");
}

/** With its style sheet. @param {ConstructorParameters<typeof ServerGallery>[0]} events */
export async function loadServerGallery(events) {
  await loadStyle("server-gallery");
  return new ServerGallery(events);
}
