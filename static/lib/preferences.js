// @ts-check
/** What this browser remembers for each model: the last settings that the user submitted, and how the viewer shows steps. */
import { model } from "./model.js";
import { read, write } from "./storage.js";

/**
 * @typedef {object} Preferences
 * @property {string[]} classes
 * @property {Record<string, number>} numbers  values of number fields, by name
 * @property {string} speed
 * @property {string} colorMode
 * @property {boolean} showNumbers
 */

const KEY = `rdpm.preferences.${model.name}`;

/** The valid ones of the stored preferences. @returns {Partial<Preferences>} */
export function readPreferences() {
  const stored = /** @type {any} */ (read("local", KEY));
  if (typeof stored !== "object" || stored === null) return {};
  const { classes, numbers, speed, colorMode, showNumbers } = stored;
  return {
    ...(Array.isArray(classes) && { classes: classes.filter((name) => typeof name === "string") }),
    ...(typeof numbers === "object" && numbers !== null && { numbers: Object.fromEntries(Object.entries(numbers).filter(([, value]) => Number.isFinite(value))) }),
    ...(typeof speed === "string" && { speed }),
    ...(typeof colorMode === "string" && { colorMode }),
    ...(typeof showNumbers === "boolean" && { showNumbers }),
  };
}

/** @param {Partial<Preferences>} changes */
export function writePreferences(changes) {
  write("local", KEY, { ...readPreferences(), ...changes });
}
