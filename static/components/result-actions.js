// @ts-check
/** The picture that is shown: its settings, and buttons to save and copy it. */
import { getAnimation, getImage } from "../lib/api.js";
import { copyText, showBriefly, showUntilReplaced } from "../lib/clipboard.js";
import { curlCommand, pythonProgram } from "../lib/code-examples.js";
import { part } from "../lib/dom.js";
import { encodeSheet, saveFile } from "../lib/files.js";
import { decodePng, tokenImage } from "../lib/images.js";
import { model, tokensPerStep } from "../lib/model.js";
import { activeOptions } from "../lib/sampling-options.js";
import { closeMenu, connectMenus } from "./menu.js";
import { DEFAULT_SCALE, SavePanel } from "./save-panel.js";

/**
 * @typedef {import("../lib/run.js").Run} Run
 * @typedef {import("../lib/settings.js").Settings} Settings
 * @typedef {import("./save-panel.js").SaveOptions} SaveOptions
 * @typedef {import("../lib/files.js").PictureFormat} PictureFormat
 */

const NO_PICTURE = "Press Draw first.";
const NOT_FINISHED = "Available when the picture is finished.";

export class ResultActions {
  /** @param {HTMLElement} root @param {() => number} shownStep the step that the viewer shows */
  constructor(root, shownStep) {
    this.root = root;
    this.shownStep = shownStep;
    this.summary = /** @type {HTMLElement} */ (part(root, "result-summary"));
    this.download = /** @type {HTMLAnchorElement} */ (part(root, "download"));
    this.saveButton = /** @type {HTMLButtonElement} */ (part(root, "save"));
    this.status = /** @type {HTMLElement} */ (part(root, "action-status"));
    this.fallbackText = /** @type {HTMLTextAreaElement} */ (root.querySelector("textarea"));
    this.hint = this.summary.textContent ?? "";
    this.panel = new SavePanel(root);
    /** @type {Run | null} */
    this.run = null;
    /** @type {Settings | null} */
    this.settings = null;
    this.index = 0;
    this.ready = false;
    /** A file is being created. */
    this.busy = false;
    connectMenus(root);
    root.addEventListener("click", (event) => this.#onClick(event));
    this.#updateControls();
  }

  /** A run has begun: its request can be copied; saving needs the finished pictures. @param {Run} run @param {Settings} settings @param {number} index of the picture in the viewer */
  begin(run, settings, index) {
    this.run = run;
    this.settings = settings;
    this.ready = false;
    this.fallbackText.hidden = true;
    this.panel.setCount(run.pictures.length);
    this.choose(index);
    this.#updateControls();
  }

  /** All pictures of the run are finished. */
  finish() {
    this.ready = true;
    this.choose(this.index);
    this.#updateControls();
  }

  /** The run ended without pictures. */
  clear() {
    this.ready = false;
    this.#updateControls();
  }

  /** @param {number} index of the picture in the viewer */
  choose(index) {
    this.index = index;
    if (!this.run || !this.settings) return;
    this.summary.textContent = describePicture(this.run, this.settings, index);
    const { png } = this.run.pictures[index];
    if (!this.ready || !png) return;
    // The link holds the picture in its own size; a click saves a larger one.
    this.download.href = png;
    this.download.download = `${this.#fileName}.png`;
  }

  /** Saves the picture that is shown, large enough to look at. */
  savePicture() {
    this.#save({ what: "picture", content: "clean", format: "png", scale: DEFAULT_SCALE });
  }

  /** What can't be done yet is disabled and says why. */
  #updateControls() {
    this.root.dataset.ready = String(this.ready);
    const reason = this.ready ? "" : this.run ? NOT_FINISHED : NO_PICTURE;
    this.download.setAttribute("aria-disabled", String(!this.ready));
    this.download.title = reason;
    if (!this.ready) {
      this.download.removeAttribute("href");
      if (!this.run) this.summary.textContent = this.hint;
    }
    this.saveButton.setAttribute("aria-disabled", String(!this.ready || this.busy));
    this.saveButton.setAttribute("aria-busy", String(this.busy));
    showNote(part(this.root, "save-note"), reason);
    const buttons = /** @type {HTMLElement[]} */ ([...this.root.querySelectorAll("[data-copy]")]);
    for (const button of buttons) {
      const available = this.ready || (this.run && button.dataset.copy !== "tokens");
      button.setAttribute("aria-disabled", String(!available));
    }
    showNote(part(this.root, "copy-note"), this.run && !this.ready ? "Tokens: available when the picture is finished." : reason);
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const button = /** @type {HTMLElement} */ (event.target).closest("button, [data-part=download]");
    if (!button) return;
    if (button === this.download) event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    const menu = button.closest("details");
    if (menu) closeMenu(menu);
    if (button === this.download) this.savePicture();
    if (button === this.saveButton) this.#save(this.panel.options);
    const { copy } = /** @type {HTMLElement} */ (button).dataset;
    if (copy && this.run) copyText(this.#textToCopy(copy, this.run), this.status, this.fallbackText);
  }

  get #fileName() {
    const { label, seed } = /** @type {Run} */ (this.run).pictures[this.index];
    return fileName(label, seed, /** @type {Run} */ (this.run).indexInJob(this.index));
  }

