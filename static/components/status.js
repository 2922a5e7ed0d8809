// @ts-check
/** The status line: one sentence, announced politely, and a button to try again after an error. */
import { part } from "../lib/dom.js";

/** @typedef {"idle" | "queued" | "running" | "replaying" | "offline" | "completed" | "failed" | "canceled"} StatusState */

export class Status {
  /** @param {HTMLElement} root @param {{onRetry: () => void, onSkip?: () => void}} events */
  constructor(root, { onRetry, onSkip = () => {} }) {
    this.line = /** @type {HTMLElement} */ (part(root, "status"));
    this.text = /** @type {HTMLElement} */ (part(root, "status-text"));
    this.retry = /** @type {HTMLButtonElement} */ (part(root, "retry"));
    this.retry.addEventListener("click", onRetry);
    this.skip = /** @type {HTMLButtonElement} */ (part(root, "skip"));
    this.skip?.addEventListener("click", onSkip);
    this.countdown = 0;
  }

  /** @param {StatusState} state @param {string} sentence */
  show(state, sentence) {
    clearInterval(this.countdown);
    this.line.dataset.state = state;
    if (this.text.textContent !== sentence) this.text.textContent = sentence;
    this.retry.hidden = true;
    if (this.skip) this.skip.hidden = state !== "replaying";
  }

  /** An error, and the button to try again. @param {string} sentence @param {number} [waitSeconds] as the server asks */
  showError(sentence, waitSeconds = 0) {
    this.show("failed", sentence);
    this.retry.hidden = false;
    let left = waitSeconds;
    const tick = () => {
      this.retry.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
      this.retry.disabled = left > 0;
      if (left-- <= 0) clearInterval(this.countdown);
    };
    tick();
    if (waitSeconds > 0) this.countdown = window.setInterval(tick, 1000);
  }

  /**
   * The state of a run. The sentence about its completion is the view's own.
   * @param {import("../lib/run.js").Run} run
   * @param {string} running  sentence to show while it runs
   */
  showRun(run, running) {
    const { state, connected, detail, error } = run;
    if (!run.ended && !connected) return this.show("offline", "Connection lost. Reconnecting; no steps are lost.");
    switch (state) {
      case "submitting": return this.show("queued", "Sending the request…");
      case "queued": return this.show("queued", describeQueue(run.queue));
      case "running": return this.show("running", running);
      case "failed": return this.showError(detail, error?.retryAfter);
      case "canceled": return this.show("canceled", "Canceled.");
      case "gone": return this.showError("The server no longer has this run; it may have been restarted. Try again: the same seed gives the same picture.");
    }
  }
}

/** @param {import("../lib/run.js").QueueInfo | undefined} queue */
function describeQueue({ position = 0, eta_seconds } = {}) {
  const text = position > 1 ? `In the queue, at position ${position}` : position === 1 ? "Next in the queue" : "In the queue";
  if (typeof eta_seconds !== "number" || eta_seconds < 1) return `${text}.`;
  const wait = eta_seconds < 90 ? `${Math.ceil(eta_seconds)} s` : `${Math.ceil(eta_seconds / 60)} min`;
  return `${text}; starts in about ${wait}.`;
}
