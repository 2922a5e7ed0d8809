// @ts-check
/**
 * Decides which step is on show. The server is often faster than the eye, so live steps are
 * paced; the viewer may pause, seek and replay at any time.
 */

/** Shortest time a step stays on show while steps arrive, and when they are played again. */
export const LIVE_MS = 240;
export const REPLAY_MS = 420;

export class Player {
  /**
   * @param {object} options
   * @param {number} options.steps
   * @param {() => number} options.reached    last step available
   * @param {(step: number) => void} options.show
   * @param {(playing: boolean) => void} options.changed
   */
  constructor({ steps, reached, show, changed }) {
    this.steps = steps;
    this.reached = reached;
    this.show = show;
    this.changed = changed;
    this.step = 0;
    this.playing = false;
    this.interval = LIVE_MS;
    this.timer = 0;
    /** When the next step may be shown, in performance.now() time. */
    this.due = 0;
    /** @type {(() => void) | null} */
    this.settled = null;
  }

  /** Back to before the first step, following a new run. */
  follow() {
    this.settled = null;
    this.step = 0;
    this.due = 0;
    this.interval = LIVE_MS;
    this.show(0);
    this.#setPlaying(true);
  }

  /** New steps are available, or none will come any more. */
  advance() {
    if (!this.playing) return this.#settle();
    if (this.timer) return;
    if (this.step >= this.reached()) {
      // At the end of a replay, or caught up with a run whose end is known.
      if (this.step >= this.steps || this.settled) this.pause();
      return;
    }
    const wait = document.hidden ? 0 : Math.max(0, this.due - performance.now());
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      this.#go(this.step + 1);
      this.advance();
    }, wait);
  }

  /** Calls back once the playback has caught up (at once when the viewer has paused it).
   * @param {() => void} callback */
  whenSettled(callback) {
    this.settled = callback;
    this.advance();
  }

  play() {
    this.interval = this.settled || this.reached() < this.steps ? LIVE_MS : REPLAY_MS;
    if (this.step >= this.steps) {
      this.#go(1);
    } else {
      this.due = 0;
    }
    this.#setPlaying(true);
    this.advance();
  }

  pause() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.#setPlaying(false);
    this.#settle();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** @param {number} step */
  seek(step) {
    this.pause();
    this.#go(Math.max(Math.min(step, this.reached()), Math.min(1, this.reached())));
  }

  /** @param {number} step */
  #go(step) {
    this.step = step;
    this.due = performance.now() + this.interval;
    this.show(step);
  }

  #settle() {
    const callback = this.settled;
    this.settled = null;
    callback?.();
  }

  /** @param {boolean} playing */
  #setPlaying(playing) {
    clearTimeout(this.timer);
    this.timer = 0;
    this.playing = playing;
    this.changed(playing);
  }
}
