// @ts-check
/** Pictures drawn in this browser before: kept here and nowhere else, the newest first, a limited number. */
import { isOfThisModel } from "./address.js";
import { keys, read, remove, write } from "./storage.js";

/** Each entry has a key of its own, by its address: two tabs that add one at the same time don't lose the other's. */
const PREFIX = "rdpm.history.";
const KEPT = 48;
/** A thumbnail is the picture itself, which is small; a larger one isn't worth the storage. */
const LONGEST_THUMBNAIL = 24_000;

/** @typedef {{address: string, label: string, seed: number, thumbnail: string, time: number}} Entry time in ms since 1970 */

/** Whatever the storage holds, only what is an entry, the newest first. @returns {Entry[]} */
function entries() {
  const stored = keys("local", PREFIX).map((key) => read("local", key));
  return stored.filter(isEntry).sort((a, b) => b.time - a.time).slice(0, KEPT);
}

/** @param {any} entry @returns {entry is Entry} */
function isEntry(entry) {
  return typeof entry === "object" && entry !== null
    && typeof entry.address === "string" && /^\/\?[\w%&=.,+~*-]*$/.test(entry.address)
    && typeof entry.label === "string" && entry.label.length < 80
    && Number.isSafeInteger(entry.seed) && Number.isSafeInteger(entry.time)
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
      for (const key of keys("local", PREFIX)) remove("local", key);
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
    addEventListener("storage", ({ key }) => (key === null || key.startsWith(PREFIX)) && this.show());
    this.show();
  }

  /** @param {Omit<Entry, "time">} drawn */
  add(drawn) {
    const entry = { ...drawn, time: Date.now() };
    if (!isEntry(entry)) return;
    const kept = entries().map(({ address }) => PREFIX + address);
    // A storage that is full takes fewer: the oldest make room.
    while (!write("local", PREFIX + entry.address, entry) && kept.length) remove("local", /** @type {string} */ (kept.pop()));
    // What is beyond the limit, and what is no entry.
    const shown = new Set(entries().map(({ address }) => PREFIX + address));
    for (const key of keys("local", PREFIX)) if (!shown.has(key)) remove("local", key);
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
