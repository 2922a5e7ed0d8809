// @ts-check
/** The form: reading, checking, resetting, and keeping it in the page's address. */

/**
 * @typedef {{class: string, seed: number, count: number, guidance: number, temperature: number}} Settings
 * @typedef {"seed" | "guidance" | "temperature" | "count"} NumberField
 * @typedef {import("./api.js").FieldError} FieldError
 */

/** @type {NumberField[]} */
const NUMBERS = ["seed", "guidance", "temperature", "count"];
const WHOLE = new Set(["seed", "count"]);
/** Fresh seeds are short enough to read aloud; any seed up to the field's limit may be typed. */
const FRESH_SEEDS = 1_000_000;

export const freshSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % FRESH_SEEDS;

export class SettingsForm {
  /** @param {HTMLFormElement} form @param {{onSubmit: () => void, onChange: () => void}} events */
  constructor(form, { onSubmit, onChange }) {
    this.form = form;
    this.onChange = onChange;
    this.keep = /** @type {HTMLInputElement} */ (form.querySelector("#keep"));
    this.radios = /** @type {HTMLInputElement[]} */ ([...form.querySelectorAll("input[name=class]")]);
    /** The seed this page put in the field; anything else was typed. */
    this.ownSeed = "";

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      onSubmit();
    });
    form.querySelector("#reset")?.addEventListener("click", () => this.reset());
    form.querySelector("#dice")?.addEventListener("click", () => {
      this.#setSeed(freshSeed());
      this.keep.checked = true;
      this.clearError("seed");
    });
    this.#number("seed").addEventListener("input", () => {
      this.keep.checked = this.#number("seed").value !== "";
      this.clearError("seed");
    });
    this.keep.addEventListener("change", () => {
      if (!this.keep.checked) this.ownSeed = this.#number("seed").value;
    });
    for (const radio of this.radios) {
      radio.addEventListener("change", () => {
        this.clearError("class");
        onChange();
      });
    }
    for (const name of NUMBERS) this.#pair(name);
  }

  /** The number is what counts; the slider beside it is a handle. @param {NumberField} name */
  #pair(name) {
    const number = this.#number(name);
    const range = this.#range(name);
    if (!range) return;
    range.addEventListener("input", () => {
      number.value = range.value;
      this.clearError(name);
      this.#fill(range);
    });
    number.addEventListener("input", () => {
      if (number.value !== "") range.value = number.value;
      this.clearError(name);
      this.#fill(range);
    });
    this.#fill(range);
  }

  /** @param {string} name @returns {HTMLInputElement} */
  #number(name) {
    return /** @type {HTMLInputElement} */ (this.form.querySelector(`#${name}`));
  }

  /** @param {string} name @returns {HTMLInputElement | null} */
  #range(name) {
    return this.form.querySelector(`#${name}-range`);
  }

  /** Tells the style how much of the track lies before the thumb. @param {HTMLInputElement} range */
  #fill(range) {
    const share = (range.valueAsNumber - Number(range.min)) / (Number(range.max) - Number(range.min));
    range.style.setProperty("--fill", `${100 * share}%`);
  }

  /** @param {NumberField} name @param {string | number} value */
  #set(name, value) {
    this.#number(name).value = String(value);
    const range = this.#range(name);
    if (!range) return;
    range.value = String(value);
    this.#fill(range);
  }

  /** @param {number} seed */
  #setSeed(seed) {
    this.#set("seed", seed);
    this.ownSeed = this.#number("seed").value;
  }

  get className() {
    return this.radios.find((radio) => radio.checked)?.value ?? "";
  }

  /** Settings to send, or null with sentences beside the fields and the first of them focused. @returns {Settings | null} */
  read() {
    this.clearErrors();
    const seed = this.#number("seed");
    const empty = seed.value === "" && !seed.validity.badInput;
    const own = seed.value === this.ownSeed && !seed.validity.badInput;
    if (empty || (own && !this.keep.checked)) this.#setSeed(freshSeed());
    const errors = [];
    if (!this.className) errors.push({ field: "class", sentence: "Choose a class." });
    /** @type {Record<string, number>} */
    const values = {};
    for (const name of NUMBERS) {
      const sentence = this.#check(name, this.#number(name).value);
      if (sentence) errors.push({ field: name, sentence });
      values[name] = this.#number(name).valueAsNumber;
    }
    errors.forEach(({ field, sentence }, i) => this.showError(field, sentence, i === 0));
    return errors.length ? null : /** @type {Settings} */ ({ class: this.className, ...values });
  }

  /** A sentence if `text` won't do. @param {NumberField} name @param {string} text */
  #check(name, text) {
    const { min, max } = this.#number(name);
    const number = text.trim() === "" ? Number.NaN : Number(text);
    const whole = WHOLE.has(name);
    if (number >= Number(min) && number <= Number(max) && (!whole || Number.isSafeInteger(number))) return "";
    return `Give a ${whole ? "whole number" : "number"} from ${min} to ${max}.`;
  }

  reset() {
    for (const name of NUMBERS) this.#set(name, this.#number(name).defaultValue);
    this.ownSeed = "";
    this.keep.checked = false;
    this.clearErrors();
    this.onChange();
  }

  /** The server's errors beside their fields; returns those of fields that the form hasn't. @param {FieldError[]} errors */
  showErrors(errors) {
    let first = true;
    return errors.filter(({ field, value, allowed }) => {
      const shown = this.showError(field, refusal(value, allowed), first);
      if (shown) first = false;
      return !shown;
    });
  }

  /** @param {string} field @param {string} sentence @param {boolean} focus */
  showError(field, sentence, focus) {
    const place = /** @type {HTMLElement | null} */ (this.form.querySelector(`#${CSS.escape(field)}-error`));
    if (!place) return false;
    place.textContent = sentence;
    place.hidden = false;
    const input = field === "class" ? this.radios[0] : this.#number(field);
    if (field !== "class") input?.setAttribute("aria-invalid", "true");
    if (focus) input?.focus();
    return true;
  }

  /** @param {string} field */
  clearError(field) {
    const place = /** @type {HTMLElement | null} */ (this.form.querySelector(`#${field}-error`));
    if (place) place.hidden = true;
    this.form.querySelector(`#${field}`)?.removeAttribute("aria-invalid");
  }

  clearErrors() {
    for (const field of ["class", ...NUMBERS]) this.clearError(field);
  }

  /** Puts the settings of a run in the page's address. @param {Settings} settings */
  writeAddress(settings) {
    const query = new URLSearchParams(Object.entries(settings).map(([name, value]) => [name, String(value)]));
    history.replaceState(null, "", `?${query}${location.hash}`);
  }

  /**
   * Takes the settings from the page's address.
   * @returns {{restored: boolean, problems: string[]}} a sentence for each value that was left out
   */
  readAddress() {
    const query = new URLSearchParams(location.search);
    const problems = [];
    let restored = false;
    const wanted = query.get("class");
    if (wanted !== null) {
      const radio = this.radios.find(({ value, dataset }) => value.toLowerCase() === wanted.toLowerCase() || dataset.index === wanted);
      if (radio) radio.checked = restored = true;
      else problems.push(`The link asks for the class “${brief(wanted)}”, which this model doesn't have.`);
    }
    for (const name of NUMBERS) {
      const text = query.get(name);
      // An empty seed is what a form without JavaScript sends for "any".
      if (text === null || (name === "seed" && text === "")) continue;
      const sentence = this.#check(name, text);
      if (sentence) {
        problems.push(`The link's ${name} “${brief(text)}” can't be used. ${sentence}`);
      } else {
        this.#set(name, Number(text));
        restored = true;
        if (name === "seed") this.keep.checked = true;
      }
    }
    return { restored, problems };
  }
}

/** @param {string} text */
const brief = (text) => (text.length > 40 ? `${text.slice(0, 40)}…` : text);

/** @param {unknown} value @param {unknown} allowed */
function refusal(value, allowed) {
  const said = value === undefined || value === null ? "This" : `“${brief(typeof value === "string" ? value : JSON.stringify(value))}”`;
  const list = Array.isArray(allowed) ? allowed.join(", ") : typeof allowed === "object" ? JSON.stringify(allowed) : allowed;
  return list ? `${said} isn't allowed here. Allowed: ${list}.` : `${said} isn't allowed here.`;
}
