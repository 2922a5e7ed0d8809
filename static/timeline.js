// @ts-check
/** Play button, a stop for each step, a chart over the stops, and the speed. */
import { model } from "./model.js";

/** @typedef {import("./player.js").Speed} Speed */

/**
 * What the chart shows.
 * @typedef {object} Chart
 * @property {string} title
 * @property {number} most                                   value of a full bar
 * @property {(step: number) => number | undefined} value
 * @property {(step: number) => number | undefined} [second] of the other run in a comparison
 * @property {(step: number) => number | undefined} [cell]   of the inspected cell
 * @property {(value: number) => string} inWords
 */

export class Timeline {
  /** @param {HTMLElement} root @param {{onSeek: (step: number) => void, onToggle: () => void, onSpeed: (speed: Speed) => void}} events */
  constructor(root, { onSeek, onToggle, onSpeed }) {
    /** @param {string} name @returns {any} */
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.slider = /** @type {HTMLInputElement} */ (part("timeline"));
    this.playButton = /** @type {HTMLButtonElement} */ (part("play"));
    this.title = /** @type {HTMLElement} */ (part("chart-title"));
    this.value = /** @type {HTMLElement} */ (part("chart-value"));
    this.speed = /** @type {HTMLSelectElement} */ (part("speed"));
    this.bars = fill(part("bars"), () => document.createElement("i"));
    this.ticks = fill(part("ticks"), (step) => new Text(String(step)));
    this.slider.closest("div")?.style.setProperty("--steps", String(model.steps));
    this.bars.forEach((bar, i) => bar.addEventListener("pointerdown", () => this.slider.disabled || onSeek(i + 1)));
    this.slider.addEventListener("input", () => onSeek(this.slider.valueAsNumber));
    this.playButton.addEventListener("click", onToggle);
    this.speed.addEventListener("change", () => onSpeed(this.speed.value === "live" ? "live" : Number(this.speed.value)));
  }

  /** @param {boolean} playing */
  setPlaying(playing) {
    this.playButton.dataset.playing = String(playing);
    this.playButton.setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  /**
   * @param {number} step on show; 0 before the first
   * @param {number} reached last step available
   * @param {Chart} chart
   */
  show(step, reached, chart) {
    this.slider.disabled = this.playButton.disabled = reached === 0;
    this.slider.value = String(Math.max(1, step));
    /** @param {number | undefined} value */
    const height = (value) => (value === undefined ? "0%" : `${Math.min(100, (100 * value) / chart.most)}%`);
    this.bars.forEach((cell, i) => {
      const known = i < reached;
      cell.style.setProperty("--value", height(known ? chart.value(i + 1) : undefined));
      mark(cell, "b", "--second", known ? chart.second?.(i + 1) : undefined, height);
      mark(cell, "em", "--cell", known ? chart.cell?.(i + 1) : undefined, height);
      for (const at of [cell, this.ticks[i]]) at.classList.toggle("on-show", i + 1 === step);
    });
    if (this.title.textContent !== chart.title) this.title.textContent = chart.title;
    const value = step ? chart.value(step) : undefined;
    this.value.textContent = value === undefined ? "" : chart.inWords(value);
    const words = value === undefined ? "" : `, ${chart.inWords(value)}`;
    this.slider.setAttribute("aria-valuetext", step ? `Step ${step} of ${model.steps}${words}` : "No step yet");
  }
}

/** @param {HTMLElement} parent @param {(step: number) => Node} child */
function fill(parent, child) {
  const cells = Array.from({ length: model.steps }, (_, i) => {
    const cell = document.createElement("span");
    cell.append(child(i + 1));
    return cell;
  });
  parent.replaceChildren(...cells);
  return cells;
}

/** @param {HTMLElement} cell @param {string} tag @param {string} property @param {number | undefined} value @param {(value: number | undefined) => string} height */
function mark(cell, tag, property, value, height) {
  const there = cell.querySelector(tag);
  if (value === undefined) return there?.remove();
  if (!there) cell.append(document.createElement(tag));
  cell.style.setProperty(property, height(value));
}
