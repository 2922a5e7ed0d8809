// @ts-check
/** The view in which pictures are drawn: one on stage, all of them on the contact sheet. */
import { address, bodies } from "./address.js";
import { History } from "./history.js";
import { model } from "./model.js";
import { Outcome } from "./outcome.js";
import { Session } from "./session.js";
import { Sheet } from "./sheet.js";
import { Status } from "./status.js";
import { read, write } from "./storage.js";
import { Theater } from "./theater.js";

/**
 * @typedef {import("./address.js").Settings} Settings
 * @typedef {{address: string, settings: Settings, session: import("./session.js").Saved}} Kept
 */

const KEY = "rdpm.run";

export class DrawView {
  /** @param {import("./main.js").Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.root = /** @type {HTMLElement} */ (document.getElementById("draw"));
    /** @param {string} name @returns {any} */
    const part = (name) => this.root.querySelector(`[data-part="${name}"]`);
    this.title = /** @type {HTMLElement} */ (part("title"));
    this.status = new Status(this.root, () => this.submit());
    this.outcome = new Outcome(part("outcome"));
    this.sheet = new Sheet(part("sheet-block"), (index) => this.#choose(index));
    this.history = new History(part("past"), (address) => {
      desk.form.apply(address);
      this.submit();
    });
    /** @type {Session | null} */
    this.session = null;
    /** @type {Settings | null} */
    this.settings = null;
    this.index = 0;
    this.theater = new Theater(part("theater"), { onStep: (step, fade) => this.sheet.show(step, fade) });
    // All pictures of a sheet keep step with each other.
    this.theater.limit = () => Math.min(model.steps, ...(this.session?.pictures.map(({ reached }) => reached) ?? []));
  }

  get running() {
    return Boolean(this.session && !this.session.ended);
  }

  /** What would be drawn. */
  invite() {
    if (!this.session) this.title.textContent = this.desk.form.chosen.join(", ") || "No class yet";
  }

  submit() {
    if (this.running) return;
    const settings = this.desk.form.read();
    if (!settings) return;
    this.desk.setAddress(address("draw", settings));
    this.desk.notice("");
    this.#begin(settings, new Session(bodies(settings), this.#events(settings)));
    this.theater.follow([this.#picture]);
    this.session?.start(model.name);
    this.desk.bringIntoView(this.root);
  }

  /** Takes up the run that this tab followed before it was reloaded, if there is one. @returns {boolean} */
  resume() {
    const kept = read("session", KEY);
    if (!isKept(kept) || kept.address !== location.pathname + location.search) return false;
    this.#begin(kept.settings, Session.resume(kept.session, this.#events(kept.settings, kept.session.ended)));
    this.theater.follow([this.#picture]);
    this.session?.start(model.name);
    return true;
  }

  cancel() {
    this.session?.cancel();
  }

  get #picture() {
    return /** @type {Session} */ (this.session).pictures[this.index];
  }

  /** @param {Settings} settings @param {Session} session */
  #begin(settings, session) {
    this.session?.leave();
    this.session = session;
    this.settings = settings;
    this.index = 0;
    this.title.textContent = settings.classes.join(", ");
    this.outcome.clear(session.pictures.length > 1 ? "The finished pictures can be saved and shared from here." : undefined);
    this.sheet.reset(session.pictures, session.pictures.map((_, index) => label(session, settings, index)));
  }

  /** @param {Settings} settings @param {boolean} [again] it had ended before the reload */
  #events(settings, again = false) {
    const many = settings.classes.length * settings.seeds.length * settings.count;
    const what = many > 1 ? `${many} pictures` : settings.classes[0];
    return {
      /** @param {Session} session */
      onState: (session) => {
        if (session !== this.session) return;
        if (session.state !== "asking") write("session", KEY, { address: address("draw", settings), settings, session: session.saved });
        this.desk.update();
        if (again && session.state === "gone") return this.status.say("idle", "Press Draw for the picture of these settings.");
        if (session.state === "completed") {
          // The steps may still be playing.
          return this.theater.player.whenSettled(() => session === this.session && this.#finish(session, settings, what, again));
        }
        this.status.follow(session, `Denoising ${what}.`);
        if (session.refusal) this.#refused(session.refusal);
        if (session.ended) this.theater.player.whenSettled(() => {});
      },
      onStep: () => this.theater.advance(this.session?.resumed),
    };
  }

  /** @param {Session} session @param {Settings} settings @param {string} what @param {boolean} again */
  #finish(session, settings, what, again) {
    const seeds = settings.seeds.length > 1 ? `seeds ${settings.seeds.join(", ")}` : `seed ${settings.seeds[0]}`;
    this.status.say("completed", again ? `Here is ${what} again, ${seeds}.` : `Done in ${session.seconds.toFixed(1)} s: ${what}, ${seeds}.`);
    this.outcome.show(session, settings, this.index);
    if (again) return;
    const { label: name, seed, result } = session.pictures[0];
    const more = session.pictures.length - 1;
    this.history.add({ address: address("draw", settings), label: more ? `${name} +${more}` : name, seed, thumbnail: result });
  }

  /** @param {import("./api.js").ApiError} refusal */
  #refused({ message, errors, retryAfter }) {
    const unplaced = this.desk.form.showRefusal(errors);
    const more = unplaced.map(({ field, allowed }) => ` ${field}: allowed ${allowed}.`).join("");
    this.status.fail(message + more, retryAfter);
  }

  /** Puts another picture of the sheet on stage. @param {number} index */
  #choose(index) {
    if (!this.session) return;
    this.index = index;
    this.theater.swap([this.#picture]);
    this.outcome.choose(index);
  }
}

/** A picture's name on the contact sheet: what tells it from the others. @param {Session} session @param {Settings} settings @param {number} index */
function label(session, settings, index) {
  const { label: name, seed } = session.pictures[index];
  const number = index - session.jobOf(index).offset + 1;
  const parts = [
    ...(settings.classes.length > 1 ? [name] : []),
    ...(settings.seeds.length > 1 ? [String(seed)] : []),
    ...(settings.count > 1 ? [`no. ${number}`] : []),
  ];
  return parts.join(" · ");
}

/** Whether what was stored is a run of this page. @param {any} kept @returns {kept is Kept} */
function isKept(kept) {
  const jobs = kept?.session?.jobs;
  const settings = kept?.settings;
  return Array.isArray(jobs) && jobs.length > 0
    && jobs.every((job) => typeof job?.body?.class === "string" && Number.isInteger(job.body.count) && job.body.count >= 1 && job.body.count <= model.maxCount
      && (job.links === null || [job.links?.self, job.links?.events].every((link) => typeof link === "string" && /^\/api\/v1\/generations\/[\w-]+(\/events)?$/.test(link))))
    && Array.isArray(settings?.classes) && Array.isArray(settings.seeds) && Number.isInteger(settings.count)
    && settings.classes.length * settings.seeds.length * settings.count === jobs.reduce((sum, { body }) => sum + body.count, 0);
}
