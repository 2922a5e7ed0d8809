// @ts-check
/**
 * The view that explains the method. Its figures are drawn when it is opened: a new picture, and that picture's tokens.
 * One slider and one choice of a class drive all of them; a cell that is pointed at is marked wherever it appears.
 */
import { codeItems } from "../components/code-swatch.js";
import { updateSliderFill } from "../components/fields.js";
import { PictureCanvas } from "../components/picture-canvas.js";
import { Status } from "../components/status.js";
import { StepStrip } from "../components/step-strip.js";
import { TokenGrid } from "../components/token-grid.js";
import { createTokenization } from "../lib/api.js";
import { entropyColor, toCss } from "../lib/colors.js";
import { byId, part } from "../lib/dom.js";
import { decodePng, gridImage, rmsDifference, tokenImage } from "../lib/images.js";
import { codeColor, model } from "../lib/model.js";
import { decodeStep, Picture } from "../lib/picture.js";
import { Run } from "../lib/run.js";

/** @typedef {import("../components/token-grid.js").Cell} Cell */

/** With this seed and class the figures show a simple shape. */
const SEED = 7;
const CLASS_INDEX = 7;
/** The step in the middle, and the cell in the middle: what the figures show first. */
const MIDDLE_STEP = Math.ceil(model.stepCount / 2);
const MIDDLE = Math.floor(model.gridSize / 2);
const FADE_MS = 200;

export class HowView {
  /** Its figures don't block the buttons. */
  running = false;

  /** @param {import("./view.js").Page} page */
  constructor({ form }) {
    this.root = /** @type {HTMLElement} */ (byId("how"));
    this.status = new Status(this.root, { onRetry: () => this.onShow() });
    this.classSelect = /** @type {HTMLSelectElement} */ (part(this.root, "how-class"));
    this.slider = /** @type {HTMLInputElement} */ (part(this.root, "how-step"));
    this.stepOutput = /** @type {HTMLElement} */ (part(this.root, "how-step-output"));
    this.classSelect.value = form.classes[CLASS_INDEX] ?? form.classes[0];
    this.slider.value = String(MIDDLE_STEP);
    this.step = MIDDLE_STEP;
    /** The cell that is marked. @type {Cell} */
    this.cell = { row: MIDDLE, column: MIDDLE };
    /** @param {string} name */
    const strip = (name) => new StepStrip(part(this.root, name), (step) => this.#setStep(step));
    this.forward = { noisy: strip("forward-noisy"), tokens: strip("forward-tokens") };
    this.sampling = { entropy: strip("sampling-entropy"), noisy: strip("sampling-noisy"), clean: strip("sampling-clean") };
    this.strips = [...Object.values(this.forward), ...Object.values(this.sampling)];
    /** The linked figures: of the picture's own tokens, and of those that the model drew. */
    this.linked = ["forward", "sampling"].map((name) => {
      const figure = part(this.root, `${name}-linked`);
      return {
        picture: new PictureCanvas(part(figure, "linked-picture")),
        marker: /** @type {HTMLElement} */ (figure.querySelector(".cell-marker")),
        grid: new TokenGrid(part(figure, "linked-tokens"), model.gridSize, (cell) => cell && this.#setCell(cell)),
        text: /** @type {HTMLElement} */ (part(figure, "linked-text")),
        data: /** @type {Picture | null} */ (null),
      };
    });
    this.codebook = drawCodebook(part(this.root, "codebook"));
    this.codeMarker = /** @type {HTMLElement} */ (part(this.root, "code-marker"));
    /** @type {Run | null} */
    this.run = null;
    this.classSelect.addEventListener("change", () => {
      this.run?.cancel();
      this.run?.detach();
      this.run = null;
      this.onShow();
    });
    this.slider.addEventListener("input", () => this.#setStep(this.slider.valueAsNumber));
    part(this.root, "error-chart").addEventListener("click", (/** @type {MouseEvent} */ event) => {
      const bars = [...part(this.root, "error-chart").children];
      const index = bars.indexOf(/** @type {Element} */ (event.target));
      if (index >= 0) this.#setStep(index + 1);
    });
    this.#setStep(MIDDLE_STEP);
  }

  submit() {}

  cancel() {}

  /** Steps as the viewers of other views do, for the keyboard shortcuts. */
  get viewer() {
    return /** @type {any} */ ({ togglePlayback() {}, stepBy: (/** @type {number} */ offset) => this.#setStep(this.step + offset) });
  }

  /** Draws the figures, once. */
  onShow() {
    if (this.run && !["failed", "gone", "canceled"].includes(this.run.state)) return;
    const run = new Run([{ class: this.classSelect.value, seed: SEED, count: 1 }]);
    run.subscribe({
      onState: () => run === this.run && this.#onRunState(run),
      onStep: () => run === this.run && this.#showSampling(run.pictures[0]),
    });
    this.run = run;
    run.start();
  }

  /** @param {Run} run */
  #onRunState(run) {
    if (run.state !== "completed") return this.status.showRun(run, "Drawing the figures.");
    this.#showForward(run.pictures[0].png)
      .then(() => run === this.run && this.status.show("completed", `Figures: ${run.pictures[0].label}, seed ${SEED}, drawn in ${run.seconds.toFixed(1)} s.`))
      .catch((error) => {
        this.run = null;
        this.status.showError(`The first three figures are missing: ${error.message}`);
      });
  }

  /** @param {number} step */
  #setStep(step) {
    this.step = Math.max(1, Math.min(model.stepCount, step));
    this.slider.value = String(this.step);
    updateSliderFill(this.slider);
    this.stepOutput.textContent = `${this.step} of ${model.stepCount}`;
    this.slider.setAttribute("aria-valuetext", `Step ${this.step} of ${model.stepCount}`);
    for (const strip of this.strips) strip.setCurrent(this.step);
    [...part(this.root, "error-chart").children].forEach((bar, i) => bar.classList.toggle("current", i + 1 === this.step));
    this.#showLinked(FADE_MS);
  }

  /** @param {Cell} cell */
  #setCell(cell) {
    this.cell = cell;
    this.#showLinked(0);
  }

  /** The pictures and grids of the step, with the marked cell, its code in the codebook, and where the code is used. @param {number} fadeMs */
  #showLinked(fadeMs) {
    const { row, column } = this.cell;
    for (const { picture, marker, grid, text, data } of this.linked) {
      const step = data?.steps[this.step];
      grid.mark(this.cell, true);
      const share = 100 / model.gridSize;
      Object.assign(marker.style, { inlineSize: `${share}%`, blockSize: `${share}%`, insetInlineStart: `${column * share}%`, insetBlockStart: `${row * share}%` });
      marker.hidden = !step;
      if (!step) continue;
      picture.show(step.clean, fadeMs);
      const codes = step.tokens.flat();
      const code = step.tokens[row][column];
      grid.others = new Set(codes.flatMap((other, i) => (other === code ? [i] : [])));
      grid.show(codes.map(codeColor), fadeMs);
      const uses = codes.filter((other) => other === code).length - 1;
      text.textContent = `Row ${row + 1}, column ${column + 1}: code ${code}, ${uses ? `also at ${uses} other ${uses === 1 ? "position" : "positions"}` : "at no other position"} of this step.`;
    }
    const code = this.linked[0].data?.steps[this.step]?.tokens[row][column];
    this.codeMarker.hidden = code === undefined;
    if (code !== undefined) {
      const { columns, rows, order } = this.codebook;
      const place = order.indexOf(code);
      Object.assign(this.codeMarker.style, {
        inlineSize: `${100 / columns}%`, blockSize: `${100 / rows}%`,
        insetInlineStart: `${(100 * Math.floor(place / rows)) / columns}%`, insetBlockStart: `${(100 * (place % rows)) / rows}%`,
      });
    }
    this.#showProbabilities();
  }

  /** The figures about sampling. @param {Picture} picture */
  #showSampling(picture) {
    const { steps } = picture;
    // The scale of the colours ends at the largest entropy.
    const largest = Math.max(...steps.flatMap(({ entropy = [] }) => entropy.flat()), Number.MIN_VALUE);
    steps.forEach(({ noisy, clean, entropy = [] }, step) => {
      this.sampling.noisy.show(step, noisy, FADE_MS);
      this.sampling.clean.show(step, clean, FADE_MS);
      const colors = entropy.flat().map((bits) => entropyColor(bits / largest));
      this.sampling.entropy.show(step, gridImage(colors), FADE_MS);
    });
    part(this.root, "entropy-scale").textContent = `${largest.toFixed(1)} bits`;
    this.linked[1].data = picture;
    this.#showLinked(FADE_MS);
  }

