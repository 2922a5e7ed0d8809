// @ts-check
/** The finished picture: its settings, and buttons to save and copy it. */
import { getAnimation } from "../lib/api.js";
import { copyText, showBriefly } from "../lib/clipboard.js";
import { curlCommand, pythonProgram } from "../lib/code-examples.js";
import { part } from "../lib/dom.js";
import { model, tokensPerStep } from "../lib/model.js";
import { toRequests } from "../lib/settings.js";
import { closeMenu, connectMenus } from "./menu.js";

/**
 * @typedef {import("../lib/run.js").Run} Run
 * @typedef {import("../lib/settings.js").Settings} Settings
 */

/** Pixels of an animation for each pixel of the picture. */
const ANIMATION_SCALE = 10;
/** How long the browser may take to read a saved file. */
const FILE_LIFETIME_MS = 60_000;

export class ResultActions {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.summary = /** @type {HTMLElement} */ (part(root, "result-summary"));
    this.download = /** @type {HTMLAnchorElement} */ (part(root, "download"));
    this.status = /** @type {HTMLElement} */ (part(root, "action-status"));
    this.fallbackText = /** @type {HTMLTextAreaElement} */ (root.querySelector("textarea"));
    this.hint = this.summary.textContent ?? "";
    /** @type {Run | null} */
    this.run = null;
    /** @type {Settings | null} */
    this.settings = null;
    this.index = 0;
    connectMenus(root);
    root.addEventListener("click", (event) => this.#onClick(event));
  }

  /** Disables the actions. @param {string} [hint] */
  clear(hint = this.hint) {
    this.run = null;
    this.#setReady(false);
    this.summary.textContent = hint;
  }

  /** @param {Run} run a completed one @param {Settings} settings @param {number} index of the picture in the viewer */
  show(run, settings, index) {
    this.run = run;
    this.settings = settings;
    this.choose(index);
    this.#setReady(true);
  }

  /** @param {number} index */
  choose(index) {
    if (!this.run || !this.settings) return;
    this.index = index;
    const { label, seed, png } = this.run.pictures[index];
    this.summary.textContent = describeSettings(this.settings, seed);
    this.download.href = png;
    this.download.download = `${fileName(label, seed, this.run.indexInJob(index))}.png`;
  }

  /** @param {boolean} ready */
  #setReady(ready) {
    this.root.dataset.ready = String(ready);
    this.fallbackText.hidden = true;
    for (const summary of this.root.querySelectorAll("summary")) {
      summary.setAttribute("aria-disabled", String(!ready));
      summary.tabIndex = ready ? 0 : -1;
    }
    if (ready) return this.download.removeAttribute("aria-disabled");
    this.download.setAttribute("aria-disabled", "true");
    this.download.removeAttribute("href");
    for (const menu of this.root.querySelectorAll("details")) menu.open = false;
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const button = /** @type {HTMLElement} */ (event.target).closest("button");
    if (!button || !this.run || !this.settings) return;
    const { animation, copy } = button.dataset;
    const menu = button.closest("details");
    if (menu) closeMenu(menu);
    if (animation) this.#saveAnimation(animation);
    if (copy) copyText(this.#textToCopy(copy, this.run, this.settings), this.status, this.fallbackText);
  }

  /** @param {string} format @param {Run} run @param {Settings} settings */
  #textToCopy(format, run, settings) {
    if (format === "curl") return curlCommand(model.name, toRequests(settings));
    if (format === "python") return pythonProgram(model.name, toRequests(settings));
    if (format === "tokens") return JSON.stringify(run.pictures[this.index].steps.slice(1).map(({ tokens }) => tokens));
    return location.href;
  }

  /** The server creates animations as long as it has the run. @param {string} content */
  async #saveAnimation(content) {
    const job = this.run?.jobOf(this.index);
    if (!job?.links) return;
    this.status.textContent = "Creating the animation…";
    const index = this.index - job.firstIndex;
    try {
      const gif = await getAnimation(job.links.self, { which: content, scale: ANIMATION_SCALE, index });
      saveFile(gif, `${fileName(job.request.class, job.request.seed, index)}-${content}.gif`);
      showBriefly(this.status, "Saved.");
    } catch (error) {
      showBriefly(this.status, describeAnimationError(/** @type {{status?: number}} */ (error).status));
    }
  }
}

/** @param {number | undefined} status 0 without a response */
function describeAnimationError(status) {
  if (status === 404) return "The server no longer has this run. Draw it again.";
  return status ? "The server couldn’t create the animation." : "The server can’t be reached.";
}

/** @param {Blob} content @param {string} name */
function saveFile(content, name) {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), FILE_LIFETIME_MS);
}

/** @param {string} label @param {number} seed @param {number} index */
const fileName = (label, seed, index) =>
  `${label.replace(/[^\w-]+/g, "-").toLowerCase()}-${seed}${index ? `-${index + 1}` : ""}`;

/** @param {Settings} settings @param {number} seed */
function describeSettings({ guidance, temperature, top_k, top_p }, seed) {
  return [
    `Seed\u00a0${seed}`,
    `guidance\u00a0${guidance}`,
    `temperature\u00a0${temperature}`,
    ...(top_k < model.codeCount ? [`top-k\u00a0${top_k}`] : []),
    ...(top_p < 1 ? [`top-p\u00a0${top_p}`] : []),
    `${model.stepCount}\u00a0×\u00a0${tokensPerStep}\u00a0tokens`,
  ].join(" · ");
}
