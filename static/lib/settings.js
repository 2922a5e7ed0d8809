// @ts-check
/** The settings of a submission, and the API requests that they make. */
import { activeOptions } from "./sampling-options.js";

/**
 * @typedef {object} Settings
 * @property {string[]} classes
 * @property {number[]} seeds
 * @property {number} count        pictures of each class and seed
 * @property {import("./sampling-options.js").OptionValues} options  of sampling
 */

/** The sampling parameters to send: options that are off are omitted. @param {Settings} settings */
export const samplingParameters = ({ options }) => Object.fromEntries(activeOptions(options).map(({ name }) => [name, options[name]]));

/** One request for each class and seed, in the order of the contact sheet. @param {Settings} settings @returns {import("./api.js").GenerationRequest[]} */
export function toRequests(settings) {
  const { classes, seeds, count } = settings;
  return classes.flatMap((name) => seeds.map((seed) => ({ class: name, seed, count, ...samplingParameters(settings) })));
}

/** The same, without a seed as long as none is chosen. @param {Settings} settings @returns {import("./code-examples.js").CodeRequest[]} */
export function toCodeRequests(settings) {
  if (settings.seeds.length) return toRequests(settings);
  return toRequests({ ...settings, seeds: [0] }).map(({ seed: _, ...request }) => request);
}

/** @param {Pick<Settings, "classes" | "seeds" | "count">} settings */
export const pictureCount = ({ classes, seeds, count }) => classes.length * seeds.length * count;
