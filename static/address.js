// @ts-check
/** Settings as the page's address has them, so that a link draws the same picture. */
import { model } from "./model.js";

/**
 * @typedef {object} Settings
 * @property {string[]} classes
 * @property {number[]} seeds
 * @property {number} count        pictures of each class and seed
 * @property {number} guidance
 * @property {number} temperature
 * @property {number} top_k        all codes: no limit
 * @property {number} top_p        1: no limit
 */

/** The codes and shares that limit nothing are left to the server. @param {Settings} settings */
export function sampling({ guidance, temperature, top_k, top_p }) {
  return {
    guidance,
    temperature,
    ...(top_k < model.codes && { top_k }),
    ...(top_p < 1 && { top_p }),
  };
}

/** One body for each class and seed, in the order of the contact sheet. @param {Settings} settings @returns {import("./session.js").Body[]} */
export function bodies(settings) {
  const { classes, seeds, count } = settings;
  return classes.flatMap((name) => seeds.map((seed) => ({ class: name, seed, count, ...sampling(settings) })));
}

/** A view, of another model than the default where that is the case. @param {string} view */
const place = (view) => new URLSearchParams({ ...(view !== "draw" && { view }), ...(!model.isDefault && { model: model.name }) });

/** Whether an address of this page is about the model that is on it. @param {string} address */
export function isOfThisModel(address) {
  const name = new URL(address, location.href).searchParams.get("model");
  return name === null ? model.isDefault : name === model.name;
}

/** A view as it is before anything is set. @param {string} view */
export function bareAddress(view) {
  const query = place(view).toString();
  return query ? `/?${query}` : "/";
}

/** @param {string} view @param {Settings} settings @param {Record<string, string>} [more] */
export function address(view, settings, more = {}) {
  const query = place(view);
  for (const name of settings.classes) query.append("class", name);
  query.append("seed", settings.seeds.join(","));
  query.append("count", String(settings.count));
  for (const [name, value] of Object.entries({ ...sampling(settings), ...more })) query.append(name, String(value));
  return `/?${query}`;
}
