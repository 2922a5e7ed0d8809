// @ts-check
/** The JSON API: requests, and errors turned into something a person can read. */

/**
 * @typedef {{field: string, value: unknown, allowed: unknown}} FieldError
 * @typedef {{self: string, events: string}} Links
 * @typedef {{id: string, status: string, model: string, class: string, seed: number, links: Links}} Accepted
 * @typedef {{index: number, png_base64: string, url?: string}} Picture
 * @typedef {{id: string, status: string, class: string, seed: number, detail?: string, images?: Picture[]}} Generation
 */

/** A refused or failed request. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, errors?: FieldError[], retryAfter?: number}} [more]
   */
  constructor(message, { status = 0, errors = [], retryAfter = 0 } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.errors = errors;
    /** Seconds the server asks us to wait; 0 if it didn't say. */
    this.retryAfter = retryAfter;
  }
}

/**
 * @param {string} url
 * @param {RequestInit} [init]
 * @returns {Promise<any>}
 */
async function request(url, init) {
  let response;
  try {
    response = await fetch(url, { cache: "no-store", ...init });
  } catch {
    throw new ApiError("The server can’t be reached. Is it still running?");
  }
  const body = await response.json().catch(() => null);
  if (response.ok) return body;
  const { title, detail, errors } = body ?? {};
  throw new ApiError(detail || title || `The server answered with status ${response.status}.`, {
    status: response.status,
    errors: Array.isArray(errors) ? errors : [],
    retryAfter: retryAfter(response.headers.get("retry-after")),
  });
}

/** Retry-After is either seconds or a date.
 * @param {string | null} header */
function retryAfter(header) {
  if (!header) return 0;
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : 0;
}

/** @param {object} settings @returns {Promise<Accepted>} */
export const createGeneration = (settings) => send("/api/v1/generations", settings);

/** @param {string} url @param {object} body */
const send = (url, body) =>
  request(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

/** @param {string} url @returns {Promise<Generation>} */
export const getGeneration = (url) => request(url);

/** @param {string} url */
export const cancelGeneration = (url) => request(url, { method: "DELETE" });

/**
 * @typedef {{step: number, tokens: number[][], noisy: string, clean: string}} TokenizedStep
 * @typedef {{model: string, seed: number, steps: TokenizedStep[], input: {png_base64: string}, reconstruction: {png_base64: string}}} Tokenization
 */

/** @param {{image: string, seed: number, model: string}} body `image` is a data URL @returns {Promise<Tokenization>} */
export const tokenize = (body) => send("/api/v1/tokenizations", body);
