// @ts-check
/** Requests for the pictures between two others, and following them as they are drawn. */
import { ApiError, cancelGeneration, createInterpolation, GENERATIONS, INTERPOLATIONS } from "./api.js";
import { model } from "./model.js";
import { decodeStep, Picture } from "./picture.js";
import { sampledOptions } from "./sampling-options.js";
import { followGeneration } from "./stream.js";

/**
 * @typedef {import("./api.js").GenerationRequest} GenerationRequest
 * @typedef {"steps" | "noise" | "latent"} InterpolationKind
 *
 * @typedef {object} End
 * @property {string} name                what it shows, and its seed
 * @property {string} png                 a data URL
 * @property {GenerationRequest} request  that drew it
 * @property {number} number              among the pictures of that request
 * @property {number} seed
 * @property {number[][][] | null} tokens  of all steps; `null`: some are unknown
 */

/** A picture of a run. @param {import("./run.js").Run} run @param {number} index @returns {End} */
export function endOfRun(run, index) {
  const { description, seed, png, steps } = run.pictures[index];
  const grids = Array.from({ length: model.stepCount }, (_, i) => steps[i + 1]?.tokens);
  const tokens = grids.every(Boolean) ? grids : null;
  return { name: nameOf(description, seed), png, request: run.jobOf(index).request, number: run.indexInJob(index), seed, tokens };
}

/** A picture that this browser keeps. @param {import("./picture-store.js").Entry} entry @returns {End} */
export function endOfEntry({ picture, steps }) {
  const { png, request, number, seed } = picture;
  const tokens = steps.length === model.stepCount ? steps.map((step) => step.tokens) : null;
  return { name: storedName(picture), png, request, number, seed, tokens };
}

/** @param {import("./picture-store.js").StoredPicture} picture */
export const storedName = ({ label, subject = label, style, seed }) => nameOf(style ? `${subject}, ${style} style` : subject, seed);

/** @param {string} description @param {number} seed */
const nameOf = (description, seed) => `${description}, seed ${seed}`;

/** Pictures that are drawn, both ends included. */
export const FRAMES = 9;
/** Seed of the noise that images without tokens are encoded with. */
const SEED = 7;

/** What both ends show, in words that the request has. @param {GenerationRequest} request */
const subjectOf = ({ class: name, prompt, style }) => ({ ...(prompt ? { prompt } : name !== undefined && { class: name }), ...(style && { style }) });

/** Whether two requests ask for the same. @param {GenerationRequest} a @param {GenerationRequest} b */
export const isSameSubject = (a, b) => JSON.stringify(subjectOf(a)) === JSON.stringify(subjectOf(b));

/** Whether nothing but the settings and the seed makes the picture. @param {GenerationRequest} request */
const isPlain = ({ image, tokens, cells, from_step }) => !image && !tokens && !cells && from_step === undefined;

/** @param {End} end */
function endOf({ request, number, seed, tokens, png }) {
  // The noise of a branch is that of the picture that it branches from.
  const noise = request.tokens ?? { seed, index: (request.index ?? 0) + number };
  const file = tokens && { format: "rdpm-tokens/1", model: model.name, seed: noise.seed, index: noise.index, tokens };
  return { ...(file ? { tokens: file } : { image: png }), ...subjectOf(request) };
}

/** The request. Options of sampling are those of the first picture. @param {[End, End]} ends @param {InterpolationKind} kind */
export function interpolationRequest([a, b], kind) {
  // An image has no noise of its own.
  const possible = kind === "noise" && !(a.tokens && b.tokens) ? "steps" : kind;
  return { model: model.name, a: endOf(a), b: endOf(b), kind: possible, frames: FRAMES, seed: SEED, ...sampledOptions(a.request) };
}

