import { ProblemError, RequestError } from "./errors.js";

/**
 * How a client reaches its server.
 *
 * @typedef {object} Settings
 * @property {string} baseUrl
 * @property {Record<string, string>} headers
 * @property {number} timeout
 * @property {number} maxRetries
 * @property {number} maxRetryWait
 * @property {typeof globalThis.fetch} fetch
 */

/**
 * A request: a path below the base URL with its query, and what `fetch` needs.
 *
 * @typedef {object} Call
 * @property {string} path
 * @property {string} [method]
 * @property {unknown} [json]
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 */

const RETRIED = [429, 503];

/** Sends requests, and sends them again where that may help. */
export class Connection {
  #settings;

  /** @param {Settings} settings */
  constructor(settings) {
    this.#settings = settings;
  }

  /**
   * A successful response, read by `read`.
   *
   * @template T
   * @param {Call} call
   * @param {(response: Response) => Promise<T>} read
   * @returns {Promise<T>}
   */
  async send(call, read) {
    for (let retries = 0; ; retries += 1) {
      try {
        const exchange = new Exchange(this.#settings, call);
        try {
          return await exchange.run(async () => read(await exchange.response()));
        } finally {
          exchange.close();
        }
      } catch (error) {
        await this.pause(error, retries, call.signal);
      }
    }
  }

  /**
   * The bytes of a successful response as they come, without a second try; none if the response has no body.
   *
   * @param {Call} call
   * @returns {AsyncGenerator<Uint8Array, void, void>}
   */
  async *receive(call) {
    const exchange = new Exchange(this.#settings, call);
    try {
      const response = await exchange.run(() => exchange.response());
      const reader = response.body?.getReader();
      while (reader) {
        const { done, value } = await exchange.run(() => reader.read());
        if (done) return;
        yield value;
      }
    } finally {
      exchange.close();
    }
  }

  /**
   * Waits before a request is sent again; throws the error where it should not be.
   *
   * @param {unknown} error
   * @param {number} retries
   * @param {AbortSignal | undefined} signal
   */
  async pause(error, retries, signal) {
    const { maxRetries, maxRetryWait } = this.#settings;
    const isLost = error instanceof RequestError && !(error.cause instanceof SyntaxError);
    const isBusy = error instanceof ProblemError && RETRIED.includes(error.status);
    const named = isBusy ? error.retryAfter : undefined;
    if (!(isLost || isBusy) || retries >= maxRetries || (named ?? 0) > maxRetryWait) throw error;
    // Random, so that clients of a server that restarts don't all come at the same time.
    const backoff = Math.min(maxRetryWait, 0.5 * 2 ** retries) * (0.5 + Math.random() / 2);
    await sleep((named ?? backoff) * 1000, signal);
  }
}

/** A request and its response. */
class Exchange {
  #settings;
  #call;
  #controller = new AbortController();
  #abort = () => this.#controller.abort();

  /**
   * @param {Settings} settings
   * @param {Call} call
   */
  constructor(settings, call) {
    this.#settings = settings;
    this.#call = call;
    call.signal?.throwIfAborted();
    call.signal?.addEventListener("abort", this.#abort);
  }

  /** Sends the request. Throws `ProblemError` where the server refuses it. */
  async response() {
    const { baseUrl, fetch } = this.#settings;
    const { path, method = "GET", json } = this.#call;
    const headers = { ...this.#settings.headers, ...this.#call.headers };
    if (json !== undefined) headers["Content-Type"] = "application/json";
    const body = json === undefined ? null : JSON.stringify(json);
    const signal = this.#controller.signal;
    const response = await fetch(`${baseUrl}/api/v1/${path}`, { method, headers, body, signal });
    if (!response.ok) throw await ProblemError.of(response);
    return response;
  }

  /**
   * Does a part of it within the time limit, and says what went wrong.
   *
   * @template T
   * @param {() => Promise<T>} part
   * @returns {Promise<T>}
   */
  async run(part) {
    const { baseUrl, timeout } = this.#settings;
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#abort();
    }, timeout);
    try {
      return await part();
    } catch (error) {
      this.#call.signal?.throwIfAborted();
      if (error instanceof ProblemError) throw error;
      if (error instanceof SyntaxError) {
        throw new RequestError(`${baseUrl} is not the address of an RDPM server: its answer is not JSON`, { cause: error });
      }
      throw new RequestError(isLate ? "the server doesn't answer in time" : `the server can't be reached: ${error}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends a response that was not read to its end, too. */
  close() {
    this.#call.signal?.removeEventListener("abort", this.#abort);
    this.#abort();
  }
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<void>}
 */
function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
  });
}

/** A text that nobody can guess. */
export function randomToken() {
  // `crypto.randomUUID` needs HTTPS in browsers.
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
