// @ts-check
/**
 * Follows one generation over server-sent events until it ends.
 *
 * An EventSource reconnects by itself with Last-Event-ID after a dropped connection, but gives up for good when the
 * reconnect is answered by an error status, or the first attempt is. Then we ask for the generation itself: it may have
 * been canceled, be unknown, or still run or be completed (a new stream is opened, which has all steps; what was seen
 * already is skipped).
 */
import { getGeneration } from "./api.js";

/**
 * @typedef {object} Handlers
 * @property {(data: any) => void} queued
 * @property {(data: any) => void} started
 * @property {(data: any) => void} step
 * @property {(data: any) => void} completed
 * @property {(data: any) => void} failed
 * @property {(data: any) => void} canceled
 * @property {() => void} gone        the server doesn't know it (any more)
 * @property {() => void} lost        the connection dropped; we're trying again
 * @property {() => void} restored    the connection is back
 */

const EVENTS = /** @type {const} */ (["queued", "started", "step", "completed", "failed", "canceled"]);
const LAST = new Set(["completed", "failed", "canceled", "gone"]);
const LONGEST_WAIT_MS = 15_000;
/** Streams of a completed generation that are tried in vain before its pictures are taken without their steps. */
const ATTEMPTS = 4;

/**
 * @param {import("./api.js").Links} links
 * @param {Handlers} handlers
 * @returns {() => void} stops following
 */
export function follow(links, handlers) {
  /** @type {EventSource | null} */
  let source = null;
  let timer = 0;
  let wait = 500;
  let seen = -1;
  let attempts = 0;
  let ended = false;
  let interrupted = false;

  function stop() {
    ended = true;
    clearTimeout(timer);
    source?.close();
    removeEventListener("online", hurry);
  }

  /** @param {typeof EVENTS[number] | "gone"} name @param {any} [data] */
  function deliver(name, data) {
    if (ended) return;
    if (LAST.has(name)) stop();
    handlers[name](data);
  }

  function lose() {
    if (!interrupted) handlers.lost();
    interrupted = true;
  }

  /** The network is back: no need to wait any longer. */
  function hurry() {
    if (!interrupted) return;
    source?.close();
    clearTimeout(timer);
    open();
  }

  function open() {
    source = new EventSource(links.events);
    source.onopen = () => {
      wait = 500;
      if (interrupted) handlers.restored();
      interrupted = false;
    };
    source.onerror = () => {
      if (ended) return;
      lose();
      if (source?.readyState === EventSource.CLOSED) recover();
    };
    for (const name of EVENTS) source.addEventListener(name, (event) => receive(name, /** @type {MessageEvent<string>} */ (event)));
  }

  /** @param {typeof EVENTS[number]} name @param {MessageEvent<string>} event */
  function receive(name, { lastEventId, data }) {
    const id = Number.parseInt(lastEventId, 10);
    // A stream that was opened anew starts from the beginning: skip what we had.
    if (id <= seen) return;
    if (Number.isFinite(id)) seen = id;
    let body;
    try {
      body = JSON.parse(data);
    } catch {
      return deliver("failed", { detail: `The server sent a “${name}” event that isn’t JSON.` });
    }
    deliver(name, body);
  }

  async function recover() {
    try {
      const generation = await getGeneration(links.self);
      if (ended) return;
      const { status } = generation;
      if (status === "canceled" || status === "failed") return deliver(status, generation);
      if (status === "completed" && ++attempts > ATTEMPTS) return deliver(status, generation);
    } catch (error) {
      if (ended) return;
      const status = /** @type {{status?: number}} */ (error).status;
      if (status === 404 || status === 410) return deliver("gone");
    }
    timer = window.setTimeout(open, wait);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }

  addEventListener("online", hurry);
  open();
  return stop;
}
