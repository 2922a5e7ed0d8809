// @ts-check
/** Play button, ten stops, and mean entropy at each as a bar. */

export class Timeline {
  /**
   * @param {HTMLElement} root
   * @param {{steps: number, maxBits: number, onSeek: (step: number) => void, onToggle: () => void}} options
   */
  constructor(root, { steps, maxBits, onSeek, onToggle }) {
    /** @param {string} selector @returns {any} */
    const find = (selector) => root.querySelector(selector);
    this.steps = steps;
    this.maxBits = maxBits;
    this.slider = /** @type {HTMLInputElement} */ (find("#timeline"));
    this.playButton = /** @type {HTMLButtonElement} */ (find("#play"));
    this.entropyLabel = /** @type {HTMLElement} */ (find("#entropy-label"));
    this.bars = Timeline.#fill(find("#bars"), steps, () => document.createElement("i"));
    this.ticks = Timeline.#fill(find("#ticks"), steps, (step) => new Text(String(step)));
    find(".track").style.setProperty("--steps", String(steps));
    this.bars.forEach((bar, i) => bar.addEventListener("pointerdown", () => this.slider.disabled || onSeek(i + 1)));
    this.slider.addEventListener("input", () => onSeek(this.slider.valueAsNumber));
    this.playButton.addEventListener("click", onToggle);
  }

  /** @param {HTMLElement} parent @param {number} steps @param {(step: number) => Node} child */
  static #fill(parent, steps, child) {
    const cells = Array.from({ length: steps }, (_, i) => {
      const cell = document.createElement("span");
      cell.append(child(i + 1));
      return cell;
    });
    parent.replaceChildren(...cells);
    return cells;
  }

  /** @param {boolean} playing */
  setPlaying(playing) {
    this.playButton.dataset.playing = String(playing);
    this.playButton.setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  /**
   * @param {number} step on show; 0 before the first
   * @param {number} reached last step available
   * @param {(step: number) => number | undefined} entropy mean, in bits
   */
  show(step, reached, entropy) {
    this.slider.disabled = this.playButton.disabled = reached === 0;
    this.slider.value = String(Math.max(1, step));
    this.bars.forEach((cell, i) => {
      const bits = i < reached ? entropy(i + 1) : undefined;
      const bar = /** @type {HTMLElement} */ (cell.firstChild);
      bar.style.blockSize = bits === undefined ? "0" : `${Math.min(100, (100 * bits) / this.maxBits)}%`;
      for (const mark of [cell, this.ticks[i]]) {
        mark.classList.toggle("here", i < reached);
        mark.classList.toggle("on-show", i + 1 === step);
      }
    });
    const bits = step ? entropy(step) : undefined;
    this.entropyLabel.textContent = bits === undefined ? "" : `${bits.toFixed(2)} of ${this.maxBits.toFixed(0)} bits`;
    this.slider.setAttribute(
      "aria-valuetext",
      step ? `Step ${step} of ${this.steps}${bits === undefined ? "" : `, mean entropy ${bits.toFixed(1)} bits`}` : "No step yet",
    );
  }
}
