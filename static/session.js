// @ts-check
/**
 * What one press of a button sets off: a job for each class and seed, followed together until all have ended, as one
 * list of pictures. Its links are kept in the tab's storage, so that a reload goes on following.
 */
import { ApiError, cancelGeneration, createGeneration } from "./api.js";
import { Picture, toFrame } from "./run.js";
import { follow } from "./stream.js";

/**
 * @typedef {{class: string, seed: number, count: number, guidance: number, temperature: number, top_k?: number, top_p?: number, image?: string, from_step?: number}} Body
 * @typedef {import("./api.js").Links} Links
 * @typedef {"asking" | "queued" | "running" | "completed" | "failed" | "canceled" | "gone"} State
 *
 * @typedef {object} Job
 * @property {Body} body
 * @property {Links | null} links        once it is accepted
 * @property {number} offset             its first picture's place among all
 * @property {"waiting" | "queued" | "running" | "completed"} state
 * @property {any} [queue]               position and ETA, while it waits
 *
 * @typedef {object} Events
 * @property {(session: Session) => void} onState
 * @property {() => void} onStep
 *
 * @typedef {{jobs: {body: Body, links: Links | null}[], ended: boolean}} Saved   without links: still to be asked for
 */

/** Browsers open six connections to a server at most, over all tabs; a job's log replays, so the others can wait. */
const STREAMS = 2;

export class Session {
  /** @param {Body[]} bodies @param {Events} events */
  constructor(bodies, events) {
    this.events = events;
    /** @type {State} */
    this.state = "asking";
    /** The connection is there. */
    this.connected = true;
    /** Why it failed. */
    this.detail = "";
    /** @type {ApiError | null} */
    this.refusal = null;
    this.began = performance.now();
    /** Taken up after a reload: its steps have been seen. */
    this.resumed = false;
    this.seconds = 0;
    /** @type {Picture[]} */
    this.pictures = [];
    /** @type {Job[]} */
    this.jobs = bodies.map((body) => {
      const job = /** @type {Job} */ ({ body, links: null, offset: this.pictures.length, state: "waiting" });
      for (let i = 0; i < body.count; i++) {
        this.pictures.push(new Picture({ label: body.class, seed: body.seed, first: (body.from_step ?? 0) + 1 }));
      }
      return job;
    });
    /** @type {Set<() => void>} */
    this.stops = new Set();
    /** Steps are decoded one after the other, in the order they came. */
    this.decoding = Promise.resolve();
  }

  /** Takes up a session that was saved. @param {Saved} saved @param {Events} events */
  static resume(saved, events) {
    const session = new Session(saved.jobs.map(({ body }) => body), events);
    session.jobs.forEach((job, i) => {
      job.links = saved.jobs[i].links;
    });
    session.resumed = true;
    return session;
  }

  /** What {@link Session.resume} needs. @returns {Saved} */
  get saved() {
    const jobs = this.jobs.filter(({ links }) => links || !this.ended).map(({ body, links }) => ({ body, links }));
    return { jobs, ended: this.ended };
  }

  get ended() {
    return ["completed", "failed", "canceled", "gone"].includes(this.state);
  }

  /** The job a picture belongs to. @param {number} index */
  jobOf(index) {
    return this.jobs.findLast(({ offset }) => offset <= index) ?? this.jobs[0];
  }

  /** Asks for the jobs that the server doesn't have yet, and follows all of them. @param {string} model */
  async start(model) {
    this.#say("asking");
    try {
      for (const job of this.jobs) {
        job.links ??= await this.#ask({ model, alternatives: true, ...job.body });
        // Canceled while it was on its way.
        if (this.ended) return this.#cancelAll();
        if (this.state === "asking") this.#say("queued");
        if (this.stops.size < STREAMS) this.#followNext();
      }
    } catch (error) {
      this.refusal = error instanceof ApiError ? error : new ApiError(String(error));
      this.detail = this.refusal.message;
      this.#end("failed");
      this.#cancelAll();
    }
  }

  /** Asks for a job. Where the server has taken others of the session and wants a pause, this one comes after it.
   * @param {object} body @returns {Promise<Links | null>} `null`: the session has ended meanwhile */
  async #ask(body) {
    while (!this.ended) {
      try {
        return (await createGeneration(body)).links;
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
    this.#cancelAll();
  }

  /** Stops following; the jobs go on. */
  leave() {
    for (const stop of this.stops) stop();
    this.stops.clear();
  }

  /** Where it stands in the queue: that of its first job. */
  get queue() {
    return this.jobs.find(({ queue }) => queue)?.queue;
  }

  #followNext() {
    const job = this.jobs.find(({ state }) => state === "waiting");
    if (!job?.links || this.ended) return;
    job.state = "queued";
    const stop = follow(job.links, {
      queued: (queue) => {
        job.queue = queue;
        this.#say(this.state);
      },
      started: () => {
        job.state = "running";
        this.#say("running");
      },
      step: (event) => {
        const { offset } = job;
        this.decoding = this.decoding.then(() => this.#add(event, offset));
      },
      completed: (generation) => {
        this.stops.delete(stop);
        this.decoding = this.decoding.then(() => this.#complete(job, generation));
        this.#followNext();
      },
      failed: ({ detail }) => {
        this.detail = detail || "The server didn’t say why.";
        this.#end("failed");
        this.#cancelAll();
      },
      canceled: () => this.#end("canceled"),
      gone: () => this.#end("gone"),
      lost: () => this.#connect(false),
      restored: () => this.#connect(true),
    });
    this.stops.add(stop);
  }

  /** @param {{step: number, images: any[]}} event @param {number} offset */
  async #add({ step, images }, offset) {
    try {
      const frames = await Promise.all(images.map(toFrame));
      frames.forEach((frame, i) => {
        const picture = this.pictures[offset + images[i].index];
        if (picture) picture.frames[step] = frame;
      });
      if (this.state === "queued") this.#say("running");
      this.events.onStep();
    } catch {
      this.detail = `Step ${step} arrived, but its pictures can’t be read.`;
      this.#end("failed");
    }
  }

  /** @param {Job} job @param {import("./api.js").Generation} generation */
  #complete(job, generation) {
    job.state = "completed";
    job.queue = undefined;
    for (const { index, png_base64 } of generation.images ?? []) {
      const picture = this.pictures[job.offset + index];
      if (picture) picture.result = `data:image/png;base64,${png_base64}`;
    }
    if (this.jobs.every(({ state }) => state === "completed")) this.#end("completed");
  }

  /** @param {State} state */
  #end(state) {
    if (this.ended) return;
    this.seconds = (performance.now() - this.began) / 1000;
    this.leave();
    this.#say(state);
  }

  #cancelAll() {
    for (const { links, state } of this.jobs) {
      // That they are gone, or can't be reached, is as good.
      if (links && state !== "completed") cancelGeneration(links.self).catch(() => {});
    }
  }

  /** @param {boolean} connected */
  #connect(connected) {
    this.connected = connected;
    this.#say(this.state);
  }

  /** @param {State} state */
  #say(state) {
    this.state = state;
    this.events.onState(this);
  }
}
