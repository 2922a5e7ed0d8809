// @ts-check
/** The API documentation: each operation as a command that follows its fields, and that this page can run against its own server. */
import { clientToken } from "./lib/client-token.js";
import { createElement } from "./lib/dom.js";

/** Longer texts of an answer are cut. */
const MAX_TEXT = 100_000;
/** Longer texts within an answer, such as pictures, are shortened. */
const MAX_VALUE = 80;

/** Values to begin with, by operation and parameter. @type {Record<string, Record<string, string>>} */
const VALUES = {
  createGeneration: { wait: "true" },
  getAnimation: { format: "gif", scale: "4" },
  getImage: { file: "0.png", scale: "4" },
  getSheet: { format: "png" },
  getClassPicture: { model: "emoji", file: "0.png" },
  getPicture: { model: "emoji", file: "heart.png", seed: "7", scale: "4" },
  completePrompt: { prefix: "smil" },
  openaiGetModel: { model: "emoji" },
};

/** The generation that was created last. Operations on one generation use it. */
let lastId = "";
/** What the visitor entered, once the server has asked for a key. It is kept on this page only. */
let apiKey = "";

/** @typedef {{name: string, place: string, input: HTMLInputElement}} Parameter */

class Operation {
  /** @param {HTMLElement} article @param {number} index */
  constructor(article, index) {
    this.article = article;
    const { method = "GET", path = "/", operation = "" } = article.dataset;
    this.method = method;
    this.path = path;
    this.name = operation;
    this.prefix = `run-${index}`;
    const block = /** @type {HTMLElement | null} */ (article.querySelector("[data-body]"));
    /** The JSON to send. @type {HTMLTextAreaElement | null} */
    this.body = block && document.createElement("textarea");
    /** @type {Parameter[]} */
    this.parameters = [];
    this.form = document.createElement("form");
    this.form.className = "run";
    this.form.noValidate = true;
    this.#addParameters();
    if (this.body && block) {
      const text = block.textContent ?? "";
      Object.assign(this.body, { value: text, rows: Math.min(16, text.split("\n").length), spellcheck: false, id: `${this.prefix}-body` });
      this.body.setAttribute("aria-label", `Body of ${this.name}: JSON`);
      block.replaceWith(this.body);
      this.body.addEventListener("input", () => this.#showCommand());
    }
    this.command = createElement("code");
    const commandBlock = createElement("pre", "command");
    commandBlock.tabIndex = 0;
    commandBlock.append(this.command);
    const run = createElement("button", "", "Run");
    run.setAttribute("type", "submit");
    this.stop = /** @type {HTMLButtonElement} */ (createElement("button", "secondary", "Stop"));
    Object.assign(this.stop, { type: "button", hidden: true });
    this.status = createElement("span", "run-status");
    this.status.setAttribute("role", "status");
    const row = createElement("p", "run-row");
    row.append(run, this.stop, this.status);
    this.key = this.#createKeyField();
    this.answer = createElement("div", "answer");
    this.form.append(commandBlock, this.key, row, this.answer);
    (article.querySelector("[data-run-after]") ?? article).after(this.form);
    /** @type {AbortController | null} */
    this.request = null;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#run();
    });
    this.stop.addEventListener("click", () => this.request?.abort());
    // What another operation created since.
    this.form.addEventListener("focusin", () => this.#useLastId());
    this.#showCommand();
  }

  #addParameters() {
    const fields = createElement("div", "run-fields");
    for (const term of /** @type {NodeListOf<HTMLElement>} */ (this.article.querySelectorAll("dt[data-parameter]"))) {
      const { parameter: name = "", place = "" } = term.dataset;
      if (place === "header") continue;
      const input = document.createElement("input");
      Object.assign(input, { type: "text", id: `${this.prefix}-${name}`, value: VALUES[this.name]?.[name] ?? "", autocomplete: "off", spellcheck: false });
      const label = createElement("label", "", name);
      label.setAttribute("for", input.id);
      input.addEventListener("input", () => this.#showCommand());
      fields.append(label, input);
      this.parameters.push({ name, place, input });
    }
    if (this.parameters.length) this.form.append(fields);
  }

