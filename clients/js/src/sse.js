/**
 * A message of an event stream; `id` is the last id that was sent, empty if there was none.
 *
 * @typedef {{ event: string, data: string, id: string }} Message
 */

/** Reads `text/event-stream`, as the HTML standard defines it. A message that is not complete at the end is dropped. */
export class Parser {
  #decoder = new TextDecoder();
  #rest = "";
  #event = "";
  /** @type {string[]} */
  #data = [];
  #id = "";

  /**
   * @param {Uint8Array} chunk
   * @returns {Generator<Message>}
   */
  *feed(chunk) {
    const text = this.#rest + this.#decoder.decode(chunk, { stream: true });
    // What follows a last carriage return may be its line feed.
    const end = text.endsWith("\r") ? text.length - 1 : text.length;
    let start = 0;
    for (const match of text.slice(0, end).matchAll(/\r\n|\n|\r/g)) {
      const message = this.#line(text.slice(start, match.index));
      start = match.index + match[0].length;
      if (message) yield message;
    }
    this.#rest = text.slice(start);
  }

  /**
   * @param {string} line
   * @returns {Message | undefined}
   */
  #line(line) {
    if (line === "") {
      const data = this.#data;
      const message = { event: this.#event || "message", data: data.join("\n"), id: this.#id };
      this.#event = "";
      this.#data = [];
      return data.length > 0 ? message : undefined;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    // A line without a name is a comment, the server's heartbeat.
    if (name === "event") this.#event = value;
    else if (name === "data") this.#data.push(value);
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    return undefined;
  }
}
