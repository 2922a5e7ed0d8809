// @ts-check
/** Ways to give a picture: drop, paste or choose a file, draw one, or take an example. */
import { getPicture } from "../lib/api.js";
import { part } from "../lib/dom.js";
import { SketchPad } from "./sketch-pad.js";

/** Larger pictures are scaled down before they are sent; the model's own are far smaller. */
const MAX_SIDE = 512;
/** Longer file names are cut. */
const MAX_NAME_LENGTH = 40;

/** @typedef {{dataUrl: string, note: string}} InputImage  a PNG, and a sentence about its origin */

export class ImageInput {
  /**
   * @param {HTMLElement} root
   * @param {object} events
   * @param {(image: InputImage) => void} events.onImage
   * @param {(error: string) => void} events.onError          also shown beside the buttons
   * @param {() => boolean} events.isActive   whether files dropped and pasted anywhere on the page are meant
   */
  constructor(root, { onImage, onError, isActive }) {
    this.root = root;
    this.error = /** @type {HTMLElement} */ (root.querySelector("#file-error"));
    this.onImage = (/** @type {InputImage} */ image) => {
      this.error.hidden = true;
      onImage(image);
    };
    this.onError = (/** @type {string} */ error) => {
      this.error.textContent = error;
      this.error.hidden = false;
      onError(error);
    };
    this.isActive = isActive;
    this.dropZone = /** @type {HTMLElement} */ (part(root, "drop-zone"));
    this.file = /** @type {HTMLInputElement} */ (part(root, "file"));
    this.sketchPad = new SketchPad(root, (dataUrl) => this.onImage({ dataUrl, note: "Drawn by hand." }));
    this.#listen();
  }

  #listen() {
    for (const input of [this.file, /** @type {HTMLInputElement} */ (part(this.root, "camera"))]) {
      input.addEventListener("change", () => {
        const file = input.files?.[0];
        if (file) this.#readFile(file);
        // So that the same file can be chosen again.
        input.value = "";
      });
    }
    // A file dropped beside the frame must not replace the page.
    for (const name of /** @type {const} */ (["dragover", "drop"])) {
      document.addEventListener(name, (event) => {
        if (!this.isActive()) return;
        event.preventDefault();
        this.dropZone.dataset.over = String(name === "dragover");
        if (name === "drop") this.#readTransfer(event.dataTransfer, "Drop a picture file.");
      });
    }
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) this.dropZone.dataset.over = "false";
    });
    document.addEventListener("paste", (event) => {
      if (!this.isActive()) return;
      const intoField = /** @type {HTMLElement} */ (event.target).closest?.("input, textarea");
      if (intoField && !event.clipboardData?.files.length) return;
      this.#readTransfer(event.clipboardData, "The clipboard contains no picture.");
    });
    this.root.addEventListener("click", (event) => {
      const url = /** @type {HTMLElement} */ (event.target).closest("[data-example]")?.getAttribute("data-example");
      if (url) this.#loadExample(url);
    });
  }

  /** @param {string} url */
  async #loadExample(url) {
    try {
      await this.#readBlob(await getPicture(url), "An example of the class.");
    } catch {
      this.onError("The example couldn’t be loaded. Check that the server is running, then try again.");
    }
  }

  /** @param {DataTransfer | null} transfer @param {string} error shown if it holds no file */
  #readTransfer(transfer, error) {
    const file = transfer?.files[0];
    if (file) this.#readFile(file);
    else this.onError(error);
  }

  /** @param {File} file */
  async #readFile(file) {
    try {
      await this.#readBlob(file);
    } catch {
      const name = file.name.length > MAX_NAME_LENGTH ? `${file.name.slice(0, MAX_NAME_LENGTH)}…` : file.name;
      this.onError(`This browser can’t read “${name}” as a picture. Use PNG, JPEG, WebP, GIF or BMP.`);
    }
  }

  /** @param {Blob} blob @param {string} [note] */
  async #readBlob(blob, note) {
    const bitmap = await createImageBitmap(blob);
    const { width, height } = bitmap;
    const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    this.onImage({ dataUrl: canvas.toDataURL("image/png"), note: note ?? `Scaled from ${width} × ${height} pixels.` });
  }
}
