/** @import { components } from "./schema.js" */
/** @import { Generation } from "./generation.js" */
/** Every error of this package, except those of an `AbortSignal`. */
export class RdpmError extends Error {
    get name(): string;
}
/** The server can't be reached, or the connection was lost and could not be made again. */
export class RequestError extends RdpmError {
}
/** The generation failed or was canceled. */
export class GenerationError extends RdpmError {
    /** @param {Generation} generation */
    constructor(generation: Generation);
    /** @readonly */
    readonly generation: Generation;
}
/** The server's answer is an error (RFC 9457). */
export class ProblemError extends RdpmError {
    /**
     * The error in a response.
     *
     * @param {Response} response
     * @returns {Promise<ProblemError>}
     */
    static of(response: Response): Promise<ProblemError>;
    /**
     * @param {components["schemas"]["Problem"]} problem
     * @param {number | undefined} retryAfter
     */
    constructor(problem: components["schemas"]["Problem"], retryAfter: number | undefined);
    /** @readonly */
    readonly status: number;
    /** @readonly */
    readonly title: string;
    /** @readonly */
    readonly detail: string;
    /** @readonly */
    readonly type: string;
    /** The fields with invalid values. @readonly */
    readonly fields: {
        allowed: string;
        field: string;
        value: unknown;
    }[];
    /** Seconds after which the same request may succeed, if the server said so. @readonly */
    readonly retryAfter: number | undefined;
}
import type { Generation } from "./generation.js";
import type { components } from "./schema.js";
