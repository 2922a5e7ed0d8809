// @ts-check
/**
 * Decides which step is shown. The server often draws faster than a person can watch, so the viewer sets the speed;
 * "live" shows steps as they arrive. Steps that have arrived can be replayed at any time.
 */

import { prefersReducedMotion } from "../lib/frame-loop.js";

/** How long a step is shown at speed 1. */
const STEP_MS = 420;
/** Longest crossfade from one step to the next. */
const MAX_FADE_MS = 260;

/** @typedef {number | "live"} Speed */

export class Player {
  /**
   * @param {object} options
   * @param {() => number} options.firstStep      first step that can be shown
   * @param {() => number} options.lastStep       last step that has arrived, 0 for none
   * @param {number} options.stepCount            last step that will arrive
   * @param {(step: number, fadeMs: number) => void} options.onStep
   * @param {(playing: boolean) => void} options.onPlaying
   */
  constructor({ firstStep, lastStep, stepCount, onStep, onPlaying }) {
    this.firstStep = firstStep;
    this.lastStep = lastStep;
    this.stepCount = stepCount;
    this.onStep = onStep;
    this.onPlaying = onPlaying;
    this.step = 0;
    this.playing = false;
    /** @type {Speed} */
    this.speed = 1;
    this.timer = 0;
    /** When the next step may be shown, in performance.now() time. */
    this.nextStepTime = 0;
    /** No more steps will arrive. */
    this.ended = false;
    /** The user has asked to see the steps again. */
    this.replaying = false;
  }

  /** Milliseconds between steps. */
  get interval() {
    return this.speed === "live" ? 0 : STEP_MS / this.speed;
  }

  /** Follows a new run, from before its first step. */
  reset() {
    this.ended = this.replaying = false;
    this.nextStepTime = 0;
    this.#showStep(0);
    this.#setPlaying(true);
  }

  /** New steps have arrived, or the run has ended. @returns {void} */
  update() {
    if (!this.playing || this.timer) return;
    const lastStep = this.lastStep();
    if (this.step >= lastStep) {
      // A replay is over, or playback has caught up with a run that has ended.
      if (this.step >= this.stepCount || this.ended) this.pause();
      return;
    }
    // With reduced motion the steps are played only if the user asks for it.
    if (this.speed === "live" || document.hidden || (prefersReducedMotion() && !this.replaying)) {
      this.#showStep(lastStep);
      return this.update();
    }
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      this.#showStep(Math.max(this.step + 1, this.firstStep()));
      this.update();
    }, Math.max(0, this.nextStepTime - performance.now()));
  }

  /** No more steps will arrive. */
  end() {
    this.ended = true;
    this.update();
  }

  play() {
    this.replaying = true;
    if (this.step >= this.lastStep()) this.#showStep(Math.min(this.firstStep(), this.lastStep()));
    else this.nextStepTime = 0;
    this.#setPlaying(true);
    // A replay has a speed even if the run was watched live.
    if (this.speed === "live" && this.lastStep() >= this.stepCount) this.#replay();
    else this.update();
  }

  #replay() {
    this.speed = 1;
    this.update();
    this.speed = "live";
  }

  /** Plays on from the step that is shown. */
  resume() {
    this.#setPlaying(true);
    this.update();
  }

  pause() {
    this.#setPlaying(false);
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
    this.nextStepTime = 0;
    this.update();
  }

  /** Pauses at a step. @param {number} step */
  seek(step) {
    this.pause();
    const lastStep = this.lastStep();
    this.#showStep(Math.max(Math.min(step, lastStep), Math.min(this.firstStep(), lastStep)));
  }

  /** Shows the last step without playing the steps before it. */
  skipToLast() {
    clearTimeout(this.timer);
    this.timer = 0;
    if (this.step !== this.lastStep()) this.#showStep(this.lastStep());
    this.update();
  }

  /** @param {number} step */
  #showStep(step) {
    this.step = step;
    this.nextStepTime = performance.now() + this.interval;
    this.onStep(step, Math.min(MAX_FADE_MS, 0.7 * this.interval));
  }

  /** @param {boolean} playing */
  #setPlaying(playing) {
    clearTimeout(this.timer);
    this.timer = 0;
    this.playing = playing;
    this.onPlaying(playing);
  }
}