  /** The most likely codes of the marked position, and the one that was drawn. */
  #showProbabilities() {
    const { row, column } = this.cell;
    const step = this.linked[1].data?.steps[this.step];
    const codes = step?.alternatives?.codes[row][column] ?? [];
    const probabilities = step?.alternatives?.probabilities[row][column] ?? [];
    const items = codeItems(codes, probabilities, step?.tokens[row][column], { label: (code) => `Code ${code}`, drawnProbability: step?.probability?.[row][column], drawnRank: step?.alternatives?.ranks?.[row][column] });
    part(this.root, "probabilities").replaceChildren(...items);
    part(this.root, "probabilities-place").textContent = `row ${row + 1}, column ${column + 1} at step ${this.step}`;
  }

  /** The figures about tokenization, of the picture that was drawn. @param {string} image a PNG's data URL */
  async #showForward(image) {
    const tokenization = await createTokenization({ model: model.name, image, seed: SEED + 1 });
    const [original, ...steps] = await Promise.all([decodePng(image), ...tokenization.steps.map(decodeStep)]);
    const errors = steps.map(({ clean }) => rmsDifference(clean, original));
    const picture = new Picture({ label: "", seed: SEED + 1 });
    steps.forEach((step, i) => {
      picture.steps[i + 1] = step;
      this.forward.noisy.show(i + 1, step.noisy, FADE_MS);
      this.forward.tokens.show(i + 1, tokenImage(step.tokens), FADE_MS);
    });
    this.linked[0].data = picture;
    part(this.root, "error-chart").replaceChildren(...errors.map((error, i) => {
      const bar = document.createElement("i");
      bar.title = `Step ${i + 1}: ${(100 * error).toFixed(1)} %`;
      bar.style.setProperty("--value", `${(100 * error) / Math.max(...errors)}%`);
      return bar;
    }));
    const [first, last] = [errors[0], errors[errors.length - 1]].map((error) => `${(100 * error).toFixed(1)} %`);
    part(this.root, "error-caption").textContent =
      `RMS error of the picture without its noise: ${first} after the first step, ${last} after the last.`;
    this.#setStep(this.step);
  }
}

/** All codes, ordered by hue. @param {HTMLCanvasElement} canvas one pixel for each code */
function drawCodebook(canvas) {
  const rows = canvas.height;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const order = model.colors.map((_, code) => code).sort((a, b) => hue(model.colors[a]) - hue(model.colors[b]));
  order.forEach((code, i) => {
    context.fillStyle = toCss(model.colors[code]);
    context.fillRect(Math.floor(i / rows), i % rows, 1, 1);
  });
  return { columns: canvas.width, rows, order };
}

/** @param {import("../lib/colors.js").Rgb} color */
const hue = ([r, g, b]) => Math.atan2(Math.sqrt(3) * (g - b), 2 * r - g - b);
