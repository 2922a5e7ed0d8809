// @ts-check
/** The browser's storage, which may be missing, forbidden, full, or hold anything at all. */

/** @param {"local" | "session"} kind @param {string} key @returns {unknown} what was stored, undefined for nothing usable */
export function read(kind, key) {
  try {
    const text = area(kind).getItem(key);
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @param {"local" | "session"} kind @param {string} key @param {unknown} value @returns {boolean} whether it was stored */
export function write(kind, key, value) {
  try {
    area(kind).setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** @param {"local" | "session"} kind @param {string} key */
export function remove(kind, key) {
  try {
    area(kind).removeItem(key);
  } catch {
    // Nothing was kept, then.
  }
}

/** @param {"local" | "session"} kind @param {string} prefix @returns {string[]} the keys that begin with it */
export function keys(kind, prefix) {
  try {
    return Object.keys(area(kind)).filter((key) => key.startsWith(prefix));
  } catch {
    return [];
  }
}

/** @param {"local" | "session"} kind */
const area = (kind) => (kind === "local" ? localStorage : sessionStorage);
