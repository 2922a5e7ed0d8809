import { Connection, randomToken } from "./connection.js";
import { Generation, Image } from "./generation.js";
import { Stream } from "./stream.js";

/** @import { components } from "./schema.js" */

/**
 * A picture: the bytes of a PNG, JPEG, WebP, GIF or BMP file, as a blob (such as the `File` of an `<input>`), as bytes, in
 * base64 or as a `data:` URL; or an image of a generation.
 *
 * @typedef {Blob | Uint8Array | ArrayBuffer | Image | string} ImageInput
 */

/** @typedef {components["schemas"]["GenerationRequest"]} Request */

/**
 * What to draw: the JSON of the request. The names of classes, models and styles are those of the server.
 *
 * @typedef {Omit<Request, "class" | "model" | "style" | "image"> & {
 *   class?: string | number | null,
 *   model?: string | null,
 *   style?: string | null,
 *   image?: ImageInput | null,
 * }} Settings
 */

/**
 * A picture at an end of an interpolation: that of a seed, a picture, or what the API accepts, such as
 * `{ from: { generation: id, image: 0 } }`.
 *
 * @typedef {number | ImageInput | components["schemas"]["InterpolationEnd"]} End
 */

/** @typedef {components["schemas"]["InterpolationRequest"]} InterpolationRequest */

/**
 * What to draw between two pictures.
 *
 * @typedef {Omit<InterpolationRequest, "a" | "b" | "class" | "model" | "style"> & {
 *   class?: string | number | null,
 *   model?: string | null,
 *   style?: string | null,
 * }} InterpolationSettings
 */

/**
 * @typedef {object} Options
 * @property {string} [baseUrl] The server's address, `http://localhost:3000` if omitted. Empty in a page: its own server.
 * @property {string} [apiKey] In Node, the environment variable `RDPM_API_KEY` if omitted.
 * @property {number} [timeout] Milliseconds to wait for (a part of) an answer, 60,000 if omitted. Streams have a heartbeat
 *   every 15 seconds.
 * @property {number} [maxRetries] How often a request is sent again after a lost connection or an answer 429 or 503; 3 if
 *   omitted.
 * @property {number} [maxRetryWait] If the server names a longer time to wait for (`Retry-After`), the error is thrown at
 *   once; 30 seconds if omitted.
 * @property {typeof globalThis.fetch} [fetch]
 */

/** @typedef {{ signal?: AbortSignal }} Abortable */

/** A client of one server. */
export class Client {
  #connection;

  /** @param {Options} [options] */
  constructor({
    baseUrl = "http://localhost:3000",
    apiKey = environment("RDPM_API_KEY"),
    timeout = 60_000,
    maxRetries = 3,
    maxRetryWait = 30,
    fetch = globalThis.fetch.bind(globalThis),
  } = {}) {
    // With a secret of its own, nobody else can cancel what the client creates.
    /** @type {Record<string, string>} */
    const headers = { "Rdpm-Client": randomToken() };
    if (apiKey) headers.Authorization = `Bearer ${apiKey}`;
    const settings = { baseUrl: baseUrl.replace(/\/+$/, ""), headers, timeout, maxRetries, maxRetryWait, fetch };
    this.#connection = new Connection(settings);
  }

