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
    /** @param {Options} [options] */
    constructor({ baseUrl, apiKey, timeout, maxRetries, maxRetryWait, fetch, }?: Options);
    /**
     * The models that the server offers, the default first.
     *
     * @param {Abortable} [options]
     * @returns {Promise<components["schemas"]["Model"][]>}
     */
    models({ signal }?: Abortable): Promise<components["schemas"]["Model"][]>;
    /**
     * Words and subjects that complete a prompt.
     *
     * @param {string} [prefix]
     * @param {Abortable & { model?: string, limit?: number }} [options]
     * @returns {Promise<components["schemas"]["Completions"]>}
     */
    words(prefix?: string, { model, limit, signal }?: Abortable & {
        model?: string;
        limit?: number;
    }): Promise<components["schemas"]["Completions"]>;
    /**
     * Draws images and waits for them. Name a `prompt` or a `class`.
     *
     * @param {Settings} settings
     * @param {Abortable} [options]
     * @returns {Promise<Generation>}
     */
    generate(settings: Settings, options?: Abortable): Promise<Generation>;
    /**
     * Draws images and returns their steps, to iterate over.
     *
     * @param {Settings} settings
     * @param {Abortable} [options]
     * @returns {Stream}
     */
    stream(settings: Settings, { signal }?: Abortable): Stream;
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
    interpolate(a: End, b: End, settings?: InterpolationSettings, { signal }?: Abortable): Promise<Generation>;
    /**
     * A generation as it is now.
     *
     * @param {string} id
     * @param {Abortable} [options]
     * @returns {Promise<Generation>}
     */
    get(id: string, { signal }?: Abortable): Promise<Generation>;
    /**
     * Cancels a generation of this client. Finished images are kept.
     *
     * @param {string} id
     * @param {Abortable} [options]
     * @returns {Promise<Generation>}
     */
    cancel(id: string, { signal }?: Abortable): Promise<Generation>;
    /**
     * A finished image as a file, enlarged `scale` times.
     *
     * @param {string} id
     * @param {number} [index]
     * @param {Abortable & { format?: "png" | "webp" | "jpeg", scale?: number }} [options]
     * @returns {Promise<Blob>}
     */
    image(id: string, index?: number, { format, scale, signal }?: Abortable & {
        format?: "png" | "webp" | "jpeg";
        scale?: number;
    }): Promise<Blob>;
    /**
     * All images of a completed generation as one file.
     *
     * @param {string} id
     * @param {Abortable & { format?: "png" | "webp" | "jpeg", scale?: number }} [options]
     * @returns {Promise<Blob>}
     */
    sheet(id: string, { format, scale, signal }?: Abortable & {
        format?: "png" | "webp" | "jpeg";
        scale?: number;
    }): Promise<Blob>;
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
    animation(id: string, { format, signal, ...options }?: Abortable & {
        format?: "gif" | "png" | "webp";
        which?: "clean" | "noisy" | "tokens" | "images";
        index?: number;
        scale?: number;
        delay?: number;
        back_and_forth?: boolean;
    }): Promise<Blob>;
    /**
     * The token grids of a picture, and what they decode to.
     *
     * @param {ImageInput} image
     * @param {Abortable & { model?: string, seed?: number }} [options]
     * @returns {Promise<components["schemas"]["Tokenization"]>}
     */
    tokenize(image: ImageInput, { model, seed, signal }?: Abortable & {
        model?: string;
        seed?: number;
    }): Promise<components["schemas"]["Tokenization"]>;
    #private;
}
/**
 * A picture: the bytes of a PNG, JPEG, WebP, GIF or BMP file, as a blob (such as the `File` of an `<input>`), as bytes, in
 * base64 or as a `data:` URL; or an image of a generation.
 */
export type ImageInput = Blob | Uint8Array | ArrayBuffer | Image | string;
export type Request = components["schemas"]["GenerationRequest"];
/**
 * What to draw: the JSON of the request. The names of classes, models and styles are those of the server.
 */
export type Settings = Omit<Request, "class" | "model" | "style" | "image"> & {
    class?: string | number | null;
    model?: string | null;
    style?: string | null;
    image?: ImageInput | null;
};
/**
 * A picture at an end of an interpolation: that of a seed, a picture, or what the API accepts, such as
 * `{ from: { generation: id, image: 0 } }`.
 */
export type End = number | ImageInput | components["schemas"]["InterpolationEnd"];
export type InterpolationRequest = components["schemas"]["InterpolationRequest"];
/**
 * What to draw between two pictures.
 */
export type InterpolationSettings = Omit<InterpolationRequest, "a" | "b" | "class" | "model" | "style"> & {
    class?: string | number | null;
    model?: string | null;
    style?: string | null;
};
export type Options = {
    /**
     * The server's address, `http://localhost:3000` if omitted. Empty in a page: its own server.
     */
    baseUrl?: string | undefined;
    /**
     * In Node, the environment variable `RDPM_API_KEY` if omitted.
     */
    apiKey?: string | undefined;
    /**
     * Milliseconds to wait for (a part of) an answer, 60,000 if omitted. Streams have a heartbeat
     * every 15 seconds.
     */
    timeout?: number | undefined;
    /**
     * How often a request is sent again after a lost connection or an answer 429 or 503; 3 if
     * omitted.
     */
    maxRetries?: number | undefined;
    /**
     * If the server names a longer time to wait for (`Retry-After`), the error is thrown at
     * once; 30 seconds if omitted.
     */
    maxRetryWait?: number | undefined;
    fetch?: typeof fetch | undefined;
};
export type Abortable = {
    signal?: AbortSignal;
};
import type { components } from "./schema.js";
import { Generation } from "./generation.js";
import { Stream } from "./stream.js";
import { Image } from "./generation.js";
