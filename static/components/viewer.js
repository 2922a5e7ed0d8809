// @ts-check
/**
 * Shows one or two pictures step by step: panels, timeline, colour modes, inspected cell. Two pictures show the same
 * step and mark the same cell.
 */
import { part, parts } from "../lib/dom.js";
import { model } from "../lib/model.js";
import { Picture } from "../lib/picture.js";
import { readPreferences, writePreferences } from "../lib/preferences.js";
import { describeDrawnStep } from "../lib/step-description.js";
import { entropyChart } from "./charts.js";
import { Inspector } from "./inspector.js";
import { PicturePanels } from "./picture-panels.js";
import { Player } from "./player.js";
import { Timeline } from "./timeline.js";

/** @typedef {import("./token-grid.js").Cell} Cell */

/** Both ends of the colour scale. */
const LEGENDS = {
  code: ["", "similar codes, similar colours"],
  entropy: ["certain", `${model.codeBits.toFixed(0)} bits`],
  change: ["same code", "distant code"],
  difference: ["same code", "distant code"],
};

/** Seed of the noise that is shown before anything is drawn. */
const INITIAL_SEED = 7;

export class Viewer {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** Called when another step is shown. @type {(step: number, fadeMs: number) => void} */
    this.onStep = () => {};
    /** Called when playback starts, stops or shows another step. */
    this.onPlayback = () => {};
    /** Called when a large picture is wanted. @type {(index: number) => void} */
    this.onEnlarge = () => {};
    /** What the timeline's bars show. @type {(pictures: Picture[], cell: Cell | null) => import("./timeline.js").Chart} */
    this.chart = entropyChart;
    /** The sentences about a step. @type {(step: number, picture: Picture) => string} */
    this.describe = describeDrawnStep;
    this.panels = parts(root, "panels").map((element) => new PicturePanels(element, (cell, how) => this.#select(cell, how)));
    this.inspectors = parts(root, "inspector").map((element) => new Inspector(element));
    this.announcement = /** @type {HTMLElement} */ (part(root, "announcement"));
    this.legend = /** @type {HTMLElement} */ (part(root, "legend"));
    this.legendLow = /** @type {HTMLElement} */ (part(root, "legend-low"));
    this.legendHigh = /** @type {HTMLElement} */ (part(root, "legend-high"));
    /** One for each group of panels. */
    this.pictures = this.panels.map(() => new Picture({ label: "", seed: INITIAL_SEED }));
    /** The inspected cell. @type {Cell | null} */
    this.cell = null;
    this.timeline = new Timeline(root, {
      onSeek: (step) => this.player.seek(step),
      onToggle: () => this.player.toggle(),
      onSpeed: (speed) => {
        this.player.setSpeed(speed);
        writePreferences({ speed: String(speed) });
      },
    });
    this.player = new Player({
      firstStep: () => Math.max(...this.pictures.map(({ firstStep }) => firstStep)),
      lastStep: () => this.lastStep,
      stepCount: model.stepCount,
      onStep: (step, fadeMs) => this.#showStep(step, fadeMs),
      onPlaying: (playing) => {
        this.timeline.setPlaying(playing);
        this.onPlayback();
      },
    });
    root.addEventListener("change", (event) => {
      const input = /** @type {HTMLInputElement} */ (event.target);
      if (input.closest("[data-part=preview]")) this.setPreview(input.value);
    });
    parts(root, "enlarge").forEach((button, index) => button.addEventListener("click", () => this.onEnlarge(index)));
    const colorModes = part(root, "color-modes");
    colorModes.addEventListener("change", () => {
      this.#readColorMode(colorModes);
      const { colorMode, showNumbers } = this.panels[0];
      writePreferences({ showNumbers, ...(colorMode !== "difference" && { colorMode }) });
    });
    this.#applyPreferences(colorModes);
    this.#readColorMode(colorModes);
    root.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** The last step that can be shown. */
  get lastStep() {
    return Math.min(...this.pictures.map(({ lastStep }) => lastStep));
  }

  /** Follows pictures of a new run, from before their first step. @param {Picture[]} pictures */
  follow(pictures) {
    this.pictures = pictures;
    this.player.reset();
  }

  /** Shows the clean or the noisy preview in all panels. @param {string} preview */
  setPreview(preview) {
    for (const panels of this.panels) panels.setPreview(preview);
  }

  /** Shows other pictures of the same run, at the step that is shown. @param {Picture[]} pictures */
  swap(pictures) {
    const { player } = this;
    const followed = player.playing || player.step >= model.stepCount;
    this.pictures = pictures;
    player.step = Math.min(player.step, this.lastStep);
    this.#showStep(player.step, 0);
    // A picture that is still being drawn is followed as the one before was.
    if (followed && player.step < model.stepCount && !player.ended) player.resume();
  }

  togglePlayback() {
    if (this.lastStep) this.player.toggle();
  }

  /** @param {number} offset */
  stepBy(offset) {
    if (this.lastStep) this.player.seek(this.player.step + offset);
  }

  /** Steps have arrived. @param {boolean} [skip] show the last one without playing the others */
  update(skip = false) {
    if (skip) this.player.skipToLast();
    else this.player.update();
    this.#showTimeline();
  }

  /** @param {number} step @param {number} fadeMs */
  #showStep(step, fadeMs) {
    this.panels.forEach((panels, i) => {
      const { steps, seed } = this.pictures[i];
      const other = this.pictures[1 - i]?.steps[step];
      if (steps[step]) panels.show(steps, step, fadeMs, other);
      else panels.showNoise(seed);
    });
    this.#showInspectors();
    this.#showTimeline();
    this.onStep(step, fadeMs);
    this.onPlayback();
  }

  #showTimeline() {
    this.timeline.show(this.player.step, this.lastStep, this.chart(this.pictures, this.cell));
  }

