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
    /**
     * @param {Client} client
     * @param {Connection} connection
     * @param {() => Promise<unknown>} body
     * @param {AbortSignal} [signal]
     * @param {string} [path] of the request
     */
    constructor(client: Client, connection: Connection, body: () => Promise<unknown>, signal?: AbortSignal, path?: string);
    /**
     * The server's first answer, with id and seed; `undefined` until the iteration begins.
     *
     * @type {components["schemas"]["Accepted"] | undefined}
     */
    accepted: components["schemas"]["Accepted"] | undefined;
    /**
     * The generation after it has ended; `undefined` before.
     *
     * @type {Generation | undefined}
     */
    generation: Generation | undefined;
    /**
     * All events. Throws `GenerationError` if the generation fails.
     *
     * @returns {AsyncGenerator<Event, void, void>}
     */
    events(): AsyncGenerator<Event, void, void>;
    /**
     * Waits for the end. Throws `GenerationError` if the generation fails or is canceled.
     *
     * @returns {Promise<Generation>}
     */
    wait(): Promise<Generation>;
    /** Cancels the generation. The iteration then ends. */
    cancel(): Promise<void>;
    /**
     * The steps. Throws `GenerationError` if the generation fails; ends early if it is canceled.
     *
     * @returns {AsyncGenerator<Step, void, void>}
     */
    [Symbol.asyncIterator](): AsyncGenerator<Step, void, void>;
    #private;
}
export type Step = components["schemas"]["StepEvent"];
/**
 * An event of a stream. The last one has the ended generation.
 */
export type Event = ({
    type: "queued";
} & components["schemas"]["QueuedEvent"]) | ({
    type: "started";
} & components["schemas"]["StartedEvent"]) | ({
    type: "step";
} & Step) | {
    type: "ended";
    generation: Generation;
};
import type { components } from "./schema.js";
import { Generation } from "./generation.js";
import type { Client } from "./client.js";
import type { Connection } from "./connection.js";
