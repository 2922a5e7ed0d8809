// @ts-check
/** What the views that draw have in common: a run, a viewer that shows it, and a status line. */
import { Status } from "../components/status.js";
import { Viewer } from "../components/viewer.js";
import { part } from "../lib/dom.js";
import { model } from "../lib/model.js";

/**
 * @typedef {import("../lib/run.js").Run} Run
 * @typedef {import("../lib/picture.js").Picture} Picture
 */

export class RunView {
  /** @param {import("./view.js").Page} page @param {HTMLElement} root */
  constructor(page, root) {
    this.page = page;
    this.root = root;
    this.status = new Status(root, {
      onRetry: () => this.retry(),
      onSkip: () => this.viewer.player.skipToLast(),
    });
    this.viewer = new Viewer(part(root, "viewer"));
    this.viewer.onPlayback = () => this.#onPlayback();
    this.viewer.onEnlarge = async (index) => {
      const { Lightbox } = await import("../components/lightbox.js");
      this.lightbox ??= new Lightbox();
      this.enlarge(this.lightbox, index);
    };
    /** @type {import("../components/lightbox.js").Lightbox | undefined} */
    this.lightbox = undefined;
    /** The viewer has shown the last step of the run. */
    this.caughtUp = false;
    /** @type {Run | null} */
    this.run = null;
  }

  get running() {
    return Boolean(this.run && !this.run.ended);
  }

  submit() {}

  retry() {
    this.submit();
  }

  cancel() {
    this.run?.cancel();
  }

  /** Shows a run in place of the one before. @param {Run} run */
  setRun(run) {
    this.run?.detach();
    this.run = run;
    this.caughtUp = false;
    run.subscribe({
      onState: () => run === this.run && this.onRunState(run),
      onStep: () => run === this.run && this.onRunStep(run),
    });
  }

  /** Steps have arrived. @param {Run} run */
  onRunStep(run) {
    this.viewer.update(run.restored);
  }

  /** Starts the run that was set. @param {Picture[]} pictures for the viewer */
  startRun(pictures) {
    this.viewer.follow(pictures);
    this.run?.start();
  }

  /** @param {Run} run */
  onRunState(run) {
    this.page.updateButtons();
    if (run.state === "completed") {
      this.onDrawn(run);
      this.#onPlayback();
      return this.viewer.player.end();
    }
    this.status.showRun(run, this.runningText(run));
    if (run.error) this.#showError(run.error);
    if (run.refused) this.page.form.keepSeed();
    if (run.ended) this.viewer.player.end();
  }

  /** All pictures are drawn; the viewer may still be playing their steps. */
  #onPlayback() {
    const { run, viewer } = this;
    if (run?.state !== "completed" || this.caughtUp) return;
    const { step, playing } = viewer.player;
    if (step >= viewer.lastStep) {
      this.caughtUp = true;
      this.showCompleted(run);
    } else if (playing) {
      this.status.show("replaying", `Finished in ${run.seconds.toFixed(1)} s. Replaying the steps.`);
    } else {
      this.status.show("replaying", `Finished in ${run.seconds.toFixed(1)} s. Paused at step ${step} of ${model.stepCount}.`);
    }
  }

  /** All pictures are drawn. @param {Run} _run */
  onDrawn(_run) {}

  /** Opens the large picture. @param {import("../components/lightbox.js").Lightbox} lightbox @param {number} index of the viewer's panels */
  enlarge(lightbox, index) {
    lightbox.open({ pictures: [this.viewer.pictures[index]], index: 0, step: this.viewer.player.step });
  }

  /** The sentence to show while a run draws. @param {Run} _run @returns {string} */
  runningText(_run) {
    return "Denoising.";
  }

  /** @param {Run} _run */
  showCompleted(_run) {}

  /** Field errors stand beside their fields; the status line names the others. @param {import("../lib/api.js").ApiError} error */
  #showError({ message, errors, retryAfter }) {
    const others = this.page.form.showServerErrors(errors).map(({ field, allowed }) => ` ${field}: allowed ${allowed}.`);
    if (others.length) this.status.showError(message + others.join(""), retryAfter);
  }
}
