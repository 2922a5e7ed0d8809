// @ts-check
/**
 * A run is what one submission starts: a job for each class and seed, followed together until all have ended. It is the
 * one place that holds the state of drawing; components get its pictures and its state from it. Its links can be saved,
 * so that a reloaded page follows the same jobs.
 */
import { ApiError, cancelGeneration, createGeneration } from "./api.js";
import { pngDataUrl } from "./images.js";
import { model } from "./model.js";
import { decodeStep, Picture } from "./picture.js";
import { followGeneration } from "./stream.js";

/**
 * @typedef {import("./api.js").GenerationRequest} GenerationRequest
 * @typedef {import("./api.js").Links} Links
 * @typedef {"submitting" | "queued" | "running" | "completed" | "failed" | "canceled" | "gone"} RunState `gone`: the server doesn't have it (any more)
 * @typedef {{position?: number, eta_seconds?: number}} QueueInfo
 *
 * @typedef {{subjects?: string[], styles?: string[], unknown_words?: string[]}} Told what the server chose, by picture of the job; unknown words of the prompt
 *
 * @typedef {object} Job
 * @property {GenerationRequest} request
 * @property {Links | null} links        once it is accepted
 * @property {Told} told                once it is accepted
 * @property {number} firstIndex         index of its first picture among those of the run
 * @property {"waiting" | "queued" | "running" | "completed"} state `waiting`: not followed yet
 * @property {QueueInfo} [queue]         while it is queued
 *
 * @typedef {object} Listener
 * @property {() => void} [onState]
 * @property {() => void} [onStep]
 *
 * @typedef {{jobs: {body: GenerationRequest, links: Links | null, told?: Told}[], ended: boolean}} SavedRun   jobs without links are still to be submitted
 */

/** Browsers open at most six connections to a server, over all tabs. The events of a job can be read later, so the other jobs wait. */
const MAX_STREAMS = 2;

const FINAL_STATES = new Set(["completed", "failed", "canceled", "gone"]);

export class Run {
  /** @param {GenerationRequest[]} requests */
  constructor(requests) {
    /** @type {Set<Listener>} */
    this.listeners = new Set();
    /** @type {RunState} */
    this.state = "submitting";
    this.connected = true;
    /** Why it failed. */
    this.detail = "";
    /** The error that ended it, if submitting failed. @type {ApiError | null} */
    this.error = null;
    this.startTime = performance.now();
    /** Duration, once it has ended. */
    this.seconds = 0;
    /** Restored after a reload: the viewer has seen its steps. */
    this.restored = false;
    /** It had ended before the reload. */
    this.endedBefore = false;
    /** It was finished before, and is shown from memory or from this browser's storage. */
    this.shownAgain = false;
    /** Its pictures come from this browser; the server doesn't have them. */
    this.stored = false;
    /** Its picture was encoded, not drawn. */
    this.isEncoded = false;
    /** Index of each picture among those of its request, if some of the request's pictures are missing. @type {number[] | null} */
    this.numbers = null;
    /** Index of each picture when the run was drawn, if some may be missing. @type {number[]} */
    this.positions = [];
    /** @type {Picture[]} */
    this.pictures = [];
    /** @type {Job[]} */
    this.jobs = requests.map((request) => {
      const job = /** @type {Job} */ ({ request, links: null, told: {}, firstIndex: this.pictures.length, state: "waiting" });
      for (let i = 0; i < request.count; i++) {
        this.pictures.push(new Picture({ label: request.prompt ?? request.class ?? "", style: request.style, seed: request.seed, firstStep: (request.from_step ?? 0) + 1 }));
      }
      return job;
    });
    /** What stops the open streams. @type {Set<() => void>} */
    this.streams = new Set();
    /** Steps are decoded one after the other, in the order of their arrival. */
    this.decoding = Promise.resolve();
  }

  /** @param {SavedRun} saved */
  static restore(saved) {
    const run = new Run(saved.jobs.map(({ body }) => body));
    run.jobs.forEach((job, i) => {
      job.links = saved.jobs[i].links;
      run.#tell(job, saved.jobs[i].told ?? {});
    });
    run.restored = true;
    run.endedBefore = saved.ended;
    return run;
  }

