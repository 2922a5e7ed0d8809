// @ts-check
/** The picture that is shown: its settings, and buttons to save, copy and share it. */
import { getAnimation, getImage } from "../lib/api.js";
import { copyText, showBriefly, showUntilReplaced } from "../lib/clipboard.js";
import { part } from "../lib/dom.js";
import { encodeSheet, fileName, saveFile } from "../lib/files.js";
import { decodePng, tokenImage } from "../lib/images.js";
import { model, tokensPerStep } from "../lib/model.js";
import { samplingOptions } from "../lib/sampling-options.js";
import { closeMenu, connectMenus } from "./menu.js";
import { DEFAULT_SCALE, SavePanel } from "./save-panel.js";

/**
 * @typedef {import("../lib/run.js").Run} Run
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
    /** The buttons of the save panel. */
    this.saveButton = /** @type {HTMLButtonElement} */ (part(root, "save"));
    this.copyImageButton = /** @type {HTMLButtonElement} */ (part(root, "copy-image"));
    this.shareButton = /** @type {HTMLButtonElement} */ (part(root, "share"));
    this.editButton = /** @type {HTMLButtonElement} */ (part(root, "edit"));
    /** Only where pictures are drawn from settings. @type {HTMLButtonElement | null} */
    this.interpolateButton = part(root, "interpolate");
    this.shareButton.hidden = !canShareFiles();
    this.status = /** @type {HTMLElement} */ (part(root, "action-status"));
    this.fallbackText = /** @type {HTMLTextAreaElement} */ (root.querySelector("textarea"));
    this.hint = this.summary.textContent ?? "";
    this.panel = new SavePanel(root, () => this.#updateControls());
    /** @type {Run | null} */
    this.run = null;
    this.index = 0;
    this.ready = false;
    /** A file is being created. */
    this.busy = false;
    connectMenus(root);
    root.addEventListener("click", (event) => this.#onClick(event));
    this.#updateControls();
  }

  /** A run has begun: its request can be copied; saving needs the finished pictures. @param {Run} run @param {number} index of the picture in the viewer */
  begin(run, index) {
    this.run = run;
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
    if (!this.run) return;
    this.summary.textContent = describePicture(this.run, index);
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
    for (const button of [this.editButton, this.interpolateButton]) button?.setAttribute("aria-disabled", String(!this.ready));
    if (!this.ready) {
      this.download.removeAttribute("href");
      if (!this.run) this.summary.textContent = this.hint;
    }
    const isAnimation = this.panel.options.what === "animation";
    for (const button of [this.saveButton, this.copyImageButton, this.shareButton]) {
      button.setAttribute("aria-disabled", String(!this.ready || this.busy || (button === this.copyImageButton && isAnimation)));
    }
    this.saveButton.setAttribute("aria-busy", String(this.busy));
    showNote(part(this.root, "save-note"), reason || (isAnimation ? "Browsers can’t copy animations." : ""));
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
    if (button === this.copyImageButton) this.#copyImage(this.panel.options);
    if (button === this.shareButton) this.#share(this.panel.options);
    if (button === this.editButton) this.root.dispatchEvent(new CustomEvent("edit-picture", { bubbles: true, detail: { run: this.run, index: this.index } }));
    if (button === this.interpolateButton) this.root.dispatchEvent(new CustomEvent("interpolate-picture", { bubbles: true, detail: { run: this.run, index: this.index } }));
    const { copy } = /** @type {HTMLElement} */ (button).dataset;
    if (copy && this.run) this.#copyText(copy, this.run);
  }

  get #fileName() {
    const { description, seed } = /** @type {Run} */ (this.run).pictures[this.index];
    return fileName(description, seed, /** @type {Run} */ (this.run).indexInJob(this.index));
  }

  /** @param {string} format @param {Run} run */
  async #copyText(format, run) {
    try {
      copyText(await this.#textToCopy(format, run), this.status, this.fallbackText);
    } catch {
      showBriefly(this.status, "The server can’t be reached.");
    }
  }

  /** @param {string} format @param {Run} run @returns {Promise<string>} */
  async #textToCopy(format, run) {
    if (format === "link") return location.href;
    if (format === "tokens") return JSON.stringify(run.pictures[this.index].steps.slice(1).map(({ tokens }) => tokens));
    const { codeFor } = await import("../lib/code-examples.js");
    const picture = { request: run.jobOf(this.index).request, index: run.indexInJob(this.index), drawn: run.pictures[this.index] };
    return codeFor(format, { pictures: [picture], scale: DEFAULT_SCALE });
  }

  /** @param {SaveOptions} options */
  #save(options) {
    const message = options.what === "animation" ? "Creating the animation…" : "Creating the file…";
    return this.#whileBusy(message, options.what, async (run) => {
      const { file, name } = await this.#create(run, options);
      saveFile(file, name);
      return `Saved ${name}.`;
    });
  }

  /** Browsers copy PNG pictures only. @param {SaveOptions} options */
  #copyImage(options) {
    return this.#whileBusy("Copying…", options.what, async (run) => {
      // The clipboard takes the promise: a click allows copying only until the next wait.
      const png = this.#create(run, { ...options, format: "png" }).then(({ file }) => file);
      try {
        await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
      } catch {
        return "This browser doesn’t allow copying pictures. Save it instead.";
      }
      return "Copied the picture.";
    });
  }

  /** Gives the file and its link to another app. @param {SaveOptions} options */
  #share(options) {
    return this.#whileBusy("Creating the file…", options.what, async (run) => {
      const { file, name } = await this.#create(run, options);
      const data = { files: [new File([file], name, { type: file.type })], title: document.title, url: location.href };
      try {
        await navigator.share(navigator.canShare(data) ? data : { files: data.files });
      } catch (error) {
        return /** @type {Error} */ (error).name === "AbortError" ? "" : "This browser couldn’t share the file. Save it instead.";
      }
      return "Shared.";
    });
  }

  /** Busy until the file is there. @param {string} message @param {string} what @param {(run: Run) => Promise<string>} action returns what happened */
  async #whileBusy(message, what, action) {
    if (!this.run || !this.ready || this.busy) return;
    this.busy = true;
    this.#updateControls();
    showUntilReplaced(this.status, message);
    try {
      showBriefly(this.status, await action(this.run));
    } catch (error) {
      showBriefly(this.status, describeError(what, /** @type {{status?: number}} */ (error).status));
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

/** Whether the browser can give files to other apps; most do on phones only. */
const canShareFiles = () => Boolean(navigator.canShare?.({ files: [new File([], "picture.png", { type: "image/png" })] }));

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

/** @param {Run} run @param {number} index */
function describePicture(run, index) {
  const { request } = run.jobOf(index);
  const { label, subject, style, seed } = run.pictures[index];
  const count = run.pictures.length;
  return [
    ...(count > 1 ? [`Picture\u00a0${index + 1}\u00a0of\u00a0${count}`] : []),
    ...(style ? [subject, `${style}\u00a0style`] : count > 1 ? [label] : []),
    `Seed\u00a0${seed}`,
    ...(request.count > 1 ? [`no.\u00a0${run.indexInJob(index) + 1}`] : []),
    ...samplingOptions.filter(({ name }) => request[name] !== undefined).map(({ name, label }) => `${label.toLowerCase()}\u00a0${request[name]}`),
    `${model.stepCount}\u00a0×\u00a0${tokensPerStep}\u00a0tokens`,
  ].join(" · ");
}
