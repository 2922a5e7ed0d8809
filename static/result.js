// @ts-check
/** The finished picture with its label: what it is, the seed that made it, ways to take it along. */
import { curlCommand } from "./api.js";
import { copy } from "./clipboard.js";

/**
 * @typedef {import("./api.js").Generation} Generation
 * @typedef {import("./settings.js").Settings} Settings
 */

export class Result {
  /** @param {HTMLElement} root @param {{name: string, title: string, imageSize: number, steps: number, grid: number}} model */
  constructor(root, model) {
    /** @param {string} selector @returns {any} */
    const find = (selector) => root.querySelector(selector);
    this.root = root;
    this.model = model;
    this.image = /** @type {HTMLImageElement} */ (find("#result"));
    this.title = /** @type {HTMLElement} */ (find("#outcome-title"));
    this.facts = /** @type {HTMLElement} */ (find("#outcome-facts"));
    this.download = /** @type {HTMLAnchorElement} */ (find("#download"));
    this.curl = /** @type {HTMLButtonElement} */ (find("#copy-curl"));
    this.link = /** @type {HTMLButtonElement} */ (find("#copy-link"));
    this.text = /** @type {HTMLTextAreaElement} */ (find("#copy-text"));
    this.blank = this.image.src;
    /** @type {Settings | null} */
    this.settings = null;
    /** @type {Generation | null} */
    this.generation = null;
    this.curl.addEventListener("click", () => {
      if (this.settings) copy(this.curl, this.text, curlCommand({ model: this.model.name, ...this.settings }));
    });
    this.link.addEventListener("click", () => copy(this.link, this.text, this.address));
    this.address = location.href;
  }

  /** @param {Settings} settings */
  pending(settings) {
    this.#ready(false);
    this.settings = settings;
    this.generation = null;
    this.image.src = this.blank;
    this.image.alt = "";
    this.title.textContent = settings.class;
    this.facts.textContent = this.#describe(settings);
  }

  /** The run ended without a picture. @param {string} why */
  nothing(why) {
    this.facts.textContent = why;
  }

  /** @param {Generation} generation @param {Settings} settings @param {number} index picture on stage */
  show(generation, settings, index) {
    this.generation = generation;
    this.settings = settings;
    this.address = location.href;
    this.title.textContent = settings.class;
    this.choose(index);
    this.#ready(true);
  }

  /** @param {number} index */
  choose(index) {
    const { generation, settings } = this;
    const picture = generation?.images?.find((image) => image.index === index);
    if (!picture || !settings) return;
    this.image.src = `data:image/png;base64,${picture.png_base64}`;
    this.image.alt = `${settings.class}, drawn by the model`;
    this.facts.textContent = this.#describe(settings, index);
    this.download.href = this.image.src;
    const number = settings.count > 1 ? `-${index + 1}` : "";
    this.download.download = `${settings.class.replace(/[^\w-]+/g, "-").toLowerCase()}-${settings.seed}${number}.png`;
  }

  /** @param {Settings} settings @param {number} [index] */
  #describe({ seed, guidance, temperature, count }, index) {
    const { title, steps, grid, imageSize } = this.model;
    return [
      count > 1 && index !== undefined ? `Picture ${index + 1} of ${count}` : "",
      `Seed\u00a0${seed}`,
      `guidance\u00a0${guidance}`,
      `temperature\u00a0${temperature}`,
      `${steps}\u00a0×\u00a0${grid * grid}\u00a0tokens`,
      `${title}, ${imageSize}\u00a0×\u00a0${imageSize}\u00a0pixels`,
    ].filter(Boolean).join(" · ");
  }

  /** @param {boolean} ready */
  #ready(ready) {
    this.root.dataset.ready = String(ready);
    this.curl.disabled = this.link.disabled = !ready;
    this.text.hidden = true;
    if (ready) {
      this.download.removeAttribute("aria-disabled");
    } else {
      this.download.setAttribute("aria-disabled", "true");
      this.download.removeAttribute("href");
    }
  }
}
