// @ts-check
/** The view that explains the method. Its figures are drawn when it is opened: a new picture, and that picture's tokens. */
import { codeItems } from "../components/code-swatch.js";
import { Status } from "../components/status.js";
import { StepStrip } from "../components/step-strip.js";
import { createTokenization } from "../lib/api.js";
import { entropyColor, toCss } from "../lib/colors.js";
import { byId, part } from "../lib/dom.js";
import { decodePng, gridImage, rmsDifference, tokenImage } from "../lib/images.js";
import { model } from "../lib/model.js";
import { decodeStep } from "../lib/picture.js";
import { Run } from "../lib/run.js";

/** With this seed and class the figures show a simple shape. */
const SEED = 7;
const CLASS_INDEX = 7;
/** The step in the middle; its probabilities are shown. */
const MIDDLE_STEP = Math.ceil(model.stepCount / 2);
const FADE_MS = 200;

export class HowView {
  /** Its figures don't block the buttons. */
  running = false;

  /** @param {import("./view.js").Page} page */
  constructor({ form }) {
    this.root = /** @type {HTMLElement} */ (byId("how"));
    this.status = new Status(this.root, { onRetry: () => this.onShow() });
    this.class = form.classes[CLASS_INDEX] ?? form.classes[0];
    this.request = { class: this.class, seed: SEED, count: 1 };
    /** @param {string} name */
    const strip = (name) => new StepStrip(part(this.root, name));
    this.forward = { noisy: strip("forward-noisy"), tokens: strip("forward-tokens") };
    this.sampling = { entropy: strip("sampling-entropy"), noisy: strip("sampling-noisy"), clean: strip("sampling-clean") };
    drawCodebook(part(this.root, "codebook"));
    /** @type {Run | null} */
    this.run = null;
  }

  submit() {}

  cancel() {}

  /** Draws the figures, once. */
  onShow() {
    if (this.run && !["failed", "gone", "canceled"].includes(this.run.state)) return;
    const run = new Run([this.request]);
    run.subscribe({
      onState: () => this.#onRunState(run),
      onStep: () => this.#showSampling(run.pictures[0]),
    });
    this.run = run;
    run.start(model.name);
  }

  /** @param {Run} run */
  #onRunState(run) {
    if (run.state !== "completed") return this.status.showRun(run, "Drawing the figures.");
    this.#showForward(run.pictures[0].png)
      .then(() => this.status.show("completed", `Figures: ${this.class}, seed ${SEED}, drawn in ${run.seconds.toFixed(1)} s.`))
      .catch((error) => {
        this.run = null;
        this.status.showError(`The first three figures are missing: ${error.message}`);
      });
  }

  /** The figures about sampling. @param {import("../lib/picture.js").Picture} picture */
  #showSampling({ steps }) {
    steps.forEach(({ noisy, clean, entropy = [] }, step) => {
      this.sampling.noisy.show(step, noisy, FADE_MS);
      this.sampling.clean.show(step, clean, FADE_MS);
      const colors = entropy.flat().map((bits) => entropyColor(bits / model.codeBits));
      this.sampling.entropy.show(step, gridImage(colors), FADE_MS);
    });
    this.#showProbabilities(steps[MIDDLE_STEP]);
  }

  /** The most likely codes of the middle position. @param {import("../lib/picture.js").Step | undefined} step */
  #showProbabilities(step) {
    const middle = Math.floor(model.gridSize / 2);
    const codes = step?.alternatives?.codes[middle][middle] ?? [];
    const probabilities = step?.alternatives?.probabilities[middle][middle] ?? [];
    const drawn = step?.tokens[middle][middle];
    const items = codeItems(codes, probabilities, drawn, (code) => `Code ${code}${code === drawn ? ", drawn" : ""}`);
    part(this.root, "probabilities").replaceChildren(...items);
  }

  /** The figures about tokenization, of the picture that was drawn. @param {string} image a PNG's data URL */
  async #showForward(image) {
    const tokenization = await createTokenization({ model: model.name, image, seed: SEED + 1 });
    const [original, ...steps] = await Promise.all([decodePng(image), ...tokenization.steps.map(decodeStep)]);
    const errors = steps.map(({ clean }) => rmsDifference(clean, original));
    steps.forEach(({ noisy, tokens }, i) => {
      this.forward.noisy.show(i + 1, noisy, FADE_MS);
      this.forward.tokens.show(i + 1, tokenImage(tokens), FADE_MS);
    });
    part(this.root, "error-chart").replaceChildren(...errors.map((error) => {
      const bar = document.createElement("i");
      bar.style.setProperty("--value", `${(100 * error) / Math.max(...errors)}%`);
      return bar;
    }));
    const [first, last] = [errors[0], errors[errors.length - 1]].map((error) => `${(100 * error).toFixed(1)} %`);
    part(this.root, "error-caption").textContent =
      `RMS error of the picture without its noise: ${first} after the first step, ${last} after the last.`;
  }
}

/** All codes, ordered by hue. @param {HTMLCanvasElement} canvas one pixel for each code */
function drawCodebook(canvas) {
  const rows = canvas.height;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const sorted = [...model.colors].sort((a, b) => hue(a) - hue(b));
  sorted.forEach((color, i) => {
    context.fillStyle = toCss(color);
    context.fillRect(Math.floor(i / rows), i % rows, 1, 1);
  });
}

/** @param {import("../lib/colors.js").Rgb} color */
const hue = ([r, g, b]) => Math.atan2(Math.sqrt(3) * (g - b), 2 * r - g - b);