  /** A run whose pictures this browser has kept. @param {import("./picture-store.js").Entry[]} entries */
  static async fromStore(entries) {
    const run = new Run([]);
    run.stored = run.restored = run.endedBefore = true;
    run.state = "completed";
    run.jobs = entries.map(({ picture: { request } }, i) => ({ request, links: null, told: {}, firstIndex: i, state: "completed" }));
    run.positions = entries.map(({ picture }) => picture.index);
    run.numbers = entries.map(({ picture }) => picture.number);
    run.pictures = await Promise.all(entries.map(async ({ picture: { label, subject, style, seed, png, request }, steps }) => {
      const firstStep = (request.from_step ?? 0) + 1;
      const picture = new Picture({ label, subject, style, seed, firstStep: steps.length === model.stepCount ? 1 : firstStep });
      const decoded = await Promise.all(steps.map(decodeStep));
      decoded.forEach((step, i) => {
        picture.steps[picture.firstStep + i] = step;
      });
      picture.png = png;
      return picture;
    }));
    return run;
  }

  /** A run of one finished picture of another run. @param {Run} other @param {number} index */
  static ofPicture(other, index) {
    const { request, links } = other.jobOf(index);
    const run = new Run([{ ...request, count: 1 }]);
    run.jobs[0].links = other.indexInJob(index) === 0 ? links : null;
    run.jobs[0].state = run.state = "completed";
    run.pictures = [other.pictures[index]];
    run.restored = run.endedBefore = true;
    run.seconds = other.seconds;
    return run;
  }

  /** A run of one picture that was encoded, not drawn. @param {Picture} picture @param {string} png its reconstruction: a data URL */
  static ofEncoded(picture, png) {
    const run = new Run([{ class: picture.label, seed: picture.seed, count: 1 }]);
    run.isEncoded = true;
    picture.png = png;
    run.pictures = [picture];
    run.jobs[0].state = run.state = "completed";
    run.restored = run.endedBefore = true;
    return run;
  }

  /** Each request once. */
  get requests() {
    return this.numbers ? this.jobs.map(({ request }) => request).filter((request, i, all) => i === 0 || JSON.stringify(request) !== JSON.stringify(all[i - 1])) : this.jobs.map(({ request }) => request);
  }

  /** The server has accepted none of its jobs. */
  get refused() {
    return this.state === "failed" && this.jobs.every(({ links }) => !links);
  }

  /** What {@link Run.restore} needs. @returns {SavedRun} */
  save() {
    const jobs = this.jobs.filter(({ links }) => links || !this.ended).map(({ request, links, told }) => ({ body: request, links, told }));
    return { jobs, ended: this.ended };
  }

  /** @param {Listener} listener @returns {() => void} removes it */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get ended() {
    return FINAL_STATES.has(this.state);
  }

  /** The queue position of the first job that is queued. */
  get queue() {
    return this.jobs.find(({ queue }) => queue)?.queue;
  }

  /** The job of a picture. @param {number} index */
  jobOf(index) {
    return this.jobs.findLast(({ firstIndex }) => firstIndex <= index) ?? this.jobs[0];
  }

  /** Index of a picture among those of its job. @param {number} index */
  indexInJob(index) {
    return this.numbers?.[index] ?? index - this.jobOf(index).firstIndex;
  }