  /** @param {string} format @param {Run} run */
  #textToCopy(format, run) {
    const { request } = run.jobOf(this.index);
    const picture = { request, index: run.indexInJob(this.index), fileName: this.#fileName, scale: DEFAULT_SCALE };
    if (format === "curl") return curlCommand(model.name, picture);
    if (format === "python") return pythonProgram(model.name, picture);
    if (format === "tokens") return JSON.stringify(run.pictures[this.index].steps.slice(1).map(({ tokens }) => tokens));
    return location.href;
  }

  /** Busy until the file is there. @param {SaveOptions} options */
  async #save(options) {
    if (!this.run || !this.ready || this.busy) return;
    this.busy = true;
    this.#updateControls();
    showUntilReplaced(this.status, options.what === "animation" ? "Creating the animation…" : "Creating the file…");
    try {
      const { file, name } = await this.#create(this.run, options);
      saveFile(file, name);
      showBriefly(this.status, `Saved ${name}.`);
    } catch (error) {
      showBriefly(this.status, describeError(options.what, /** @type {{status?: number}} */ (error).status));
    } finally {
      this.busy = false;
      this.#updateControls();
    }
  }

  /** @param {Run} run @param {SaveOptions} options @returns {Promise<{file: Blob, name: string}>} */
  async #create(run, { what, content, format, scale }) {
    const step = Math.max(1, this.shownStep());
    const isFinal = content !== "tokens" && (content === "clean" || step === model.stepCount);
    const suffix = isFinal ? "" : `-${content}${what === "animation" ? "" : `-step-${step}`}`;
    const stillFormat = /** @type {PictureFormat} */ (format);
    if (what === "sheet") {
      const images = await Promise.all(run.pictures.map((picture) => stillImage(picture, content, step)));
      return { file: await encodeSheet(images, scale * model.imageSize, stillFormat), name: `${this.#fileName}-sheet${suffix}.${format}` };
    }
    const job = run.jobOf(this.index);
    const index = this.index - job.firstIndex;
    if (what === "animation") {
      const file = await getAnimation(job.links?.self ?? "", { which: content, scale, index, format });
      return { file, name: `${this.#fileName}-${content}.${format}` };
    }
    const name = `${this.#fileName}${suffix}.${format}`;
    // The server's file contains the settings. It has the run for a while only; then the browser scales the picture.
    const fromServer = isFinal && job.links ? await getImage(job.links.self, { index, format, scale }).catch(() => null) : null;
    if (fromServer) return { file: fromServer, name };
    const image = await stillImage(run.pictures[this.index], content, step);
    return { file: await encodeSheet([image], scale * model.imageSize, stillFormat), name };
  }
}

/** A clean picture is the finished one; the others are those of a step. @param {import("../lib/picture.js").Picture} picture @param {import("./sheet.js").Content} content @param {number} step @returns {Promise<CanvasImageSource>} */
async function stillImage({ steps, lastStep, png }, content, step) {
  if (content === "clean") return decodePng(png);
  const data = steps[Math.min(step, lastStep)];
  return content === "tokens" ? tokenImage(data.tokens) : data.noisy;
}

/** @param {HTMLElement} note @param {string} text */
function showNote(note, text) {
  note.textContent = text;
  note.hidden = !text;
}

/** @param {string} what @param {number | undefined} status 0 without a response */
function describeError(what, status) {
  if (what !== "animation") return "The file couldn’t be created.";
  if (status === 404) return "The server no longer has this run. Draw it again.";
  return status ? "The server couldn’t create the animation." : "The server can’t be reached.";
}

/** @param {string} label @param {number} seed @param {number} index */
const fileName = (label, seed, index) =>
  `${label.replace(/[^\w-]+/g, "-").toLowerCase()}-${seed}${index ? `-${index + 1}` : ""}`;

/** @param {Run} run @param {Settings} settings @param {number} index */
function describePicture(run, { options }, index) {
  const { label, seed } = run.pictures[index];
  const count = run.pictures.length;
  return [
    ...(count > 1 ? [`Picture\u00a0${index + 1}\u00a0of\u00a0${count}`, label] : []),
    `Seed\u00a0${seed}`,
    ...(run.jobOf(index).request.count > 1 ? [`no.\u00a0${run.indexInJob(index) + 1}`] : []),
    ...activeOptions(options).map(({ name, label }) => `${label.toLowerCase()}\u00a0${options[name]}`),
    `${model.stepCount}\u00a0×\u00a0${tokensPerStep}\u00a0tokens`,
  ].join(" · ");
}