  /**
   * The models that the server offers, the default first.
   *
   * @param {Abortable} [options]
   * @returns {Promise<components["schemas"]["Model"][]>}
   */
  async models({ signal } = {}) {
    return (await this.#json({ path: "models", signal })).models;
  }

  /**
   * Words and subjects that complete a prompt.
   *
   * @param {string} [prefix]
   * @param {Abortable & { model?: string, limit?: number }} [options]
   * @returns {Promise<components["schemas"]["Completions"]>}
   */
  async words(prefix = "", { model, limit, signal } = {}) {
    return this.#json({ path: `words${query({ prefix, model, limit })}`, signal });
  }

  /**
   * Draws images and waits for them. Name a `prompt` or a `class`.
   *
   * @param {Settings} settings
   * @param {Abortable} [options]
   * @returns {Promise<Generation>}
   */
  async generate(settings, options) {
    return this.stream({ previews: false, ...settings }, options).wait();
  }

  /**
   * Draws images and returns their steps, to iterate over.
   *
   * @param {Settings} settings
   * @param {Abortable} [options]
   * @returns {Stream}
   */
  stream(settings, { signal } = {}) {
    const body = async () => {
      const image = settings.image == null ? undefined : await imageText(settings.image);
      return { cancel_on_disconnect: true, ...settings, image };
    };
    return new Stream(this, this.#connection, body, signal);
  }

  /**
   * Draws images from the picture `a` to the picture `b` and waits for them. The first image is `a`, the last is `b`;
   * `animation(id, { which: "images" })` is their film.
   *
   * @param {End} a
   * @param {End} b
   * @param {InterpolationSettings} [settings]
   * @param {Abortable} [options]
   * @returns {Promise<Generation>}
   */
  async interpolate(a, b, settings = {}, { signal } = {}) {
    const body = async () => ({ cancel_on_disconnect: true, previews: false, ...settings, a: await end(a), b: await end(b) });
    return new Stream(this, this.#connection, body, signal, "interpolations").wait();
  }

  /**
   * A generation as it is now.
   *
   * @param {string} id
   * @param {Abortable} [options]
   * @returns {Promise<Generation>}
   */
  async get(id, { signal } = {}) {
    return new Generation(await this.#json({ path: generationPath(id), signal }));
  }

  /**
   * Cancels a generation of this client. Finished images are kept.
   *
   * @param {string} id
   * @param {Abortable} [options]
   * @returns {Promise<Generation>}
   */
  async cancel(id, { signal } = {}) {
    return new Generation(await this.#json({ path: generationPath(id), method: "DELETE", signal }));
  }

  /**
   * A finished image as a file, enlarged `scale` times.
   *
   * @param {string} id
   * @param {number} [index]
   * @param {Abortable & { format?: "png" | "webp" | "jpeg", scale?: number }} [options]
   * @returns {Promise<Blob>}
   */
  async image(id, index = 0, { format = "png", scale, signal } = {}) {
    return this.#blob({ path: generationPath(id, `/images/${index}.${format}${query({ scale })}`), signal });
  }

  /**
   * All images of a completed generation as one file.
   *
   * @param {string} id
   * @param {Abortable & { format?: "png" | "webp" | "jpeg", scale?: number }} [options]
   * @returns {Promise<Blob>}
   */
  async sheet(id, { format = "png", scale, signal } = {}) {
    return this.#blob({ path: generationPath(id, `/sheet.${format}${query({ scale })}`), signal });
  }

  /**
   * The steps as a file, or with `which: "images"` the images, one after the other. `delay` is in milliseconds.
   *
   * @param {string} id
   * @param {Abortable & {
   *   format?: "gif" | "png" | "webp",
   *   which?: "clean" | "noisy" | "tokens" | "images",
   *   index?: number,
   *   scale?: number,
   *   delay?: number,
   *   back_and_forth?: boolean,
   * }} [options]
   * @returns {Promise<Blob>}
   */
  async animation(id, { format = "gif", signal, ...options } = {}) {
    return this.#blob({ path: generationPath(id, `/animation.${format}${query(options)}`), signal });
  }

  /**
   * The token grids of a picture, and what they decode to.
   *
   * @param {ImageInput} image
   * @param {Abortable & { model?: string, seed?: number }} [options]
   * @returns {Promise<components["schemas"]["Tokenization"]>}
   */
  async tokenize(image, { model, seed, signal } = {}) {
    const json = { image: await imageText(image), model, seed };
    return this.#json({ path: "tokenizations", method: "POST", json, signal });
  }

  /**
   * @param {import("./connection.js").Call} call
   * @returns {Promise<any>}
   */
  #json(call) {
    return this.#connection.send(call, (response) => response.json());
  }

  /**
   * @param {import("./connection.js").Call} call
   * @returns {Promise<Blob>}
   */
  #blob(call) {
    return this.#connection.send(call, (response) => response.blob());
  }
}

/**
 * An environment variable, where there are any.
 *
 * @param {string} name
 * @returns {string | undefined}
 */
function environment(name) {
  return /** @type {any} */ (globalThis).process?.env?.[name];
}

/**
 * @param {string} id
 * @param {string} [rest]
 */
function generationPath(id, rest = "") {
  return `generations/${encodeURIComponent(id)}${rest}`;
}

/** @param {Record<string, string | number | boolean | undefined>} values */
function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text && `?${text}`;
}

/**
 * A picture at an end of an interpolation as the API accepts it.
 *
 * @param {End} picture
 * @returns {Promise<components["schemas"]["InterpolationEnd"]>}
 */
async function end(picture) {
  if (typeof picture === "number") return { seed: picture };
  const isPicture = typeof picture === "string" || picture instanceof Image || picture instanceof Blob || picture instanceof Uint8Array || picture instanceof ArrayBuffer;
  return isPicture ? { image: await imageText(picture) } : picture;
}

/**
 * A picture as the API accepts it.
 *
 * @param {ImageInput} image
 * @returns {Promise<string>}
 */
async function imageText(image) {
  if (typeof image === "string") return image;
  if (image instanceof Image) return image.dataUrl;
  const bytes = image instanceof Blob ? await image.arrayBuffer() : image;
  // In parts: a call has a limited number of arguments.
  const parts = [];
  const all = new Uint8Array(bytes);
  for (let start = 0; start < all.length; start += 0x8000) parts.push(String.fromCharCode(...all.subarray(start, start + 0x8000)));
  return btoa(parts.join(""));
}
