// @ts-check
/** This tab's token: only who sends it can list and cancel what the page generates. Reloading the page keeps it. */

import { read, write } from "./storage.js";

const KEY = "rdpm.client";
const BYTES = 16;

/** The token, if the browser doesn't store it. @type {string | undefined} */
let unstored;

/** @returns {string} */
export function clientToken() {
  const stored = read("session", KEY);
  if (typeof stored === "string" && /^[0-9a-f]{32}$/.test(stored)) return stored;
  unstored ??= randomToken();
  write("session", KEY, unstored);
  return unstored;
}

/** @returns {string} hexadecimal digits */
function randomToken() {
  const bytes = crypto.getRandomValues(new Uint8Array(BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
