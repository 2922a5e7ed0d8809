// @ts-check
/** The status line: one sentence, announced politely, with a way out where something went wrong. */

/** @typedef {"idle" | "queued" | "running" | "offline" | "completed" | "failed" | "canceled"} Look */

export class Status {
  /** @param {HTMLElement} root @param {() => void} onRetry */
  constructor(root, onRetry) {
    /** @param {string} name @returns {any} */
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.line = /** @type {HTMLElement} */ (part("status"));
    this.text = /** @type {HTMLElement} */ (part("status-text"));
    this.retry = /** @type {HTMLButtonElement} */ (part("retry"));
    this.retry.addEventListener("click", onRetry);
    this.timer = 0;
  }

  /** @param {Look} look @param {string} sentence */
  say(look, sentence) {
    clearInterval(this.timer);
    this.line.dataset.state = look;
    if (this.text.textContent !== sentence) this.text.textContent = sentence;
    this.retry.hidden = true;
  }

  /** An error, and the button to try again. @param {string} sentence @param {number} [seconds] to wait, as the server asks */
  fail(sentence, seconds = 0) {
    this.say("failed", sentence);
    this.retry.hidden = false;
    let left = seconds;
    const tick = () => {
      this.retry.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
      this.retry.disabled = left > 0;
      if (left-- <= 0) clearInterval(this.timer);
    };
    tick();
    if (seconds > 0) this.timer = window.setInterval(tick, 1000);
  }

  /**
   * Says how a session stands, but for its completion, which comes with a sentence of its own.
   * @param {import("./session.js").Session} session @param {string} running what is being done
   */
  follow(session, running) {
    const { state, connected, detail, refusal } = session;
    if (!session.ended && !connected) return this.say("offline", "The connection is gone. Trying again; nothing is lost.");
    switch (state) {
      case "asking": return this.say("queued", "Asking the server…");
      case "queued": return this.say("queued", queued(session.queue));
      case "running": return this.say("running", running);
      case "failed": return this.fail(detail, refusal?.retryAfter);
      case "canceled": return this.say("canceled", "Canceled.");
      case "gone": return this.fail("The server doesn’t know this run any more; it may have been restarted. The same seed draws the same picture.");
    }
  }
}

/** @param {{position?: number, eta_seconds?: number} | undefined} queue */
function queued({ position = 0, eta_seconds } = {}) {
  const place = position > 1 ? `In the queue, at position ${position}` : position === 1 ? "Next in the queue" : "In the queue";
  if (typeof eta_seconds !== "number" || eta_seconds < 1) return `${place}.`;
  const wait = eta_seconds < 90 ? `${Math.ceil(eta_seconds)} s` : `${Math.ceil(eta_seconds / 60)} min`;
  return `${place}; begins in about ${wait}.`;
}
