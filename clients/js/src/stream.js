import { GenerationError, RequestError } from "./errors.js";
import { Generation } from "./generation.js";
import { randomToken } from "./connection.js";
import { Parser } from "./sse.js";

/** @import { components } from "./schema.js" */
/** @import { Client } from "./client.js" */
/** @import { Connection } from "./connection.js" */
/** @import { Message } from "./sse.js" */

/** @typedef {components["schemas"]["StepEvent"]} Step */

/**
 * An event of a stream. The last one has the ended generation.
 *
 * @typedef {{ type: "queued" } & components["schemas"]["QueuedEvent"]
 *   | { type: "started" } & components["schemas"]["StartedEvent"]
 *   | { type: "step" } & Step
 *   | { type: "ended", generation: Generation }} Event
 */

/**
 * The steps of a new generation: iterate over it. The request is sent when the iteration begins.
 *
 * If the connection is lost, the stream goes on after the last event that was received. When the iteration is left early,
 * or its signal is aborted, the connection is closed. Some seconds later the server cancels the generation, unless it was
 * made with `cancel_on_disconnect: false`.
 */
export class Stream {
  #client;
  #connection;
  #signal;
  #events;

  /**
   * @param {Client} client
   * @param {Connection} connection
   * @param {() => Promise<unknown>} body
   * @param {AbortSignal} [signal]
   * @param {string} [path] of the request
   */
  constructor(client, connection, body, signal, path = "generations") {
    this.#client = client;
    this.#connection = connection;
    this.#signal = signal;
    this.#events = this.#follow(body, path);
    /**
     * The server's first answer, with id and seed; `undefined` until the iteration begins.
     *
     * @type {components["schemas"]["Accepted"] | undefined}
     */
    this.accepted = undefined;
    /**
     * The generation after it has ended; `undefined` before.
     *
     * @type {Generation | undefined}
     */
    this.generation = undefined;
  }

  /**
   * The steps. Throws `GenerationError` if the generation fails; ends early if it is canceled.
   *
   * @returns {AsyncGenerator<Step, void, void>}
   */
  async *[Symbol.asyncIterator]() {
    for await (const event of this.events()) if (event.type === "step") yield event;
  }

  /**
   * All events. Throws `GenerationError` if the generation fails.
   *
   * @returns {AsyncGenerator<Event, void, void>}
   */
  async *events() {
    for await (const event of this.#events) {
      yield event;
      if (event.type === "ended" && event.generation.status === "failed") throw new GenerationError(event.generation);
    }
  }

  /**
   * Waits for the end. Throws `GenerationError` if the generation fails or is canceled.
   *
   * @returns {Promise<Generation>}
   */
  async wait() {
    for await (const _ of this.events());
    if (!this.generation) throw new RequestError("the stream was closed before the generation ended");
    if (this.generation.status !== "completed") throw new GenerationError(this.generation);
    return this.generation;
  }

  /** Cancels the generation. The iteration then ends. */
  async cancel() {
    if (this.accepted) await this.#client.cancel(this.accepted.id);
  }

  /**
   * @param {() => Promise<unknown>} body
   * @param {string} path
   * @returns {AsyncGenerator<Event, void, void>}
   */
  async *#follow(body, path) {
    const signal = this.#signal;
    // With the key, a request whose answer was lost can be sent again without drawing twice.
    const headers = { "Idempotency-Key": randomToken() };
    const create = { path, method: "POST", json: await body(), headers, signal };
    /** @type {components["schemas"]["Accepted"]} */
    const accepted = await this.#connection.send(create, (response) => response.json());
    this.accepted = accepted;
    let lastEventId = "";
    for (let retries = 0; !this.generation; retries += 1) {
      /** @type {Record<string, string>} */
      const headers = lastEventId ? { "Last-Event-ID": lastEventId } : {};
      const call = { path: `generations/${encodeURIComponent(accepted.id)}/events`, headers, signal };
      try {
        const parser = new Parser();
        let isEmpty = true;
        for await (const chunk of this.#connection.receive(call)) {
          isEmpty = false;
          for (const message of parser.feed(chunk)) {
            lastEventId = message.id;
            retries = 0;
            const event = readEvent(message);
            if (event?.type === "ended") this.generation = event.generation;
            if (event) yield event;
            if (this.generation) return;
          }
        }
        if (!isEmpty) throw new RequestError("the stream ended early");
        // Nothing follows (204): the last event was sent, but not received.
        this.generation = await this.#client.get(accepted.id);
        yield { type: "ended", generation: this.generation };
      } catch (error) {
        await this.#connection.pause(error, retries, signal);
      }
    }
  }
}

/**
 * @param {Message} message
 * @returns {Event | undefined} Nothing for an event that this version doesn't know.
 */
function readEvent({ event, data }) {
  switch (event) {
    case "queued":
    case "started":
    case "step":
      return { type: event, ...JSON.parse(data) };
    case "completed":
    case "failed":
    case "canceled":
      return { type: "ended", generation: new Generation(JSON.parse(data)) };
    default:
      return undefined;
  }
}
