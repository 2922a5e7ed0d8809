// @ts-check
/** What completes a prompt, and random prompts, from the words that the model knows. Loaded when it is first wanted. */
import { getCompletions } from "./api.js";
import { model } from "./model.js";
import { randomItem } from "./seeds.js";

/** Suggestions that are shown at most. */
const LIMIT = 8;
/** The server reads no more characters of a prompt. */
const MAX_PREFIX = 200;
/** Letters with which many words begin. */
const LETTERS = "abcdefghlmoprstw";

/**
 * Prompts that complete a text: names of subjects, then the text with its last word completed. If nothing begins with that
 * word, the text with a similar word in its place.
 * @param {string} text @param {AbortSignal} signal @returns {Promise<{found: string[], similar: boolean}>}
 */
export async function completions(text, signal) {
  if (!/[\p{L}\p{N}]$/u.test(text) || text.length > MAX_PREFIX) return { found: [], similar: false };
  const { subjects, words, similar } = await getCompletions({ model: model.name, prefix: text, limit: LIMIT }, signal);
  const start = text.replace(/[\p{L}\p{N}]+$/u, "");
  const withLast = (/** @type {string[]} */ list) => list.map((word) => start + word);
  const all = similar.length ? withLast(similar) : [...subjects.slice(0, LIMIT - 2), ...withLast(words), ...subjects];
  const found = [...new Set(all)].filter((completion) => completion.toLowerCase() !== text.toLowerCase());
  return { found: found.slice(0, LIMIT), similar: similar.length > 0 };
}

/** The name of a subject that the model knows. Flags are many of the subjects, and alike, so they are left out. @returns {Promise<string>} */
export async function randomSubject() {
  const prefix = randomItem([...LETTERS]);
  const { subjects } = await getCompletions({ model: model.name, prefix, limit: 100 });
  return randomItem(subjects.filter((subject) => !subject.startsWith("flag")));
}
