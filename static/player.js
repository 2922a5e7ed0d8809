// @ts-check
/**
 * Decides which step is on show. The server is often faster than the eye: the viewer sets the pace, or says "live" and
 * sees steps as they arrive. Steps that have arrived can be sought and played again at any time.
 */

/** A step's time on show at speed 1. */
const STEP_MS = 420;
/** Longest crossfade from one step to the next. */
const FADE_MS = 260;

/** @typedef {number | "live"} Speed */

export class Player {
  /**
   * @param {object} options
   * @param {() => number} options.first      first step that there is
   * @param {() => number} options.reached    last step available, 0 for none
   * @param {number} options.steps            last step that there will be
   * @param {(step: number, fade: number) => void} options.show
   * @param {(playing: boolean) => void} options.changed
   */
  constructor({ first, reached, steps, show, changed }) {
    this.first = first;
    this.reached = reached;
    this.steps = steps;
    this.show = show;
    this.changed = changed;
    this.step = 0;
    this.playing = false;
    /** @type {Speed} */
    this.speed = 1;
    this.timer = 0;
    /** When the next step may be shown, in performance.now() time. */
    this.due = 0;
    /** Called once the playback has caught up with a run that has ended. @type {(() => void) | null} */
    this.settled = null;
  }

  /** Milliseconds between steps. */
  get interval() {
    return this.speed === "live" ? 0 : STEP_MS / this.speed;
  }

  /** Back to before the first step, following a new run. */
  follow() {
    this.settled = null;
    this.due = 0;
    this.#go(0);
    this.#setPlaying(true);
  }

  /** New steps are available, or none will come any more. @returns {void} */
  advance() {
    if (!this.playing) return this.#settle();
    if (this.timer) return;
    const reached = this.reached();
    if (this.step >= reached) {
      // At the end of a replay, or caught up with a run that has ended.
      if (this.step >= this.steps || this.settled) this.pause();
      return;
    }
    if (this.speed === "live" || document.hidden) {
      this.#go(reached);
      return this.advance();
    }
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      this.#go(Math.max(this.step + 1, this.first()));
      this.advance();
    }, Math.max(0, this.due - performance.now()));
  }

  /** Calls back once the playback has caught up, at once when the viewer has paused it. @param {() => void} callback */
  whenSettled(callback) {
    this.settled = callback;
    this.advance();
  }

  play() {
    if (this.step >= this.reached()) this.#go(Math.min(this.first(), this.reached()));
    else this.due = 0;
    this.#setPlaying(true);
    // A replay is paced even where the run was watched live.
    if (this.speed === "live" && this.reached() >= this.steps) this.#replay();
    else this.advance();
  }

  #replay() {
    this.speed = 1;
    this.advance();
    this.speed = "live";
  }

  pause() {
    this.#setPlaying(false);
    this.#settle();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** @param {Speed} speed */
  setSpeed(speed) {
    this.speed = speed;
    if (!this.playing) return;
    clearTimeout(this.timer);
    this.timer = 0;
    this.due = 0;
    this.advance();
  }

  /** @param {number} step */
  seek(step) {
    this.pause();
    const reached = this.reached();
    this.#go(Math.max(Math.min(step, reached), Math.min(this.first(), reached)));
  }

  /** The newest step at once, without playing up to it. */
  jump() {
    clearTimeout(this.timer);
    this.timer = 0;
    if (this.step !== this.reached()) this.#go(this.reached());
    this.advance();
  }

  /** @param {number} step */
  #go(step) {
    this.step = step;
    this.due = performance.now() + this.interval;
    this.show(step, Math.min(FADE_MS, 0.7 * this.interval));
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
