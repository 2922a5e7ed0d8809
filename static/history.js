// @ts-check
/** Pictures drawn in this browser before: kept here and nowhere else, the newest first, a limited number. */
import { isOfThisModel } from "./address.js";
import { read, remove, write } from "./storage.js";

const KEY = "rdpm.history";
const KEPT = 48;
/** A thumbnail is the picture itself, which is small; a larger one isn't worth the storage. */
const LONGEST_THUMBNAIL = 24_000;

/** @typedef {{address: string, label: string, seed: number, thumbnail: string}} Entry */

/** Whatever the storage holds, only what is an entry. @returns {Entry[]} */
function entries() {
  const stored = read("local", KEY);
  return Array.isArray(stored) ? stored.filter(isEntry).slice(0, KEPT) : [];
}

/** @param {any} entry */
function isEntry(entry) {
  return typeof entry === "object" && entry !== null
    && typeof entry.address === "string" && /^\/\?[\w%&=.,+~*-]*$/.test(entry.address)
    && typeof entry.label === "string" && entry.label.length < 80
    && Number.isSafeInteger(entry.seed)
    && typeof entry.thumbnail === "string" && entry.thumbnail.length <= LONGEST_THUMBNAIL
    && /^data:image\/png;base64,[A-Za-z0-9+/]+=*$/.test(entry.thumbnail);
}

export class History {
  /** @param {HTMLElement} root @param {(address: string) => void} onChoose */
  constructor(root, onChoose) {
    this.strip = /** @type {HTMLElement} */ (root.querySelector('[data-part="past-strip"]'));
    this.empty = /** @type {HTMLElement} */ (root.querySelector('[data-part="past-empty"]'));
    this.forget = /** @type {HTMLButtonElement} */ (root.querySelector('[data-part="forget"]'));
    this.forget.addEventListener("click", () => {
      remove("local", KEY);
      this.show();
      this.empty.textContent = "Forgotten.";
    });
    this.strip.addEventListener("click", (event) => {
      const link = /** @type {HTMLElement} */ (event.target).closest("a");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      const address = link.getAttribute("href") ?? "/";
      // One of another model is on that model's page.
      if (!isOfThisModel(address)) return;
      event.preventDefault();
      onChoose(address);
    });
    // Another tab drew something.
    addEventListener("storage", ({ key }) => key === KEY && this.show());
    this.show();
  }

  /** @param {Entry} entry */
  add(entry) {
    if (!isEntry(entry)) return;
    // Read again: another tab may have written meanwhile.
    const others = entries().filter(({ address }) => address !== entry.address);
    const all = [entry, ...others].slice(0, KEPT);
    // A storage that is full takes fewer.
    while (all.length && !write("local", KEY, all)) all.length >>= 1;
    this.show();
  }

  show() {
    const all = entries();
    this.empty.hidden = all.length > 0;
    this.forget.hidden = all.length === 0;
    this.strip.replaceChildren(...all.map(({ address, label, seed, thumbnail }) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = address;
      const image = new Image(64, 64);
      image.src = thumbnail;
      image.alt = "";
      const name = document.createElement("span");
      name.textContent = label;
      const number = document.createElement("span");
      number.textContent = String(seed);
      link.append(image, name, number);
      link.title = `${label}, seed ${seed}`;
      item.append(link);
      return item;
    }));
  }
}