/** The request as a command. Pictures that follow from their seeds are named by these, which gives the same. @param {[End, End]} ends @param {InterpolationKind} kind */
export function interpolationCommand(ends, kind) {
  const request = interpolationRequest(ends, kind);
  const [a, b] = ends;
  const options = JSON.stringify(sampledOptions(a.request));
  /** @param {End} end @param {object} sent */
  const short = (end, sent) =>
    isPlain(end.request) && JSON.stringify(sampledOptions(end.request)) === options ? { seed: end.seed, index: (end.request.index ?? 0) + end.number, ...subjectOf(end.request) } : sent;
  const { seed, ...others } = request;
  const body = { ...others, a: short(a, request.a), b: short(b, request.b), ...("image" in request.a || "image" in request.b ? { seed } : {}) };
  const json = JSON.stringify(body).replaceAll("'", "\\u0027");
  const origin = location.origin;
  return [
    `id=$(curl -sSf '${origin}${INTERPOLATIONS}?wait=true' \\`,
    `  -H 'content-type: application/json' \\`,
    `  -d '${json}' \\`,
    `  | grep -o '"id": *"[^"]*"' | head -n 1 | cut -d '"' -f 4)`,
    `curl -sSf "${origin}${GENERATIONS}/$id/animation.gif?which=images&back_and_forth=true" -o between.gif`,
  ].join("\n");
}

/** One interpolation as it is drawn. */
export class InterpolationRun {
  /** @param {object} request @param {[End, End]} ends @param {() => void} onChange its pictures or its state have changed */
  constructor(request, ends, onChange) {
    this.request = request;
    this.onChange = onChange;
    /** @type {"drawing" | "completed" | "failed" | "canceled"} */
    this.state = "drawing";
    /** Why it failed. */
    this.detail = "";
    /** @type {import("./api.js").Links | null} */
    this.links = null;
    this.pictures = Array.from({ length: FRAMES }, (_, i) => new Picture({ label: ends[i < FRAMES / 2 ? 0 : 1].name, seed: ends[0].seed }));
    this.stop = () => {};
    /** Steps are decoded one after the other. */
    this.decoding = Promise.resolve();
  }

  /** The last step that every picture has. */
  get step() {
    return Math.min(...this.pictures.map(({ steps }) => Math.max(0, steps.length - 1)));
  }

  async start() {
    try {
      const { links } = await createInterpolation(this.request);
      this.links = links;
      if (this.state !== "drawing") return void cancelGeneration(links.self).catch(() => {});
      this.stop = followGeneration(links, {
        queued: () => {},
        started: () => {},
        step: (event) => {
          this.decoding = this.decoding.then(() => this.#addStep(event));
        },
        completed: () => {
          this.decoding = this.decoding.then(() => this.#end("completed"));
        },
        failed: ({ detail }) => this.#end("failed", detail || "The server gave no reason."),
        canceled: () => this.#end("canceled"),
        gone: () => this.#end("failed", "The server no longer has these pictures. Draw them again."),
        disconnected: () => {},
        reconnected: () => {},
      });
    } catch (error) {
      const { message, errors = [] } = error instanceof ApiError ? error : new ApiError(String(error));
      this.#end("failed", [message, ...errors.map(({ field, allowed }) => `${field}: allowed ${allowed}.`)].join(" "));
    }
  }

  cancel() {
    if (this.state !== "drawing") return;
    if (this.links) cancelGeneration(this.links.self).catch(() => {});
    this.#end("canceled");
  }

  /** @param {{step: number, images: any[]}} event */
  async #addStep({ step, images }) {
    try {
      const decoded = await Promise.all(images.map(decodeStep));
      decoded.forEach((data, i) => {
        const picture = this.pictures[images[i].index];
        if (picture) picture.steps[step] = data;
      });
      if (this.state === "drawing") this.onChange();
    } catch {
      this.#end("failed", `The pictures of step ${step} can’t be read.`);
    }
  }

  /** @param {"completed" | "failed" | "canceled"} state @param {string} [detail] */
  #end(state, detail = "") {
    if (this.state !== "drawing") return;
    this.stop();
    this.state = state;
    this.detail = detail;
    this.onChange();
  }
}