  /** @returns {string[]} sentences about the inspected cell */
  #showInspectors() {
    const { step } = this.player;
    return this.inspectors.map((inspector, i) => {
      const { steps } = this.pictures[i];
      inspector.showStep(steps[step] ? step : 0, steps[step] ? this.describe(step, this.pictures[i]) : "");
      return inspector.showCell(this.cell, steps, step);
    });
  }

  /** @param {Cell | null} cell @param {{pinned: boolean, byKeyboard: boolean}} how */
  #select(cell, { pinned, byKeyboard }) {
    this.cell = cell;
    for (const panels of this.panels) panels.mark(cell, pinned);
    const sentences = this.#showInspectors();
    this.#showTimeline();
    // Announced only to keyboard users: every move of a mouse would be spoken.
    if (byKeyboard) this.announcement.textContent = sentences.join(". ");
  }

  /** Speed, colours and numbers are those of the last visit. @param {HTMLElement} colorModes */
  #applyPreferences(colorModes) {
    const { speed, colorMode, showNumbers } = readPreferences();
    const color = [...colorModes.querySelectorAll("input")].find(({ type, value }) => type === "radio" && value === colorMode);
    if (color) color.checked = true;
    if (showNumbers !== undefined) part(colorModes, "show-numbers").checked = showNumbers;
    if (speed && this.timeline.setSpeed(speed)) this.player.setSpeed(speed === "live" ? "live" : Number(speed));
  }

  /** @param {HTMLElement} colorModes */
  #readColorMode(colorModes) {
    const checked = /** @type {HTMLInputElement | null} */ (colorModes.querySelector("input[type=radio]:checked"));
    const colorMode = /** @type {import("./picture-panels.js").ColorMode} */ (checked?.value ?? "code");
    const showNumbers = /** @type {HTMLInputElement} */ (part(colorModes, "show-numbers")).checked;
    for (const panels of this.panels) Object.assign(panels, { colorMode, showNumbers });
    this.legend.dataset.mode = colorMode;
    [this.legendLow.textContent, this.legendHigh.textContent] = LEGENDS[colorMode];
    this.#showStep(this.player.step, 0);
  }

  /** On the play button, arrow keys step; elsewhere they have other meanings. @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.target !== this.timeline.playButton || event.ctrlKey || event.metaKey || event.altKey) return;
    const offset = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!offset) return;
    event.preventDefault();
    this.player.seek(this.player.step + offset);
  }
}