  /** Takes over what the server chose for the pictures of a job. @param {Job} job @param {Told} told */
  #tell(job, told) {
    job.told = told;
    for (let i = 0; i < job.request.count; i++) {
      const picture = this.pictures[job.firstIndex + i];
      picture.subject = told.subjects?.[i] ?? picture.subject;
      picture.style = told.styles?.[i] ?? picture.style;
    }
  }

  /** Words of the prompt that the model doesn't know. @returns {string[]} */
  get unknownWords() {
    return this.jobs[0]?.told.unknown_words ?? [];
  }

  /** Submits the jobs that the server doesn't have yet, and follows all of them. Says again how a run ended. */
  async start() {
    if (this.ended) {
      for (const { onStep } of this.listeners) onStep?.();
      return this.#setState(this.state);
    }
    this.#setState("submitting");
    try {
      for (const job of this.jobs) {
        if (!job.links) {
          const accepted = await this.#submit({ model: model.name, alternatives: true, ...job.request });
          if (accepted) {
            const { links, subjects, styles, unknown_words } = accepted;
            job.links = links;
            this.#tell(job, { subjects, styles, unknown_words });
          }
        }
        // Canceled while it was submitted.
        if (this.ended) return this.#cancelJobs();
        if (this.state === "submitting") this.#setState("queued");
        if (this.streams.size < MAX_STREAMS) this.#followNext();
      }
    } catch (error) {
      this.error = error instanceof ApiError ? error : new ApiError(String(error));
      this.detail = this.error.message;
      this.#end("failed");
      this.#cancelJobs();
    }
  }

  /** Submits a job. If the server refuses it for now but has accepted others of the run, waits and tries again.
   * @param {object} request @returns {Promise<import("./api.js").Accepted | null>} `null`: the run has ended meanwhile */
  async #submit(request) {
    while (!this.ended) {
      try {
        return await createGeneration(request);
      } catch (error) {
        const wait = error instanceof ApiError && error.status === 429 ? error.retryAfter : 0;
        if (!wait || !this.jobs.some(({ links }) => links)) throw error;
        await new Promise((resolve) => setTimeout(resolve, wait * 1000));
      }
    }
    return null;
  }

  cancel() {
    if (this.ended) return;
    this.#end("canceled");
    this.#cancelJobs();
  }

  /** Closes the streams; the jobs continue on the server. */
  detach() {
    for (const stop of this.streams) stop();
    this.streams.clear();
  }

  #followNext() {
    const job = this.jobs.find(({ state }) => state === "waiting");
    if (!job?.links || this.ended) return;
    job.state = "queued";
    const stop = followGeneration(job.links, {
      queued: (queue) => {
        job.queue = queue;
        this.#setState(this.state);
      },
      started: () => {
        job.state = "running";
        this.#setState("running");
      },
      step: (event) => {
        this.decoding = this.decoding.then(() => this.#addStep(event, job.firstIndex));
      },
      completed: (generation) => {
        this.streams.delete(stop);
        this.decoding = this.decoding.then(() => this.#completeJob(job, generation));
        this.#followNext();
      },
      failed: ({ detail }) => {
        this.detail = detail || "The server gave no reason.";
        this.#end("failed");
        this.#cancelJobs();
      },
      canceled: () => this.#end("canceled"),
      gone: () => this.#end("gone"),
      disconnected: () => this.#setConnected(false),
      reconnected: () => this.#setConnected(true),
    });
    this.streams.add(stop);
  }

  /** @param {{step: number, images: any[]}} event @param {number} firstIndex */
  async #addStep({ step, images }, firstIndex) {
    try {
      const decoded = await Promise.all(images.map(decodeStep));
      decoded.forEach((data, i) => {
        const picture = this.pictures[firstIndex + images[i].index];
        if (picture) picture.steps[step] = data;
      });
      if (this.state === "queued") this.#setState("running");
      for (const { onStep } of this.listeners) onStep?.();
    } catch {
      this.detail = `The pictures of step ${step} can’t be read.`;
      this.#end("failed");
    }
  }

  /** @param {Job} job @param {import("./api.js").Generation} generation */
  #completeJob(job, generation) {
    job.state = "completed";
    job.queue = undefined;
    for (const { index, png_base64 } of generation.images ?? []) {
      const picture = this.pictures[job.firstIndex + index];
      if (picture) picture.png = pngDataUrl(png_base64);
    }
    if (this.jobs.every(({ state }) => state === "completed")) this.#end("completed");
  }

  #cancelJobs() {
    for (const { links, state } of this.jobs) {
      // A job that is unknown or can't be reached needs no cancellation.
      if (links && state !== "completed") cancelGeneration(links.self).catch(() => {});
    }
  }

  /** @param {RunState} state */
  #end(state) {
    if (this.ended) return;
    this.seconds = (performance.now() - this.startTime) / 1000;
    this.detach();
    this.#setState(state);
  }

  /** @param {boolean} connected */
  #setConnected(connected) {
    this.connected = connected;
    this.#setState(this.state);
  }

  /** @param {RunState} state */
  #setState(state) {
    this.state = state;
    for (const { onState } of this.listeners) onState?.();
  }
}
