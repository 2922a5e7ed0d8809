// @ts-check
/** The walk through the idea. Its figures are drawn when it is opened: one new picture, and that picture's own tokens. */
import { tokenize } from "./api.js";
import { css, entropyColor } from "./colors.js";
import { percent } from "./inspector.js";
import { model } from "./model.js";
import { decode, gridPicture, PictureCanvas } from "./pictures.js";
import { toFrame } from "./run.js";
import { Session } from "./session.js";
import { tokenPicture } from "./sheet.js";
import { Status } from "./status.js";
import { difference } from "./tokenize.js";

/** Any would do; with these the figures show something plain. */
const SEED = 7;
const CLASS = 7;
/** The step whose guesses are shown: one in the middle. */
const STEP = Math.ceil(model.steps / 2);

export class HowView {
  running = false;

  /** @param {import("./main.js").Desk} desk */
  constructor(desk) {
    this.root = /** @type {HTMLElement} */ (document.getElementById("how"));
    this.status = new Status(this.root, () => this.enter());
    const { classes } = desk.form;
    this.class = (classes[CLASS] ?? classes[0]).value;
    /** @type {Record<string, PictureCanvas[]>} */
    this.films = Object.fromEntries(["path", "grids", "entropies", "noisy", "clean"].map((name) => [name, film(this.#part(name))]));
    this.#codebook(this.#part("codebook"));
    /** @type {Session | null} */
    this.session = null;
  }

  submit() {}

  cancel() {}

  /** @param {string} name @returns {any} */
  #part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  /** Draws the figures, once. */
  enter() {
    if (this.session && !["failed", "gone", "canceled"].includes(this.session.state)) return;
    const session = new Session([{ class: this.class, seed: SEED, count: 1, ...this.#defaults() }], {
      onState: () => this.#follow(session),
      onStep: () => this.#showSteps(session.pictures[0]),
    });
    this.session = session;
    session.start(model.name);
  }

  #defaults() {
    const [guidance, temperature] = ["guidance", "temperature"].map((id) =>
      Number(/** @type {HTMLInputElement} */ (document.getElementById(id)).dataset.default));
    return { guidance, temperature };
  }

  /** @param {Session} session */
  #follow(session) {
    if (session.state !== "completed") return this.status.follow(session, "The figures are being drawn.");
    this.#showForward(session.pictures[0].result)
      .then(() => this.status.say("completed", `Figures: ${this.class}, seed ${SEED}, drawn in ${session.seconds.toFixed(1)} s.`))
      .catch((error) => {
        this.session = null;
        this.status.fail(`The first three figures are missing: ${error.message}`);
      });
  }

  /** The backward side. @param {import("./run.js").Picture} picture */
  #showSteps({ frames }) {
    frames.forEach((frame, step) => {
      this.films.noisy[step - 1].show(frame.noisy, 200);
      this.films.clean[step - 1].show(frame.clean, 200);
      const colors = (frame.entropy ?? []).flat().map((bits) => entropyColor(bits / model.bits));
      this.films.entropies[step - 1].show(gridPicture(colors, model.grid, model.imageSize), 200);
    });
    this.#showGuess(frames[STEP]);
  }

  /** What the model thought of the middle position. @param {import("./run.js").Frame | undefined} frame */
  #showGuess(frame) {
    const middle = Math.floor(model.grid / 2);
    const codes = frame?.alternatives?.codes[middle][middle] ?? [];
    const probabilities = frame?.alternatives?.probabilities[middle][middle] ?? [];
    const drawn = frame?.tokens[middle][middle];
    this.#part("guess").replaceChildren(...codes.map((code, i) => {
      const item = document.createElement("li");
      const [swatch, name, share, value] = ["i", "span", "span", "span"].map((tag) => document.createElement(tag));
      swatch.className = "swatch";
      swatch.style.setProperty("--code", css(model.colors[code]));
      name.textContent = `Code ${code}${code === drawn ? ", drawn" : ""}`;
      share.className = "share";
      share.style.setProperty("--value", `${(100 * probabilities[i]) / Math.max(...probabilities)}%`);
      value.className = "percent";
      value.textContent = percent(probabilities[i]);
      item.append(swatch, name, share, value);
      return item;
    }));
  }

  /** The forward side, of the picture just drawn. @param {string} image */
  async #showForward(image) {
    const { steps } = await tokenize({ model: model.name, image, seed: SEED + 1 });
    const [original, ...frames] = await Promise.all([decode(image), ...steps.map(toFrame)]);
    const errors = frames.map(({ clean }) => difference(clean, /** @type {ImageBitmap} */ (original)));
    frames.forEach((frame, i) => {
      this.films.path[i].show(frame.noisy, 200);
      this.films.grids[i].show(tokenPicture(frame), 200);
    });
    const curve = this.#part("curve");
    curve.replaceChildren(...errors.map((error) => {
      const bar = document.createElement("i");
      bar.style.setProperty("--value", `${(100 * error) / Math.max(...errors)}%`);
      return bar;
    }));
    const [first, last] = [errors[0], errors[errors.length - 1]].map((error) => `${(100 * error).toFixed(1)} %`);
    this.#part("curve-caption").textContent =
      `How far the picture without its noise is from the original: ${first} after the first step, ${last} after the last (rms).`;
  }

  /** All codes, ordered by lightness and hue so that the eye can take them in. @param {HTMLCanvasElement} canvas */
  #codebook(canvas) {
    const rows = canvas.height;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const byHue = [...model.colors].sort((a, b) => hue(a) - hue(b));
    byHue.forEach((color, i) => {
      context.fillStyle = css(color);
      context.fillRect(Math.floor(i / rows), i % rows, 1, 1);
    });
  }
}

/** @param {import("./colors.js").Rgb} color */
const hue = ([r, g, b]) => Math.atan2(Math.sqrt(3) * (g - b), 2 * r - g - b);

/** @param {HTMLElement} list */
const film = (list) => [...list.querySelectorAll("canvas")].map((canvas) => new PictureCanvas(canvas));
