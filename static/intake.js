// @ts-check
/** Ways to give a picture: drop, paste, choose, draw, or take one of the model's own. */
import { fill } from "./fields.js";
import { model } from "./model.js";

/** Larger pictures are scaled down before they are sent; the model's are far smaller still. */
const LARGEST_SIDE = 512;
/** Light on black as in pictures of grey, or any colour on paper. */
const GROUND = model.channels === 1 ? "#000" : "#fff";
const INK = "#e8e8e8";
/** Encoding follows the pen at this distance. */
const PAUSE_MS = 350;

/** @typedef {{data: string, note: string}} Given  a PNG's data URL, and a sentence about where it is from */

export class Intake {
  /** @param {HTMLElement} root @param {{onPicture: (given: Given) => void, onTrouble: (sentence: string) => void}} events */
  constructor(root, { onPicture, onTrouble }) {
    this.root = root;
    this.onPicture = onPicture;
    this.onTrouble = onTrouble;
    /** @param {string} name @returns {any} */
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.drop = /** @type {HTMLElement} */ (part("drop"));
    this.file = /** @type {HTMLInputElement} */ (part("file"));
    this.sketch = /** @type {HTMLCanvasElement} */ (part("sketch"));
    this.brush = /** @type {HTMLInputElement} */ (part("brush"));
    this.ink = /** @type {HTMLInputElement | null} */ (part("ink"));
    this.pen = /** @type {CanvasRenderingContext2D} */ (this.sketch.getContext("2d"));
    this.timer = 0;
    this.#bring();
    this.#draw(part("clear"));
  }

  #bring() {
    this.file.addEventListener("change", () => {
      this.#take(this.file.files?.[0]);
      // The same file may be chosen again.
      this.file.value = "";
    });
    // A file that misses the frame must not replace the page.
    for (const name of /** @type {const} */ (["dragover", "drop"])) {
      document.addEventListener(name, (event) => {
        if (document.body.dataset.view !== "tokenize") return;
        event.preventDefault();
        this.drop.dataset.over = String(name === "dragover");
        if (name === "drop") this.#take(event.dataTransfer?.files[0], "What was dropped is no file.");
      });
    }
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) this.drop.dataset.over = "false";
    });
    document.addEventListener("paste", (event) => {
      if (document.body.dataset.view !== "tokenize") return;
      if (/** @type {HTMLElement} */ (event.target).closest?.("input, textarea") && !event.clipboardData?.files.length) return;
      this.#take(event.clipboardData?.files[0], "The clipboard holds no picture.");
    });
    this.root.addEventListener("click", (event) => {
      const url = /** @type {HTMLElement} */ (event.target).closest("[data-sample]")?.getAttribute("data-sample");
      if (url) this.#fetch(url);
    });
  }

  /** @param {string} url */
  async #fetch(url) {
    try {
      const response = await fetch(url);
      if (!response.ok) throw new Error(String(response.status));
      await this.#read(await response.blob(), "One of the model’s own.");
    } catch {
      this.onTrouble("That picture couldn’t be fetched. Is the server still running?");
    }
  }

  /** @param {File | undefined} file @param {string} [otherwise] */
  async #take(file, otherwise) {
    if (!file) return otherwise && this.onTrouble(otherwise);
    try {
      await this.#read(file, "");
    } catch {
      const name = file.name.length > 40 ? `${file.name.slice(0, 40)}…` : file.name;
      this.onTrouble(`“${name}” is no picture that this browser can read. PNG, JPEG, WebP, GIF and BMP will do.`);
    }
  }

  /** @param {Blob} blob @param {string} note */
  async #read(blob, note) {
    const bitmap = await createImageBitmap(blob);
    const { width, height } = bitmap;
    const scale = Math.min(1, LARGEST_SIDE / Math.max(width, height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    this.onPicture({ data: canvas.toDataURL("image/png"), note: note || `From ${width} × ${height} pixels.` });
  }

  /** @param {HTMLButtonElement} clear */
  #draw(clear) {
    const { sketch, pen, brush } = this;
    const blank = () => {
      pen.fillStyle = GROUND;
      pen.fillRect(0, 0, sketch.width, sketch.height);
    };
    blank();
    fill(brush);
    brush.addEventListener("input", () => fill(brush));
    clear.addEventListener("click", blank);
    /** @param {PointerEvent} event @returns {[number, number]} */
    const at = (event) => {
      const box = sketch.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * sketch.width, ((event.clientY - box.top) / box.height) * sketch.height];
    };
    /** @type {[number, number] | null} */
    let last = null;
    sketch.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      // A pointer that leaves the canvas goes on drawing when it comes back. One that is made up can't be captured.
      if (event.isTrusted) sketch.setPointerCapture(event.pointerId);
      last = at(event);
      this.#stroke(last, last);
    });
    sketch.addEventListener("pointermove", (event) => {
      if (!last) return;
      const next = at(event);
      this.#stroke(last, next);
      last = next;
    });
    for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) {
      sketch.addEventListener(name, () => {
        last = null;
      });
    }
  }

  /** @param {[number, number]} from @param {[number, number]} to */
  #stroke(from, to) {
    const { pen, sketch } = this;
    pen.strokeStyle = this.ink?.value ?? INK;
    pen.lineWidth = (sketch.width / 28) * (0.6 + Number(this.brush.value));
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
    clearTimeout(this.timer);
    this.timer = window.setTimeout(
      () => this.onPicture({ data: sketch.toDataURL("image/png"), note: "Drawn by hand." }),
      PAUSE_MS,
    );
  }
}
