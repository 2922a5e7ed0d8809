/** @import { components } from "./schema.js" */
/** @import { Generation } from "./generation.js" */

/** Every error of this package, except those of an `AbortSignal`. */
export class RdpmError extends Error {
  get name() {
    return this.constructor.name;
  }
}

/** The server can't be reached, or the connection was lost and could not be made again. */
export class RequestError extends RdpmError {}

/** The generation failed or was canceled. */
export class GenerationError extends RdpmError {
  /** @param {Generation} generation */
  constructor(generation) {
    const why = generation.detail ? `: ${generation.detail}` : "";
    super(`generation ${generation.id} is ${generation.status}${why}`);
    /** @readonly */
    this.generation = generation;
  }
}

/** The server's answer is an error (RFC 9457). */
export class ProblemError extends RdpmError {
  /**
   * @param {components["schemas"]["Problem"]} problem
   * @param {number | undefined} retryAfter
   */
  constructor(problem, retryAfter) {
    const fields = problem.errors ?? [];
    const invalid = fields.map(({ field, value, allowed }) => `\n${field}: ${JSON.stringify(value)} is not ${allowed}`);
    super(`${problem.status} ${problem.title}: ${problem.detail}${invalid.join("")}`);
    /** @readonly */
    this.status = problem.status;
    /** @readonly */
    this.title = problem.title;
    /** @readonly */
    this.detail = problem.detail;
    /** @readonly */
    this.type = problem.type;
    /** The fields with invalid values. @readonly */
    this.fields = fields;
    /** Seconds after which the same request may succeed, if the server said so. @readonly */
    this.retryAfter = retryAfter;
  }

  /**
   * The error in a response.
   *
   * @param {Response} response
   * @returns {Promise<ProblemError>}
   */
  static async of(response) {
    const retryAfter = seconds(response.headers.get("retry-after"));
    const text = await response.text();
    try {
      const problem = JSON.parse(text);
      if (typeof problem.title === "string" && typeof problem.detail === "string") {
        return new ProblemError({ type: "about:blank", ...problem, status: response.status }, retryAfter);
      }
    } catch {
      // Not the server's: a proxy's, for example.
    }
    const problem = { type: "about:blank", status: response.status, title: response.statusText, detail: text.slice(0, 500) };
    return new ProblemError(problem, retryAfter);
  }
}

/**
 * The time that a `Retry-After` header names: seconds or a date.
 *
 * @param {string | null} retryAfter
 */
function seconds(retryAfter) {
  if (retryAfter === null) return undefined;
  if (/^\s*\d+\s*$/.test(retryAfter)) return Number(retryAfter);
  const date = /[a-z]/i.test(retryAfter) ? Date.parse(retryAfter) : NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, (date - Date.now()) / 1000);
}