  #createKeyField() {
    const paragraph = createElement("p", "run-key");
    paragraph.hidden = true;
    const label = createElement("label", "", "API key");
    label.setAttribute("for", `${this.prefix}-key`);
    const input = document.createElement("input");
    Object.assign(input, { type: "password", id: `${this.prefix}-key`, autocomplete: "off" });
    input.addEventListener("input", () => {
      apiKey = input.value.trim();
    });
    paragraph.append(label, input);
    return paragraph;
  }

  #useLastId() {
    const id = this.parameters.find(({ name, place }) => name === "id" && place === "path");
    if (!id || !lastId || id.input.value || this.name === "openaiGetImageFile") return;
    id.input.value = lastId;
    this.#showCommand();
  }

  /** The address with the values of the fields; a field that is missing keeps its name. */
  get #url() {
    let path = this.path;
    const query = new URLSearchParams();
    for (const { name, place, input } of this.parameters) {
      const value = input.value.trim();
      if (place === "path" && value) path = path.replace(`{${name}}`, encodeURIComponent(value));
      if (place === "query" && value) query.set(name, value);
    }
    return query.size ? `${path}?${query}` : path;
  }

  #showCommand() {
    const quote = (/** @type {string} */ text) => `'${text.replaceAll("'", "'\\''")}'`;
    const url = location.origin + this.#url;
    const parts = ["curl -sS", ...(this.method === "GET" ? [] : [`-X ${this.method}`]), /[?{]/.test(url) ? quote(url) : url];
    if (this.body) parts.push("\\\n  -H 'content-type: application/json'", `\\\n  -d ${quote(this.body.value)}`);
    this.command.textContent = parts.join(" ");
  }

  async #run() {
    this.#useLastId();
    const missing = this.parameters.find(({ place, input }) => place === "path" && !input.value.trim());
    if (missing) {
      this.status.textContent = missing.name === "id" ? "Create a generation first, or enter its id." : `Enter ${missing.name}.`;
      return missing.input.focus();
    }
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    this.stop.hidden = false;
    this.status.textContent = "Waiting for the answer…";
    this.answer.replaceChildren();
    const start = performance.now();
    try {
      const response = await fetch(this.#url, {
        method: this.method,
        headers: {
          "rdpm-client": clientToken(),
          ...(this.body && { "content-type": "application/json" }),
          ...(apiKey && { authorization: `Bearer ${apiKey}` }),
        },
        body: this.body?.value,
        cache: "no-store",
        signal: request.signal,
      });
      if (response.status === 401) this.key.hidden = false;
      const what = `${response.status} ${response.statusText}`.trim();
      this.status.textContent = `${what}, ${((performance.now() - start) / 1000).toFixed(2)} s`;
      await this.#show(response);
    } catch (error) {
      if (request !== this.request) return;
      this.status.textContent = request.signal.aborted ? "Stopped." : `The server can’t be reached: ${/** @type {Error} */ (error).message}`;
    } finally {
      if (request === this.request) this.stop.hidden = true;
    }
  }

  /** @param {Response} response */
  async #show(response) {
    const type = response.headers.get("content-type") ?? "";
    if (type.startsWith("image/")) {
      const image = new Image();
      image.alt = "The picture of the answer";
      image.src = URL.createObjectURL(await response.blob());
      image.addEventListener("load", () => URL.revokeObjectURL(image.src));
      return this.answer.replaceChildren(image);
    }
    const text = createElement("code");
    const block = document.createElement("pre");
    block.tabIndex = 0;
    block.setAttribute("role", "region");
    block.setAttribute("aria-label", "The answer");
    block.append(text);
    if (type.startsWith("text/event-stream") && response.body) {
      this.answer.replaceChildren(block);
      let received = "";
      for await (const chunk of /** @type {any} */ (response.body.pipeThrough(new TextDecoderStream()))) {
        received += chunk;
        // Events end with an empty line.
        const end = received.lastIndexOf("\n\n") + 2;
        text.append(shortenTexts(received.slice(0, end)));
        received = received.slice(end);
        if ((text.textContent ?? "").length > MAX_TEXT) return text.append("…");
      }
      return;
    }
    const received = await response.text();
    if (!received) return;
    text.textContent = cut(type.includes("json") ? prettyJson(received, (id) => (lastId = id)) : received);
    this.answer.replaceChildren(block);
  }
}

/** @param {string} text */
const cut = (text) => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}\n… (${text.length - MAX_TEXT} more characters)` : text);

/** @param {string} text */
const shorten = (text) => (text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE / 2)}… (${text.length} characters)` : text);

/** Shortens long texts within JSON, such as pictures. @param {string} text */
const shortenTexts = (text) => text.replace(/"((?:[^"\\]|\\.)*)"/g, (_, content) => `"${shorten(content)}"`);

/** Indented JSON; rows of numbers stay on one line. @param {string} text @param {(id: string) => void} onGeneration */
function prettyJson(text, onGeneration) {
  try {
    const value = JSON.parse(text);
    if (typeof value?.id === "string" && typeof value?.links?.events === "string") onGeneration(value.id);
    const indented = JSON.stringify(value, (_, one) => (typeof one === "string" ? shorten(one) : one), 2);
    return indented.replace(/\[[\d\s.,e-]+\]/g, (row) => row.replace(/\s+/g, " "));
  } catch {
    return text;
  }
}

[.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("article[data-operation]"))].forEach((article, index) => new Operation(article, index));
