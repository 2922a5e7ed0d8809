// @ts-check
/** Play button, step slider with a bar chart above it, and the speed. */
import { part } from "../lib/dom.js";
import { model } from "../lib/model.js";

/**
 * What the bars show.
 * @typedef {object} Chart
 * @property {string} title
 * @property {number} max                                        value of a full bar
 * @property {(step: number) => number | undefined} value
 * @property {(step: number) => number | undefined} [secondValue] of the picture beside it
 * @property {(step: number) => number | undefined} [cellValue]   of the inspected cell
 * @property {(value: number) => string} format
 */

export class Timeline {
  /** @param {HTMLElement} root @param {{onSeek: (step: number) => void, onToggle: () => void, onSpeed: (speed: import("./player.js").Speed) => void}} events */
  constructor(root, { onSeek, onToggle, onSpeed }) {
    this.slider = /** @type {HTMLInputElement} */ (part(root, "step"));
    this.playButton = /** @type {HTMLButtonElement} */ (part(root, "play"));
    this.title = /** @type {HTMLElement} */ (part(root, "chart-title"));
    this.value = /** @type {HTMLElement} */ (part(root, "chart-value"));
    this.speed = /** @type {HTMLSelectElement} */ (part(root, "speed"));
    this.bars = createColumns(part(root, "bars"), () => document.createElement("i"));
    this.ticks = createColumns(part(root, "ticks"), (step) => new Text(String(step)));
    this.slider.closest("div")?.style.setProperty("--steps", String(model.stepCount));
    this.bars.forEach((bar, i) => bar.addEventListener("pointerdown", () => this.slider.disabled || onSeek(i + 1)));
    this.slider.addEventListener("input", () => onSeek(this.slider.valueAsNumber));
    this.playButton.addEventListener("click", onToggle);
    this.speed.addEventListener("change", () => onSpeed(this.speed.value === "live" ? "live" : Number(this.speed.value)));
  }

  /** @param {string} value @returns {boolean} whether there is such a speed */
  setSpeed(value) {
    if (![...this.speed.options].some((option) => option.value === value)) return false;
    this.speed.value = value;
    return true;
  }

  /** @param {boolean} playing */
  setPlaying(playing) {
    this.playButton.dataset.playing = String(playing);
    this.playButton.setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  /**
   * @param {number} step      the step that is shown; 0 before the first
   * @param {number} lastStep  the last step that can be shown
   * @param {Chart} chart
   */
  show(step, lastStep, chart) {
    this.slider.disabled = this.playButton.disabled = lastStep === 0;
    this.slider.value = String(Math.max(1, step));
    /** @param {number | undefined} value */
    const height = (value) => (value === undefined ? "0%" : `${Math.min(100, (100 * value) / chart.max)}%`);
    this.bars.forEach((bar, i) => {
      const available = i < lastStep;
      bar.style.setProperty("--value", height(available ? chart.value(i + 1) : undefined));
      setMark(bar, "b", "--second", available ? chart.secondValue?.(i + 1) : undefined, height);
      setMark(bar, "em", "--cell", available ? chart.cellValue?.(i + 1) : undefined, height);
      for (const column of [bar, this.ticks[i]]) column.classList.toggle("current", i + 1 === step);
    });
    if (this.title.textContent !== chart.title) this.title.textContent = chart.title;
    const value = step ? chart.value(step) : undefined;
    this.value.textContent = value === undefined ? "" : chart.format(value);
    const suffix = value === undefined ? "" : `, ${chart.format(value)}`;
    this.slider.setAttribute("aria-valuetext", step ? `Step ${step} of ${model.stepCount}${suffix}` : "No step yet");
  }
}

/** One column for each step. @param {HTMLElement} parent @param {(step: number) => Node} createChild */
function createColumns(parent, createChild) {
  const columns = Array.from({ length: model.stepCount }, (_, i) => {
    const column = document.createElement("span");
    column.append(createChild(i + 1));
    return column;
  });
  parent.replaceChildren(...columns);
  return columns;
}

/** Adds, moves or removes a second value of a bar. @param {HTMLElement} bar @param {string} tag @param {string} property @param {number | undefined} value @param {(value: number | undefined) => string} height */
function setMark(bar, tag, property, value, height) {
  const mark = bar.querySelector(tag);
  if (value === undefined) return mark?.remove();
  if (!mark) bar.append(document.createElement(tag));
  bar.style.setProperty(property, height(value));
}
