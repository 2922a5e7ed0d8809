// @ts-check
/** The finished picture: what it is, and ways to take it along. */
import { bodies } from "./address.js";
import { copy, say } from "./clipboard.js";
import { model } from "./model.js";
import { curlCommand, pythonProgram } from "./share.js";

/** @typedef {import("./session.js").Session} Session */

/** Pixels of a GIF for each pixel of the picture. */
const GIF_SCALE = 10;

export class Outcome {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @param {string} name @returns {any} */
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.facts = /** @type {HTMLElement} */ (part("facts-line"));
    this.download = /** @type {HTMLAnchorElement} */ (part("download"));
    this.copied = /** @type {HTMLElement} */ (part("copied"));
    this.text = /** @type {HTMLTextAreaElement} */ (root.querySelector("textarea"));
    this.hint = this.facts.textContent ?? "";
    /** @type {Session | null} */
    this.session = null;
    /** @type {import("./address.js").Settings | null} */
    this.settings = null;
    this.index = 0;
    this.#menus();
  }

  /** Nothing to take along. @param {string} [why] */
  clear(why = this.hint) {
    this.session = null;
    this.#ready(false);
    this.facts.textContent = why;
  }

  /** @param {Session} session @param {import("./address.js").Settings} settings @param {number} index the picture on stage */
  show(session, settings, index) {
    this.session = session;
    this.settings = settings;
    this.choose(index);
    this.#ready(true);
  }

  /** @param {number} index */
  choose(index) {
    if (!this.session || !this.settings) return;
    this.index = index;
    const { label, seed, result } = this.session.pictures[index];
    const { offset } = this.session.jobOf(index);
    this.facts.textContent = describe(this.settings, seed);
    this.download.href = result;
    this.download.download = `${fileName(label, seed, index - offset)}.png`;
  }

  /** @param {boolean} ready */
  #ready(ready) {
    this.root.dataset.ready = String(ready);
    this.text.hidden = true;
    for (const summary of this.root.querySelectorAll("summary")) {
      summary.setAttribute("aria-disabled", String(!ready));
      summary.tabIndex = ready ? 0 : -1;
    }
    if (ready) return this.download.removeAttribute("aria-disabled");
    this.download.setAttribute("aria-disabled", "true");
    this.download.removeAttribute("href");
    for (const menu of this.root.querySelectorAll("details")) menu.open = false;
  }

  #menus() {
    const menus = [...this.root.querySelectorAll("details")];
    for (const menu of menus) {
      menu.addEventListener("toggle", () => menu.open && menus.forEach((other) => other === menu || (other.open = false)));
      menu.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !menu.open) return;
        menu.open = false;
        menu.querySelector("summary")?.focus();
      });
    }
    document.addEventListener("pointerdown", (event) => {
      for (const menu of menus) if (!menu.contains(/** @type {Node} */ (event.target))) menu.open = false;
    });
    this.root.addEventListener("click", (event) => {
      const button = /** @type {HTMLElement} */ (event.target).closest("button");
      if (!button || !this.session || !this.settings) return;
      const { animation, copy: what } = button.dataset;
      const menu = button.closest("details");
      if (menu) {
        menu.open = false;
        menu.querySelector("summary")?.focus();
      }
      if (animation) this.#saveAnimation(animation);
      if (what) copy(this.#textOf(what, this.session, this.settings), this.copied, this.text);
    });
  }

  /** @param {string} what @param {Session} session @param {import("./address.js").Settings} settings */
  #textOf(what, session, settings) {
    if (what === "curl") return curlCommand(model.name, bodies(settings));
    if (what === "python") return pythonProgram(model.name, bodies(settings));
    if (what === "tokens") return JSON.stringify(session.pictures[this.index].frames.slice(1).map(({ tokens }) => tokens));
    return location.href;
  }

  /** The server makes it, as long as it remembers the run. @param {string} which */
  async #saveAnimation(which) {
    const job = this.session?.jobOf(this.index);
    if (!job?.links) return;
    this.copied.textContent = "Making the animation…";
    const index = this.index - job.offset;
    try {
      const response = await fetch(`${job.links.self}/animation.gif?which=${which}&scale=${GIF_SCALE}&index=${index}`);
      if (response.status === 404) return say(this.copied, "The server has forgotten this run. Draw it again first.");
      if (!response.ok) return say(this.copied, "The server made no animation of it.");
      const url = URL.createObjectURL(await response.blob());
      const link = document.createElement("a");
      link.href = url;
      link.download = `${fileName(job.body.class, job.body.seed, index)}-${which}.gif`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
      say(this.copied, "Saved.");
    } catch {
      say(this.copied, "The server can’t be reached.");
    }
  }
}

/** @param {string} label @param {number} seed @param {number} index */
const fileName = (label, seed, index) =>
  `${label.replace(/[^\w-]+/g, "-").toLowerCase()}-${seed}${index ? `-${index + 1}` : ""}`;

/** @param {import("./address.js").Settings} settings @param {number} seed */
function describe({ guidance, temperature, top_k, top_p }, seed) {
  return [
    `Seed\u00a0${seed}`,
    `guidance\u00a0${guidance}`,
    `temperature\u00a0${temperature}`,
    ...(top_k < model.codes ? [`top-k\u00a0${top_k}`] : []),
    ...(top_p < 1 ? [`top-p\u00a0${top_p}`] : []),
    `${model.steps}\u00a0×\u00a0${model.grid ** 2}\u00a0tokens`,
  ].join(" · ");
}
