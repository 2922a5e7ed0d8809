// @ts-check
/** The settings of a submission, and the API requests that they make. */
import { activeOptions } from "./sampling-options.js";

/**
 * @typedef {object} Settings
 * @property {string[]} classes     empty: that of the prompt
 * @property {string} prompt        "" without one
 * @property {string[]} styles      empty: another style for each picture
 * @property {number[]} seeds
 * @property {number} count        pictures of each class, style and seed
 * @property {import("./sampling-options.js").OptionValues} options  of sampling
 */

/** The sampling parameters to send: options that are off are omitted. @param {Settings} settings */
export const samplingParameters = ({ options }) => Object.fromEntries(activeOptions(options).map(({ name }) => [name, options[name]]));

/** One request for each class, style and seed, in the order of the contact sheet. @param {Settings} settings @returns {import("./api.js").GenerationRequest[]} */
export function toRequests(settings) {
  const { classes, prompt, styles, seeds, count } = settings;
  /** A value that is undefined is not sent. @param {string[]} list @returns {(string | undefined)[]} */
  const orNone = (list) => (list.length ? list : [undefined]);
  return orNone(classes).flatMap((name) => orNone(styles).flatMap((style) => seeds.map((seed) => ({
    ...(name && { class: name }), ...(prompt && { prompt }), ...(style && { style }), seed, count, ...samplingParameters(settings),
  }))));
}

/** The same, without a seed as long as none is chosen. @param {Settings} settings @returns {import("./code-examples.js").CodeRequest[]} */
export function toCodeRequests(settings) {
  if (settings.seeds.length) return toRequests(settings);
  return toRequests({ ...settings, seeds: [0] }).map(({ seed: _, ...request }) => request);
}

/** @param {Pick<Settings, "classes" | "styles" | "seeds" | "count">} settings */
export const pictureCount = ({ classes, styles, seeds, count }) => Math.max(1, classes.length) * Math.max(1, styles.length) * seeds.length * count;

/** Says what is drawn, in short: the prompt, or the classes. @param {Pick<Settings, "classes" | "prompt">} settings */
export const settingsTitle = ({ classes, prompt }) => prompt || classes.join(", ");
