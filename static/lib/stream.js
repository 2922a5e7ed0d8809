// @ts-check
/**
 * Follows one generation over server-sent events until it ends.
 *
 * After a dropped connection an EventSource reconnects by itself with Last-Event-ID. It stops trying when the first
 * connection or a reconnection is answered with an error status. Then this module asks for the generation itself: it
 * may be canceled or unknown; if it is still running or completed, a new stream is opened, which sends all events from
 * the beginning, and the events already received are skipped.
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
 * @property {() => void} gone          the server doesn't have the generation (any more)
 * @property {() => void} disconnected  the connection dropped; reconnecting
 * @property {() => void} reconnected
 */

const EVENTS = /** @type {const} */ (["queued", "started", "step", "completed", "failed", "canceled"]);
const FINAL_EVENTS = new Set(["completed", "failed", "canceled", "gone"]);
const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 15_000;
/** Failed streams of a completed generation before its pictures are taken without their steps. */
const MAX_ATTEMPTS = 4;

/**
 * @param {import("./api.js").Links} links
 * @param {Handlers} handlers
 * @returns {() => void} stops following
 */
export function followGeneration(links, handlers) {
  /** @type {EventSource | null} */
  let source = null;
  let timer = 0;
  let waitMs = FIRST_WAIT_MS;
  let lastId = -1;
  let attempts = 0;
  let ended = false;
  let connected = true;

  function stop() {
    ended = true;
    clearTimeout(timer);
    source?.close();
    removeEventListener("online", reconnectNow);
  }

  /** @param {typeof EVENTS[number] | "gone"} name @param {any} [data] */
  function dispatch(name, data) {
    if (ended) return;
    if (FINAL_EVENTS.has(name)) stop();
    handlers[name](data);
  }

  function disconnect() {
    if (connected) handlers.disconnected();
    connected = false;
  }

  /** The network is back: don't wait any longer. */
  function reconnectNow() {
    if (connected) return;
    source?.close();
    clearTimeout(timer);
    open();
  }

  function open() {
    source = new EventSource(links.events);
    source.onopen = () => {
      waitMs = FIRST_WAIT_MS;
      if (!connected) handlers.reconnected();
      connected = true;
    };
    source.onerror = () => {
      if (ended) return;
      disconnect();
      if (source?.readyState === EventSource.CLOSED) recover();
    };
    for (const name of EVENTS) source.addEventListener(name, (event) => receive(name, /** @type {MessageEvent<string>} */ (event)));
  }

  /** @param {typeof EVENTS[number]} name @param {MessageEvent<string>} event */
  function receive(name, { lastEventId, data }) {
    const id = Number.parseInt(lastEventId, 10);
    // A new stream starts from the beginning: skip what was received before.
    if (id <= lastId) return;
    if (Number.isFinite(id)) lastId = id;
    let body;
    try {
      body = JSON.parse(data);
    } catch {
      return dispatch("failed", { detail: `The server sent a “${name}” event that isn’t JSON.` });
    }
    dispatch(name, body);
  }

  async function recover() {
    try {
      const generation = await getGeneration(links.self);
      if (ended) return;
      const { status } = generation;
      if (status === "canceled" || status === "failed") return dispatch(status, generation);
      if (status === "completed" && ++attempts > MAX_ATTEMPTS) return dispatch(status, generation);
    } catch (error) {
      if (ended) return;
      const status = /** @type {{status?: number}} */ (error).status;
      if (status === 404 || status === 410) return dispatch("gone");
    }
    timer = window.setTimeout(open, waitMs);
    waitMs = Math.min(waitMs * 2, MAX_WAIT_MS);
  }

  addEventListener("online", reconnectNow);
  open();
  return stop;
}
