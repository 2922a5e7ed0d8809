// @ts-check
/**
 * One or two pictures on stage with everything to look at them: timeline, ways to colour the grid, inspected cell.
 * Two are shown at the same step and with the same cell marked.
 */
import { Exhibit } from "./exhibit.js";
import { Inspector } from "./inspector.js";
import { model } from "./model.js";
import { Player } from "./player.js";
import { Picture } from "./run.js";
import { Timeline } from "./timeline.js";

/**
 * @typedef {import("./tokens.js").Cell} Cell
 * @typedef {import("./timeline.js").Chart} Chart
 */

const LEGENDS = {
  code: ["", "near codes, near colours"],
  entropy: ["certain", `${model.bits.toFixed(0)} bits`],
  change: ["same code", "far code"],
  difference: ["same code", "far code"],
};

export class Theater {
  /**
   * @param {HTMLElement} root
   * @param {{onStep?: (step: number, fade: number) => void, chart?: (theater: Theater) => Chart, narrate?: (step: number, picture: Picture) => string}} [options]
   */
  constructor(root, { onStep = () => {}, chart = entropyChart, narrate = narration } = {}) {
    this.onStep = onStep;
    this.chart = chart;
    this.narrate = narrate;
    /** @param {string} name @returns {any} */
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.exhibits = [...root.querySelectorAll('[data-part="plates"]')].map(
      (plates) => new Exhibit(/** @type {HTMLElement} */ (plates), (cell, how) => this.#point(cell, how)),
    );
    this.inspectors = [...root.querySelectorAll('[data-part="inspector"]')].map((place) => new Inspector(/** @type {HTMLElement} */ (place)));
    this.spoken = /** @type {HTMLElement} */ (part("spoken"));
    this.legend = /** @type {HTMLElement} */ (part("legend"));
    this.legendLow = /** @type {HTMLElement} */ (part("legend-low"));
    this.legendHigh = /** @type {HTMLElement} */ (part("legend-high"));
    /** One for each exhibit. */
    this.pictures = this.exhibits.map(() => new Picture({ label: "", seed: 7 }));
    /** @type {Cell | null} */
    this.cell = null;
    this.timeline = new Timeline(root, {
      onSeek: (step) => this.player.seek(step),
      onToggle: () => this.player.toggle(),
      onSpeed: (speed) => this.player.setSpeed(speed),
    });
    this.player = new Player({
      first: () => Math.max(...this.pictures.map((picture) => picture.first)),
      reached: () => this.reached,
      steps: model.steps,
      show: (step, fade) => this.#show(step, fade),
      changed: (playing) => this.timeline.setPlaying(playing),
    });
    part("modes").addEventListener("change", () => this.#readModes(part("modes")));
    this.#readModes(part("modes"));
    root.addEventListener("keydown", (event) => this.#key(event));
  }

  /** The last step that can be shown: all of them have it. Others hold playback back with {@link Theater#limit}. */
  get reached() {
    return Math.min(this.limit(), ...this.pictures.map((picture) => picture.reached));
  }

  limit = () => model.steps;

  /** Puts pictures on stage, from before their first step. @param {Picture[]} pictures */
  follow(pictures) {
    this.pictures = pictures;
    this.player.follow();
  }

  /** Puts pictures on stage at the step that is on show. @param {Picture[]} pictures */
  swap(pictures) {
    this.pictures = pictures;
    this.#show(Math.min(this.player.step, this.reached), 0);
  }

  /** Steps have arrived. @param {boolean} [atOnce] they were seen before */
  advance(atOnce = false) {
    if (atOnce) this.player.jump();
    else this.player.advance();
    this.#showTimeline();
  }

  /** @param {number} step @param {number} fade */
  #show(step, fade) {
    this.exhibits.forEach((exhibit, i) => {
      const { frames, seed } = this.pictures[i];
      const other = this.pictures[1 - i]?.frames[step];
      if (frames[step]) exhibit.show(frames, step, fade, other);
      else exhibit.showNoise(seed);
    });
    this.#inspect();
    this.#showTimeline();
    this.onStep(step, fade);
  }

  #showTimeline() {
    this.timeline.show(this.player.step, this.reached, this.chart(this));
  }

  /** @param {Cell | null} cell @param {{pinned: boolean, byKeyboard: boolean}} how */
  #point(cell, { pinned, byKeyboard }) {
    this.cell = cell;
    for (const exhibit of this.exhibits) exhibit.mark(cell, pinned);
    const sentences = this.#inspect();
    this.#showTimeline();
    // Spoken only to those who move by keyboard; a mouse would set off a flood.
    if (byKeyboard) this.say(sentences.join(". "));
  }

  #inspect() {
    const { step } = this.player;
    return this.inspectors.map((inspector, i) => {
      const { frames } = this.pictures[i];
      inspector.overview(frames[step] ? step : 0, frames[step] ? this.narrate(step, this.pictures[i]) : "");
      return inspector.show(this.cell, frames, step);
    });
  }

  /** Says something to a screen reader. @param {string} sentence */
  say(sentence) {
    this.spoken.textContent = sentence;
  }

  /** @param {HTMLElement} modes */
  #readModes(modes) {
    const checked = /** @type {HTMLInputElement | null} */ (modes.querySelector("input[type=radio]:checked"));
    const mode = /** @type {import("./exhibit.js").Mode} */ (checked?.value ?? "code");
    const numbers = /** @type {HTMLInputElement} */ (modes.querySelector('[data-part="numbers"]')).checked;
    for (const exhibit of this.exhibits) Object.assign(exhibit, { mode, numbers });
    this.legend.dataset.mode = mode;
    [this.legendLow.textContent, this.legendHigh.textContent] = LEGENDS[mode];
    this.#show(this.player.step, 0);
  }

  /** Arrow keys on the play button scrub too; elsewhere they have their own meanings. @param {KeyboardEvent} event */
  #key(event) {
    if (event.target !== this.timeline.playButton || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    this.player.seek(this.player.step + by);
  }
}

/** Mean entropy of the pictures on stage, and the inspected cell's. @param {Theater} theater @returns {Chart} */
export function entropyChart({ pictures: [picture, other], cell }) {
  return {
    title: other ? "Mean entropy, right in outline" : "Mean entropy",
    most: model.bits,
    value: (step) => picture.meanEntropy(step),
    second: other && ((step) => other.meanEntropy(step)),
    cell: cell ? (step) => picture.frames[step]?.entropy?.[cell.row]?.[cell.column] : undefined,
    inWords: (bits) => `${bits.toFixed(2)} of ${model.bits.toFixed(0)} bits`,
  };
}

/** What happens at a step, for people. @param {number} step @param {Picture} picture */
export function narration(step, picture) {
  const share = Math.round(100 * model.schedule[step]);
  const choices = Math.round(2 ** (picture.meanEntropy(step) ?? 0));
  const cells = model.grid ** 2;
  const undecided = choices > 1 ? `The model was as undecided as between ${choices} codes for each.` : "There was nothing to decide: each was certain.";
  if (step === 1) return `From pure noise, ${cells} tokens are drawn at once. ${undecided}`;
  if (step === model.steps) return `The last ${cells} tokens put right what the ones before left over. ${undecided} No noise remains: noisy and clean are the same picture.`;
  return `${cells} more tokens, all at once. ${undecided} What they add up to is now ${share} % picture and ${100 - share} % noise.`;
}
