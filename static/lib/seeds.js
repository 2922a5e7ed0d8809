// @ts-check
/** Seeds: random ones, and lists of seeds as people type them. */
import { model } from "./model.js";

/** Random seeds are short enough to read aloud; a typed seed may be larger. */
const RANDOM_SEEDS = 1_000_000;

export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % RANDOM_SEEDS;

/** A random entry of a list. @template T @param {T[]} list @returns {T} */
export const randomItem = (list) => list[Math.floor(Math.random() * list.length)];

/** Parses `7`, `7, 8, 12`, `7–10`. @param {string} text @param {number} max @returns {{seeds: number[], error: string}} */
export function parseSeeds(text, max) {
  /** @type {number[]} */
  const seeds = [];
  for (const item of text.split(/[\s,;]+/).filter(Boolean)) {
    const match = /^(\d{1,16})(?:[-–](\d{1,16}))?$/.exec(item);
    const [from, to] = match ? [Number(match[1]), Number(match[2] ?? match[1])] : [1, 0];
    if (from > to || to > max) {
      return { seeds: [], error: `“${item.slice(0, 24)}” isn’t a seed. Enter whole numbers up to ${max}, several as 7, 8 or 7–10.` };
    }
    if (to - from >= model.maxPictures) return { seeds: [], error: `${item} makes ${to - from + 1} seeds; the limit is ${model.maxPictures} pictures.` };
    for (let seed = from; seed <= to; seed++) seeds.push(seed);
  }
  return { seeds, error: seeds.length ? "" : "Enter a seed." };
}
