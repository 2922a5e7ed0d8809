// @ts-check
/**
 * The page's token: only who sends it can list and cancel what the page generates. It belongs to this tab, and survives a reload. If
 * the server keeps pictures it belongs to the browser, so that the gallery is the same tomorrow.
 */

import { read, write } from "./storage.js";

const KEY = "rdpm.client";
const BYTES = 16;
const KIND = document.body.dataset.keepsPictures === "true" ? "local" : "session";

/** The token, if the browser doesn't store it. @type {string | undefined} */
let unstored;

/** @param {unknown} value @returns {value is string} */
const isToken = (value) => typeof value === "string" && /^[0-9a-f]{32}$/.test(value);

/** @returns {string} */
export function clientToken() {
  const lasting = read("local", KEY);
  if (isToken(lasting)) return lasting;
  const stored = read("session", KEY);
  if (isToken(stored) && KIND === "session") return stored;
  unstored ??= isToken(stored) ? stored : randomToken();
  write(KIND, KEY, unstored);
  return unstored;
}

/** @returns {string} hexadecimal digits */
function randomToken() {
  const bytes = crypto.getRandomValues(new Uint8Array(BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
