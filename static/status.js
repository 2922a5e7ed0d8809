// @ts-check
/** The status line: one sentence, announced politely; the step count beside it is for the eye only. */

/** @typedef {"idle" | "queued" | "running" | "completed" | "failed" | "canceled"} State */

export class Status {
  /** @param {HTMLElement} root the stage @param {() => void} onRetry */
  constructor(root, onRetry) {
    /** @param {string} selector @returns {any} */
    const find = (selector) => root.querySelector(selector);
    this.line = /** @type {HTMLElement} */ (find("#status"));
    this.text = /** @type {HTMLElement} */ (find("#status-text"));
    this.count = /** @type {HTMLElement} */ (find("#status-progress"));
    this.retry = /** @type {HTMLButtonElement} */ (find("#retry"));
    this.retry.addEventListener("click", onRetry);
    this.timer = 0;
  }

  /** @returns {State} */
  get state() {
    return /** @type {State} */ (this.line.dataset.state);
  }

  /** @param {State} state @param {string} sentence */
  say(state, sentence) {
    clearInterval(this.timer);
    this.line.dataset.state = state;
    if (this.text.textContent !== sentence) this.text.textContent = sentence;
    this.retry.hidden = true;
  }

  /** @param {string} text */
  progress(text) {
    this.count.textContent = text;
  }

  /** An error with a way out. @param {string} sentence @param {number} [seconds] to wait, as the server asks */
  fail(sentence, seconds = 0) {
    this.say("failed", sentence);
    this.retry.hidden = false;
    this.retry.disabled = seconds > 0;
    let left = seconds;
    const tick = () => {
      this.retry.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
      this.retry.disabled = left > 0;
      if (left-- <= 0) clearInterval(this.timer);
    };
    tick();
    if (seconds > 0) this.timer = window.setInterval(tick, 1000);
  }
}
