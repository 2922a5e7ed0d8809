/**
 * A message of an event stream; `id` is the last id that was sent, empty if there was none.
 *
 * @typedef {{ event: string, data: string, id: string }} Message
 */
/** Reads `text/event-stream`, as the HTML standard defines it. A message that is not complete at the end is dropped. */
export class Parser {
    /**
     * @param {Uint8Array} chunk
     * @returns {Generator<Message>}
     */
    feed(chunk: Uint8Array): Generator<Message>;
    #private;
}
/**
 * A message of an event stream; `id` is the last id that was sent, empty if there was none.
 */
export type Message = {
    event: string;
    data: string;
    id: string;
};
