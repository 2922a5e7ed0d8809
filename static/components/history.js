// @ts-check
/** Pictures drawn earlier in this browser: the last runs in a row; the gallery shows all pictures. */
import { isForThisModel, withoutPick } from "../lib/address.js";
import { createElement, part } from "../lib/dom.js";
import { model, serverKeepsPictures } from "../lib/model.js";

/**
 * @typedef {import("../lib/picture-store.js").StoredPicture} StoredPicture
 * @typedef {import("../lib/picture-store.js").Entry} Entry
 */

/** As in picture-store.js. */
const DATABASE = "rdpm";
/** Runs in the row. */
const MAX_RUNS = 48;

export class History {
  /** @param {HTMLElement} root @param {{onShow: (picture: StoredPicture) => void, onUse: (picture: StoredPicture) => void, onOpen: import("./server-gallery.js").Opener}} events show a run; use its settings; open a picture of the server */
  constructor(root, events) {
    this.events = events;
    this.list = /** @type {HTMLElement} */ (part(root, "history-list"));
    this.empty = /** @type {HTMLElement} */ (part(root, "history-empty"));
    this.note = /** @type {HTMLElement} */ (part(root, "history-note"));
    this.clear = /** @type {HTMLButtonElement} */ (part(root, "clear-history"));
    this.openGallery = /** @type {HTMLButtonElement} */ (part(root, "open-gallery"));
    this.undo = /** @type {HTMLButtonElement} */ (part(root, "undo-history"));
    /** @type {Promise<typeof import("../lib/picture-store.js")> | undefined} */
    this.loading = undefined;
    /** @type {import("./gallery.js").Gallery | undefined} */
    this.gallery = undefined;
    /** The first picture of each run in the row. @type {Map<string, StoredPicture>} */
    this.runs = new Map();
    // Another tab has changed the pictures.
    if (globalThis.BroadcastChannel) new BroadcastChannel("rdpm.pictures").addEventListener("message", () => this.show());
    this.#open();
    this.clear.addEventListener("click", () => this.#withGallery((gallery) => gallery.confirmDeletingAll()));
    this.openGallery.addEventListener("click", () => this.#withGallery((gallery) => gallery.open()));
    this.undo.addEventListener("click", () => this.#withGallery((gallery) => gallery.undo()));
    this.list.addEventListener("click", (event) => {
      const link = /** @type {HTMLElement} */ (event.target).closest("a");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      const address = link.getAttribute("href") ?? "/";
      const picture = this.runs.get(address);
      // A picture of another model opens that model's page: follow the link.
      if (!picture || !isForThisModel(address)) return;
      event.preventDefault();
      events.onShow(picture);
    });
  }

  /** A browser without pictures needn't load the code that reads them. */
  async #open() {
    const databases = await globalThis.indexedDB?.databases?.().catch(() => null);
    if (databases?.some(({ name }) => name === DATABASE) === false) return;
    await this.show().catch(() => {});
  }

  /** The stored pictures; their code is loaded when it is first needed. */
  #load() {
    this.loading ??= import("../lib/picture-store.js").catch((error) => {
      this.loading = undefined;
      throw error;
    });
    return this.loading;
  }

  /** The dialog with all pictures, loaded when it is first needed. */
  async #loadGallery() {
    const { pictureStore } = await this.#load();
    const { Gallery } = await import("./gallery.js");
    this.gallery ??= new Gallery({
      store: pictureStore,
      ...this.events,
      onChange: () => this.show(),
      onUndoable: (what) => {
        this.undo.hidden = !what;
        this.note.textContent = what;
      },
    });
    return this.gallery;
  }

  /** @param {(gallery: import("./gallery.js").Gallery) => Promise<void>} action */
  async #withGallery(action) {
    try {
      await action(await this.#loadGallery());
    } catch {
      this.note.textContent = "The gallery couldn’t be loaded. Check that the server is running, then try again.";
    }
  }

  /** Keeps the pictures of a finished run. @param {import("../lib/run.js").Run} run @param {string} address @param {string} model @param {import("../lib/settings.js").Settings | import("../lib/settings.js").Settings[]} settings of the run, or of each picture */
  async add(run, address, model, settings) {
    try {
      const { pictureStore, toEntries } = await this.#load();
      await pictureStore.add(toEntries(run, withoutPick(address), model, settings));
      await this.show();
    } catch {
      this.note.textContent = "The pictures couldn’t be kept.";
    }
  }

  /** The pictures of a run, if they were kept. @param {string} address @returns {Promise<Entry[]>} */
  async run(address) {
    try {
      const { pictureStore } = await this.#load();
      return await pictureStore.run(withoutPick(address));
    } catch {
      return [];
    }
  }

  /** The pictures of this model, the newest first, each with a way to read its steps. @returns {Promise<{picture: StoredPicture, read: () => Promise<Entry>}[]>} */
  async pictures() {
    const { pictureStore } = await this.#load();
    const pictures = (await pictureStore.list()).filter((picture) => picture.model === model.name);
    return pictures.map((picture) => ({
      picture,
      read: async () => {
        const [entry] = await pictureStore.entries([picture]);
        if (!entry) throw new Error("This picture is no longer stored.");
        return entry;
      },
    }));
  }

  async show() {
    const { pictureStore } = await this.#load();
    const pictures = await pictureStore.list();
    /** @type {Map<string, StoredPicture[]>} */
    const runs = Map.groupBy(pictures, ({ run }) => run);
    this.runs = new Map([...runs].map(([run, all]) => [run, all[0]]));
    this.empty.hidden = pictures.length > 0;
    this.clear.hidden = pictures.length === 0;
    this.openGallery.hidden = pictures.length === 0 && !serverKeepsPictures;
    if (pictureStore.problem) this.note.textContent = pictureStore.problem;
    this.list.replaceChildren(...[...runs].slice(0, MAX_RUNS).map(([run, [{ label, subject = label, style, seed, png }, ...more]]) => {
      const link = document.createElement("a");
      link.href = run;
      // All styles of one prompt are named by the prompt.
      const shown = more.length ? label : subject;
      const name = more.length ? `${shown} +${more.length}` : shown;
      link.title = `${name}${style && !more.length ? `, ${style} style` : ""}, seed ${seed}`;
      const image = new Image(64, 64);
      image.src = png;
      image.alt = "";
      link.append(image, createElement("span", "", name), createElement("span", "", String(seed)));
      const item = document.createElement("li");
      item.append(link);
      return item;
    }));
  }
}
