// @ts-check
/** The settings of a submission, and the API requests that they make. */
import { model } from "./model.js";

/**
 * @typedef {object} Settings
 * @property {string[]} classes
 * @property {number[]} seeds
 * @property {number} count        pictures of each class and seed
 * @property {number} guidance
 * @property {number} temperature
 * @property {number} top_k        the number of codes: no limit
 * @property {number} top_p        1: no limit
 */

/** The sampling parameters to send: limits that limit nothing are omitted. @param {Settings} settings */
export function samplingParameters({ guidance, temperature, top_k, top_p }) {
  return {
    guidance,
    temperature,
    ...(top_k < model.codeCount && { top_k }),
    ...(top_p < 1 && { top_p }),
  };
}

/** One request for each class and seed, in the order of the contact sheet. @param {Settings} settings @returns {import("./api.js").GenerationRequest[]} */
export function toRequests(settings) {
  const { classes, seeds, count } = settings;
  return classes.flatMap((name) => seeds.map((seed) => ({ class: name, seed, count, ...samplingParameters(settings) })));
}

/** @param {Settings} settings */
export const pictureCount = ({ classes, seeds, count }) => classes.length * seeds.length * count;
