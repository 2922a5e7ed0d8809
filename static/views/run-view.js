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
    this.status = new Status(root, () => this.retry());
    this.viewer = new Viewer(part(root, "viewer"));
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
    run.subscribe({
      onState: () => run === this.run && this.onRunState(run),
      onStep: () => run === this.run && this.viewer.update(run.restored),
    });
  }

  /** Starts the run that was set. @param {Picture[]} pictures for the viewer @param {Picture[]} [synchronized] */
  startRun(pictures, synchronized) {
    this.viewer.follow(pictures, synchronized);
    this.run?.start(model.name);
  }

  /** @param {Run} run */
  onRunState(run) {
    this.page.updateButtons();
    if (run.state === "completed") {
      // The viewer may still be playing the steps.
      return this.viewer.player.whenCaughtUp(() => run === this.run && this.showCompleted(run));
    }
    this.status.showRun(run, this.runningText(run));
    if (run.error) this.#showError(run.error);
    if (run.ended) this.viewer.player.whenCaughtUp(() => {});
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
