// @ts-check
/** Opens a picture that the server keeps in a view, with its steps: nothing is drawn again. Loaded when the first is opened. */
import { settingsAddress, viewAddress } from "./address.js";
import { GENERATIONS, getGeneration, getPicture, ROOT, send } from "./api.js";
import { model } from "./model.js";
import { readProvenance } from "./png-text.js";
import { Run } from "./run.js";
import { optionValues } from "./sampling-options.js";
import { toRequests } from "./settings.js";

/**
 * @typedef {"draw" | "edit" | "compare"} TargetView
 * @typedef {{generation: string, index: number, view: TargetView}} Opened
 */

const DERIVED = "This picture was made from another picture or from given tokens. Its address alone draws a different one.";
const ONE_OF_SEVERAL = "Compare draws the first picture of a seed; the one that you opened is a later one.";

/**
 * Fetches what a view needs to show a picture.
 * @param {Opened} opened
 * @param {import("../views/draw.js").DrawView} drawView
 * @returns {Promise<() => Promise<void>>} shows it
 */
export async function loadServerPicture(opened, drawView) {
  const { index, view } = opened;
  const { page } = drawView;
  const generation = /** @type {any} */ (await getGeneration(`${GENERATIONS}/${opened.generation}`));
  if (generation.model !== model.name) {
    return async () => drawView.openOnPageOf(generation.model, opened);
  }
  const settings = settingsOf(generation);
  if (view === "compare") {
    return async () => {
      await page.openAddress(settingsAddress("compare", { ...settings, count: 1 }));
      page.showNotice(index + (generation.index ?? 0) > 0 ? ONE_OF_SEVERAL : "");
    };
  }
  const isDerived = generation.from_step !== undefined || (await isMadeFromOthers(opened));
  const run = await runOf(generation, settings, isDerived && view === "edit" ? index : -1);
  if (view === "edit") {
    await finish(run);
    return async () => {
      document.dispatchEvent(new CustomEvent("edit-picture", { detail: { run, index } }));
    };
  }
  return async () => {
    await page.openAddress(viewAddress("draw"));
    await drawView.showRun(run, index, settings);
    page.showNotice(isDerived ? DERIVED : "");
  };
}

/** The settings that asked for a generation. @param {any} generation @returns {import("./settings.js").Settings} */
function settingsOf(generation) {
  const { class: name, prompt = "", style, seed, count } = generation;
  return {
    classes: name ? [name] : [],
    prompt,
    styles: style ? [style] : [],
    seeds: [seed],
    count,
    options: optionValues(({ name: option, default: value, off }) => generation[option] ?? off ?? value),
  };
}

/** A generation as a run, to be followed. @param {any} generation @param {import("./settings.js").Settings} settings @param {number} editedIndex of a picture whose tokens and noise are needed; -1 for none */
async function runOf(generation, settings, editedIndex) {
  const { links, subjects, styles, unknown_words, index, from_step } = generation;
  const [request] = toRequests(settings);
  /** @type {import("./api.js").GenerationRequest} */
  const body = { ...request, ...(index !== undefined && { index }), ...(from_step !== undefined && { from_step }) };
  if (editedIndex >= 0) body.tokens = await send(`${links.self}/images/${editedIndex}.json`);
  return Run.restore({ jobs: [{ body, links, told: { subjects, styles, unknown_words } }], ended: true });
}

/** @param {Opened} opened */
async function isMadeFromOthers({ generation, index }) {
  const file = await getPicture(`${ROOT}/api/v1/gallery/${generation}/${index}/image.png`);
  return Boolean(readProvenance(await file.arrayBuffer())?.is_derived);
}

/** Follows a run to its end. @param {Run} run @returns {Promise<void>} */
function finish(run) {
  return new Promise((resolve, reject) => {
    run.subscribe({
      onState() {
        if (run.state === "completed") resolve();
        else if (run.ended) reject(new Error(run.detail || "The server no longer has the steps of this picture."));
      },
    });
    run.start();
  });
}
