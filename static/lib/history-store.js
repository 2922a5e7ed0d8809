// @ts-check
/** Finished pictures, stored in this browser only: the newest first, a limited number. */
import { keys, read, remove, write } from "./storage.js";

/** Each entry has a key of its own, made of its address: tabs that add entries at the same time don't overwrite each other's. */
const PREFIX = "rdpm.history.";
const MAX_ENTRIES = 48;
/** A thumbnail is the picture itself, which is small; a larger one isn't worth the storage. */
const MAX_THUMBNAIL_LENGTH = 24_000;

/** @typedef {{address: string, label: string, seed: number, thumbnail: string, time: number}} Entry `time` in ms since 1970 */

/** The valid entries, the newest first. @returns {Entry[]} */
export function readHistory() {
  const stored = keys("local", PREFIX).map((key) => read("local", key));
  return stored.filter(isEntry).sort((a, b) => b.time - a.time).slice(0, MAX_ENTRIES);
}

/** @param {Omit<Entry, "time">} picture @returns {boolean} whether it was added */
export function addToHistory(picture) {
  const entry = { ...picture, time: Date.now() };
  if (!isEntry(entry)) return false;
  const oldest = readHistory().map(({ address }) => PREFIX + address);
  // If the storage is full, remove the oldest entries until there is room.
  let stored = write("local", PREFIX + entry.address, entry);
  while (!stored && oldest.length) {
    remove("local", /** @type {string} */ (oldest.pop()));
    stored = write("local", PREFIX + entry.address, entry);
  }
  // Remove what is beyond the limit or invalid.
  const valid = new Set(readHistory().map(({ address }) => PREFIX + address));
  for (const key of keys("local", PREFIX)) if (!valid.has(key)) remove("local", key);
  return stored;
}

export function clearHistory() {
  for (const key of keys("local", PREFIX)) remove("local", key);
}

/** Calls back when another tab changes the history. @param {() => void} listener */
export function onHistoryChange(listener) {
  addEventListener("storage", ({ key }) => (key === null || key.startsWith(PREFIX)) && listener());
}

/** @param {any} entry @returns {entry is Entry} */
function isEntry(entry) {
  return typeof entry === "object" && entry !== null
    && typeof entry.address === "string" && /^\/\?[\w%&=.,+~*-]*$/.test(entry.address)
    && typeof entry.label === "string" && entry.label.length < 80
    && Number.isSafeInteger(entry.seed) && Number.isSafeInteger(entry.time)
    && typeof entry.thumbnail === "string" && entry.thumbnail.length <= MAX_THUMBNAIL_LENGTH
    && /^data:image\/png;base64,[A-Za-z0-9+/]+=*$/.test(entry.thumbnail);
}
