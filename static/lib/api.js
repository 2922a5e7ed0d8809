// @ts-check
/** All requests to the server; errors become sentences for people. Event streams are in stream.js. */

import { clientToken } from "./client-token.js";

/**
 * @typedef {{class?: string, prompt?: string, style?: string, seed: number, count: number, image?: string, from_step?: number, index?: number, tokens?: GivenTokens, cells?: [number, number][], [samplingOption: string]: any}} GenerationRequest
 * @typedef {{seed: number, index: number, tokens: (number | null)[][][]}} GivenTokens
 * @typedef {{field: string, value: unknown, allowed: unknown}} FieldError
 * @typedef {{self: string, events: string}} Links
 * @typedef {{id: string, status: string, model: string, class: string, seed: number, subjects?: string[], styles?: string[], unknown_words?: string[], links: Links}} Accepted
 * @typedef {{index: number, png_base64: string, url?: string}} GeneratedImage
 * @typedef {{id: string, status: string, class: string, seed: number, detail?: string, images?: GeneratedImage[]}} Generation
 */

/** The path below which the server is reached, which a proxy decides: empty, or as "/draw". */
export const ROOT = document.querySelector('meta[name="rdpm-root"]')?.getAttribute("content") ?? "";

export const GENERATIONS = `${ROOT}/api/v1/generations`;
export const INTERPOLATIONS = `${ROOT}/api/v1/interpolations`;

const UNREACHABLE = "The server can’t be reached. Check that it is running, then try again.";

/** A refused or failed request. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, errors?: FieldError[], retryAfter?: number}} [details]
   */
  constructor(message, { status = 0, errors = [], retryAfter = 0 } = {}) {
    super(message);
    this.name = "ApiError";
    /** HTTP status; 0 if there was no response. */
    this.status = status;
    this.errors = errors;
    /** Seconds that the server asks to wait; 0 if it doesn't say. */
    this.retryAfter = retryAfter;
  }
}

/** @param {object} request @returns {Promise<Accepted>} */
export const createGeneration = (request) => post(GENERATIONS, request);

/** @param {object} request @returns {Promise<Accepted>} */
export const createInterpolation = (request) => post(INTERPOLATIONS, request);

/** @param {string} url @returns {Promise<Generation>} */
export const getGeneration = (url) => send(url);

/** @param {string} url */
export const cancelGeneration = (url) => send(url, { method: "DELETE" });

/**
 * @param {string} url of the generation
 * @param {{which: string, scale: number, index: number, format: string}} query
 * @returns {Promise<Blob>}
 */
export async function getAnimation(url, { which, scale, index, format }) {
  const response = await getFile(`${url}/animation.${format}?which=${which}&scale=${scale}&index=${index}`);
  return response.blob();
}

/** The pictures of a generation as a GIF, back and forth. @param {string} url of the generation @param {{scale: number, delay: number}} query @returns {Promise<Blob>} */
export async function getFilm(url, { scale, delay }) {
  const response = await getFile(`${url}/animation.gif?which=images&back_and_forth=true&scale=${scale}&delay=${delay}`);
  return response.blob();
}

/**
 * @param {string} url of the generation
 * @param {{index: number, format: string, scale: number}} query
 * @returns {Promise<Blob>}
 */
export async function getImage(url, { index, format, scale }) {
  const response = await getFile(`${url}/images/${index}.${format}?scale=${scale}`);
  return response.blob();
}

/** A picture of a class. @param {string} url @returns {Promise<Blob>} */
export async function getPicture(url) {
  const response = await getFile(url);
  return response.blob();
}

/**
 * @typedef {{step: number, tokens: number[][], noisy: string, clean: string}} TokenizedStep
 * @typedef {{names: {text: string, probability: number}[], words: {text: string, probability: number}[]}} Caption  the most probable first
 * @typedef {{model: string, seed: number, steps: TokenizedStep[], input: {png_base64: string}, reconstruction: {png_base64: string}, caption: Caption | null}} Tokenization
 */

/** @param {{image: string, seed: number, model: string}} request `image` is a data URL @returns {Promise<Tokenization>} */
export const createTokenization = (request) => post(`${ROOT}/api/v1/tokenizations`, request);

/** What completes a prompt. @param {{model: string, prefix: string, limit: number}} query @param {AbortSignal} [signal] @returns {Promise<{words: string[], subjects: string[], similar: string[]}>} */
export const getCompletions = ({ model, prefix, limit }, signal) => send(`${ROOT}/api/v1/words?${new URLSearchParams({ model, prefix, limit: String(limit) })}`, { signal });

/** @param {string} url @param {object} body */
const post = (url, body) => send(url, asPost(body));

/** A request that posts JSON. @param {object} body @returns {RequestInit} */
export const asPost = (body) => ({ method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

/** @param {string} url @param {RequestInit} [init] @returns {Promise<any>} the response's JSON; null without any */
export async function send(url, init) {
  const response = await request(url, init);
  return response.json().catch(() => null);
}

/** @param {string} url @param {RequestInit} [init] @returns {Promise<Response>} a response without an error */
export async function request(url, init) {
  const headers = { ...init?.headers, "rdpm-client": clientToken() };
  const response = await fetchOrThrow(url, { cache: "no-store", ...init, headers });
  if (response.ok) return response;
  const { title, detail, errors } = (await response.json().catch(() => null)) ?? {};
  throw new ApiError(detail || title || `The server answered with status ${response.status}.`, {
    status: response.status,
    errors: Array.isArray(errors) ? errors : [],
    retryAfter: parseRetryAfter(response.headers.get("retry-after")),
  });
}

/** @param {string} url */
async function getFile(url) {
  const response = await fetchOrThrow(url);
  if (!response.ok) throw new ApiError(`The server answered with status ${response.status}.`, { status: response.status });
  return response;
}

/** @param {string} url @param {RequestInit} [init] */
async function fetchOrThrow(url, init) {
  try {
    return await fetch(url, init);
  } catch {
    throw new ApiError(UNREACHABLE);
  }
}

/** Retry-After is either seconds or a date. @param {string | null} header @returns {number} seconds */
function parseRetryAfter(header) {
  if (!header) return 0;
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : 0;
}
