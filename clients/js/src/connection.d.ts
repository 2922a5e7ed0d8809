/** A text that nobody can guess. */
export function randomToken(): string;
/** Sends requests, and sends them again where that may help. */
export class Connection {
    /** @param {Settings} settings */
    constructor(settings: Settings);
    /**
     * A successful response, read by `read`.
     *
     * @template T
     * @param {Call} call
     * @param {(response: Response) => Promise<T>} read
     * @returns {Promise<T>}
     */
    send<T>(call: Call, read: (response: Response) => Promise<T>): Promise<T>;
    /**
     * The bytes of a successful response as they come, without a second try; none if the response has no body.
     *
     * @param {Call} call
     * @returns {AsyncGenerator<Uint8Array, void, void>}
     */
    receive(call: Call): AsyncGenerator<Uint8Array, void, void>;
    /**
     * Waits before a request is sent again; throws the error where it should not be.
     *
     * @param {unknown} error
     * @param {number} retries
     * @param {AbortSignal | undefined} signal
     */
    pause(error: unknown, retries: number, signal: AbortSignal | undefined): Promise<void>;
    #private;
}
/**
 * How a client reaches its server.
 */
export type Settings = {
    baseUrl: string;
    headers: Record<string, string>;
    timeout: number;
    maxRetries: number;
    maxRetryWait: number;
    fetch: typeof globalThis.fetch;
};
/**
 * A request: a path below the base URL with its query, and what `fetch` needs.
 */
export type Call = {
    path: string;
    method?: string | undefined;
    json?: unknown;
    headers?: Record<string, string> | undefined;
    signal?: AbortSignal | undefined;
};
