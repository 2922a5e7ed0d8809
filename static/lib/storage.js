// @ts-check
/** The browser's storage. It may be missing, forbidden or full, and it may hold anything. */

/** @param {"local" | "session"} kind @param {string} key @returns {unknown} undefined if nothing is stored or it isn't JSON */
export function read(kind, key) {
  try {
    const text = storage(kind).getItem(key);
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @param {"local" | "session"} kind @param {string} key @param {unknown} value @returns {boolean} whether it was stored */
export function write(kind, key, value) {
  try {
    storage(kind).setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** @param {"local" | "session"} kind @param {string} key */
export function remove(kind, key) {
  try {
    storage(kind).removeItem(key);
  } catch {
    // Without a storage there is nothing to remove.
  }
}

/** The keys that begin with a prefix. @param {"local" | "session"} kind @param {string} prefix @returns {string[]} */
export function keys(kind, prefix) {
  try {
    return Object.keys(storage(kind)).filter((key) => key.startsWith(prefix));
  } catch {
    return [];
  }
}

/** @param {"local" | "session"} kind */
const storage = (kind) => (kind === "local" ? localStorage : sessionStorage);
