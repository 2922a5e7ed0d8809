// @ts-check
/**
 * A dialog with all pictures that this browser keeps: filters, stars, deleting with undo, files to export and import. If the server
 * keeps pictures as well, the dialog shows either source. Loaded when it is first opened.
 */
import { showBriefly } from "../lib/clipboard.js";
import { createElement } from "../lib/dom.js";
import { saveFile } from "../lib/files.js";
import { serverKeepsPictures } from "../lib/model.js";
import { isEntry } from "../lib/picture-store.js";
import { read, write } from "../lib/storage.js";
import { createButton, createSegments, createSelect } from "./elements.js";

/**
 * @typedef {import("../lib/picture-store.js").StoredPicture} StoredPicture
 * @typedef {import("../lib/picture-store.js").Entry} Entry
 */

const FILE_FORMAT = "rdpm-pictures";
const FILE_VERSION = 1;
/** How long deleting can be undone. */
const UNDO_MS = 20_000;
/** The storage keeps here which pictures were shown last. */
const SOURCE_KEY = "rdpm.gallery.source";

/** @typedef {"browser" | "server"} Source where pictures are kept */

export class Gallery {
  /**
   * @param {object} options
   * @param {import("../lib/picture-store.js").PictureStore} options.store
   * @param {(picture: StoredPicture) => void} options.onShow
   * @param {(picture: StoredPicture) => void} options.onUse     use its settings
   * @param {import("./server-gallery.js").Opener} options.onOpen  a picture of the server
   * @param {() => void} options.onChange                        pictures were added, changed or removed
   * @param {(what: string) => void} options.onUndoable          what can be undone; "" for nothing
   */
  constructor({ store, onShow, onUse, onOpen, onChange, onUndoable }) {
    this.store = store;
    this.onOpen = onOpen;
    /** @type {Source} */
    this.source = "browser";
    /** @type {import("./server-gallery.js").ServerGallery | undefined} */
    this.server = undefined;
    this.onChange = onChange;
    this.onUndoable = onUndoable;
    /** @type {StoredPicture[]} */
    this.pictures = [];
    this.filter = { model: "", label: "", starred: false };
    /** Id of the chosen picture. */
    this.chosen = "";
    /** What deleting removed last. @type {Entry[]} */
    this.deleted = [];
    this.undoTimer = 0;

    this.dialog = /** @type {HTMLDialogElement} */ (createElement("dialog", "gallery"));
    this.dialog.setAttribute("aria-labelledby", "gallery-title");
    const title = createElement("h2", "", "Gallery");
    title.id = "gallery-title";
    this.count = createElement("span", "gallery-count");
    this.filters = createElement("div", "gallery-filters");
    const header = createElement("div", "gallery-header");
    this.sources = createElement("div", "gallery-sources");
    header.append(title, this.sources, this.count, createButton("secondary small", "Close", "Close the gallery", () => this.dialog.close()));
    this.list = createElement("div", "gallery-list");
    this.list.setAttribute("role", "radiogroup");
    this.list.setAttribute("aria-label", "Pictures");
    this.list.addEventListener("change", (event) => this.#choose(/** @type {HTMLInputElement} */ (event.target).value));
    this.list.addEventListener("dblclick", () => this.#act((picture) => this.#leave(() => onShow(picture))));
    this.empty = createElement("p", "gallery-empty");
    this.facts = createElement("p", "gallery-facts");
    this.show = createButton("primary small", "Show", "", () => this.#act((picture) => this.#leave(() => onShow(picture))));
    this.use = createButton("secondary small", "Use these settings", "", () => this.#act((picture) => this.#leave(() => onUse(picture))));
    this.star = createButton("secondary small", "Star", "", () => this.#act((picture) => this.#toggleStar(picture)));
    this.remove = createButton("secondary small", "Delete", "", () => this.#act((picture) => this.#delete([picture])));
    this.undoButton = createButton("secondary small", "Undo", "", () => this.undo());
    this.undoButton.hidden = true;
    this.status = createElement("span", "gallery-status");
    this.status.setAttribute("role", "status");
    const file = document.createElement("input");
    Object.assign(file, { type: "file", accept: "application/json,.json", className: "visually-hidden", id: "gallery-file" });
    file.addEventListener("change", () => {
      if (file.files?.[0]) this.#import(file.files[0]);
      file.value = "";
    });
    const importLabel = createElement("label", "button secondary small", "Import");
    importLabel.setAttribute("for", file.id);
    this.exportButton = createButton("secondary small", "Export", "Export the pictures shown", () => this.#export());
    const one = createElement("div", "gallery-actions");
    one.append(this.facts, this.show, this.use, this.star, this.remove, this.undoButton);
    const all = createElement("div", "gallery-actions");
    all.append(this.status, this.exportButton, file, importLabel, createButton("secondary small", "Delete all", "", () => this.confirmDeletingAll()));
    this.panel = createElement("div", "gallery-panel");
    this.panel.append(this.filters, this.empty, this.list, one, all);
    this.dialog.append(header, this.panel);
    document.body.append(this.dialog);
  }

  async open() {
    await this.#read();
    const stored = read("local", SOURCE_KEY);
    const source = serverKeepsPictures && (stored === "server" || !this.pictures.length) ? "server" : "browser";
    if (serverKeepsPictures) {
      this.sources.replaceChildren(createSegments("gallery-source", "Pictures", [["browser", "In this browser"], ["server", "On the server"]], source, (value) => {
        write("local", SOURCE_KEY, value);
        this.#showSource(/** @type {Source} */ (value));
      }));
    }
    await this.#showSource(source);
    this.dialog.showModal();
    if (source === "server") this.server?.focus();
  }

  /** @param {Source} source */
  async #showSource(source) {
    this.source = source;
    this.count.textContent = "";
    if (source === "server" && !this.server) {
      const { loadServerGallery } = await import("./server-gallery.js");
      this.server ??= await loadServerGallery({
        onOpen: this.onOpen,
        onLeave: () => this.dialog.close(),
        onCount: (text) => this.#showCount("server", text),
      });
      this.dialog.append(this.server.root);
    }
    this.panel.hidden = this.source === "server";
    if (this.server) this.server.root.hidden = this.source !== "server";
    if (this.source === "server") this.server?.open();
    else this.#showPictures();
  }

  /** @param {Source} source @param {string} text */
  #showCount(source, text) {
    if (source === this.source) this.count.textContent = text;
  }

  async #read() {
    this.pictures = await this.store.list();
    this.#showFilters();
    this.#showPictures();
  }

  /** Models and classes that there are pictures of. */
  #showFilters() {
    const { filter } = this;
    /** @param {string[]} names @returns {[string, string][]} */
    const choices = (names) => [...new Set(names)].sort().map((name) => [name, name]);
    const models = choices(this.pictures.map(({ model }) => model));
    const labels = choices(this.pictures.filter(({ model }) => !filter.model || model === filter.model).map(({ label }) => label));
    if (!models.some(([name]) => name === filter.model)) filter.model = "";
    if (!labels.some(([name]) => name === filter.label)) filter.label = "";
    const starred = document.createElement("input");
    Object.assign(starred, { type: "checkbox", checked: filter.starred });
    starred.addEventListener("change", () => {
      filter.starred = starred.checked;
      this.#showPictures();
    });
    const starredLabel = createElement("label", "checkbox");
    starredLabel.append(starred, new Text(" Starred"));
    this.filters.replaceChildren(
      createSelect("Model", [["", "All models"], ...models], filter.model, (value) => {
        filter.model = value;
        this.#showFilters();
        this.#showPictures();
      }),
      createSelect("Class", [["", "All classes"], ...labels], filter.label, (value) => {
        filter.label = value;
        this.#showPictures();
      }),
      starredLabel,
    );
  }

  get #shown() {
    const { model, label, starred } = this.filter;
    return this.pictures.filter((picture) => (!model || picture.model === model) && (!label || picture.label === label) && (!starred || picture.starred));
  }

  #showPictures() {
    const pictures = this.#shown;
    const size = this.pictures.reduce((sum, picture) => sum + picture.size, 0);
    this.#showCount("browser", `${pictures.length} of ${this.pictures.length} · ${(size / 1e6).toFixed(1)} MB`);
    this.empty.textContent = this.pictures.length ? "No picture has these properties." : "No pictures yet: draw some.";
    this.empty.hidden = pictures.length > 0;
    this.exportButton.disabled = pictures.length === 0;
    const chosen = pictures.some(({ id }) => id === this.chosen) ? this.chosen : pictures[0]?.id ?? "";
    this.list.replaceChildren(...pictures.map((picture) => {
      const { id, label, subject = label, seed, png, starred } = picture;
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: "gallery-picture", value: id, checked: id === chosen });
      const image = new Image(96, 96);
      image.src = png;
      image.alt = "";
      image.loading = "lazy";
      const item = document.createElement("label");
      item.append(input, image, createElement("span", "", starred ? `★ ${subject}` : subject), createElement("span", "", `seed ${seed}`));
      return item;
    }));
    this.#choose(chosen);
    if (this.store.problem) this.status.textContent = this.store.problem;
  }

  /** @param {string} id */
  #choose(id) {
    this.chosen = id;
    const picture = this.pictures.find((one) => one.id === id);
    for (const button of [this.show, this.use, this.star, this.remove]) button.disabled = !picture;
    if (!picture) {
      this.facts.textContent = "";
      return;
    }
    const { label, subject = label, style, seed, number, model, time, starred, settings } = picture;
    const options = Object.entries(settings.options).map(([name, value]) => `${name} ${value}`);
    this.facts.textContent = [subject, ...(style ? [`${style} style`] : []), `seed ${seed}`, ...(number ? [`no. ${number + 1}`] : []), model, ...options, new Date(time).toLocaleString()].join(" · ");
    this.star.textContent = starred ? "Remove star" : "Star";
  }

  /** @param {(picture: StoredPicture) => void} action */
  #act(action) {
    const picture = this.pictures.find(({ id }) => id === this.chosen);
    if (picture) action(picture);
  }

  /** @param {() => void} action */
  #leave(action) {
    this.dialog.close();
    action();
  }

  /** @param {StoredPicture} picture */
  async #toggleStar(picture) {
    await this.store.update({ ...picture, starred: !picture.starred });
    await this.#changed();
  }

  /** @param {StoredPicture[]} pictures */
  async #delete(pictures) {
    this.deleted = await this.store.remove(pictures);
    const what = pictures.length === 1 ? "Picture deleted." : `${pictures.length} pictures deleted.`;
    await this.#changed();
    this.undoButton.hidden = false;
    this.onUndoable(what);
    if (this.dialog.open) {
      showBriefly(this.status, what);
      (this.#shown.length ? this.list.querySelector("input") : this.undoButton)?.focus();
    }
    clearTimeout(this.undoTimer);
    this.undoTimer = window.setTimeout(() => this.#forgetDeleted(), UNDO_MS);
  }

  /** Restores what was deleted last. */
  async undo() {
    if (!this.deleted.length) return;
    await this.store.add(this.deleted);
    this.#forgetDeleted();
    await this.#changed();
    showBriefly(this.status, "Restored.");
  }

  #forgetDeleted() {
    clearTimeout(this.undoTimer);
    this.deleted = [];
    this.undoButton.hidden = true;
    this.onUndoable("");
  }

  async #changed() {
    await this.#read();
    this.onChange();
  }

  /** Asks before it deletes. */
  async confirmDeletingAll() {
    const pictures = await this.store.list();
    const dialog = /** @type {HTMLDialogElement} */ (createElement("dialog", "small-dialog"));
    dialog.setAttribute("aria-labelledby", "delete-title");
    const count = pictures.length === 1 ? "the picture" : `all ${pictures.length} pictures`;
    const title = createElement("h2", "", `Delete ${count}?`);
    title.id = "delete-title";
    const starred = pictures.filter((picture) => picture.starred).length;
    const text = createElement("p", "", `${serverKeepsPictures ? "They are deleted from this browser; the server keeps its own." : "They are stored in this browser only."}${starred ? ` ${starred} of them ${starred === 1 ? "has" : "have"} a star.` : ""} You can undo this for ${UNDO_MS / 1000} seconds.`);
    const actions = createElement("div", "dialog-actions");
    const confirm = createButton("primary small", "Delete", "", async () => {
      dialog.close();
      await this.#delete(pictures);
    });
    confirm.dataset.part = "confirm-delete";
    actions.append(createButton("secondary small", "Cancel", "", () => dialog.close()), confirm);
    dialog.append(title, text, actions);
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  /** Saves the pictures that are shown, with their steps, as a file. */
  async #export() {
    const pictures = await this.store.entries(this.#shown);
    const content = JSON.stringify({ format: FILE_FORMAT, version: FILE_VERSION, pictures });
    saveFile(new Blob([content], { type: "application/json" }), "rdpm-pictures.json");
    showBriefly(this.status, pictures.length === 1 ? "Exported 1 picture." : `Exported ${pictures.length} pictures.`);
  }

  /** @param {File} file */
  async #import(file) {
    let content;
    try {
      content = JSON.parse(await file.text());
    } catch {
      return showBriefly(this.status, "This file isn’t JSON. Choose a file that Export has saved.");
    }
    if (content?.format !== FILE_FORMAT || !Array.isArray(content.pictures)) {
      return showBriefly(this.status, "This file holds no pictures. Choose a file that Export has saved.");
    }
    const entries = content.pictures.filter(isEntry);
    await this.store.add(entries);
    await this.#changed();
    const skipped = content.pictures.length - entries.length;
    showBriefly(this.status, `Imported ${entries.length} ${entries.length === 1 ? "picture" : "pictures"}${skipped ? `; ${skipped} can’t be read` : ""}.`);
  }
}
