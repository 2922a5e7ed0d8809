// @ts-check
/** The panel: reading settings, checking them, presets, seed with dice and lock, one class or several. */
import { clearError, field, objection, pair, set, showError } from "./fields.js";
import { model } from "./model.js";

/** @typedef {import("./address.js").Settings} Settings */

const SAMPLING = ["guidance", "temperature", "top_k", "top_p"];
/** Fresh seeds are short enough to read aloud; any seed up to the field's limit may be typed. */
const FRESH_SEEDS = 1_000_000;

/** What a preset changes of the defaults. @type {Record<string, Record<string, number>>} */
const PRESETS = {
  standard: {},
  plain: { guidance: 4, temperature: 0.7 },
  varied: { guidance: 1, temperature: 1.2 },
  greedy: { temperature: 0 },
  dream: { guidance: 0 },
};

export const freshSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % FRESH_SEEDS;

export class SettingsForm {
  /** @param {{onSubmit: () => void, onChange: () => void}} events */
  constructor({ onSubmit, onChange }) {
    this.root = /** @type {HTMLFormElement} */ (document.getElementById("settings"));
    this.onChange = onChange;
    this.lock = /** @type {HTMLButtonElement} */ (document.getElementById("lock"));
    this.several = field("several");
    this.classes = /** @type {HTMLInputElement[]} */ ([...this.root.querySelectorAll("input[name=class]")]);
    this.presets = /** @type {HTMLButtonElement[]} */ ([...this.root.querySelectorAll("[data-preset]")]);
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      onSubmit();
    });
    this.#listen();
    this.#severalChanged();
    this.#changed();
  }

  #listen() {
    const changed = () => this.#changed();
    for (const id of [...SAMPLING, "count", "from_step"]) pair(id, changed);
    for (const input of this.classes) {
      input.addEventListener("change", () => {
        clearError("class");
        changed();
      });
    }
    for (const button of this.presets) {
      button.addEventListener("click", () => {
        for (const [id, value] of Object.entries(this.#preset(button.dataset.preset))) set(id, value);
        changed();
      });
    }
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (this.root.querySelectorAll(".stepper [data-step]"))) {
      button.addEventListener("click", () => {
        const { value, min, max } = field("count");
        set("count", Math.max(Number(min), Math.min(Number(max), (Math.round(Number(value)) || 1) + Number(button.dataset.step))));
        changed();
      });
    }
    document.getElementById("reset")?.addEventListener("click", () => this.reset());
    document.getElementById("dice")?.addEventListener("click", () => {
      set("seed", freshSeed());
      this.#setLocked(true);
    });
    this.lock.addEventListener("click", () => {
      if (!this.locked && field("seed").value.trim() === "") set("seed", freshSeed());
      this.#setLocked(!this.locked);
    });
    field("seed").addEventListener("input", () => {
      this.#setLocked(field("seed").value.trim() !== "");
      clearError("seed");
      changed();
    });
    this.several.addEventListener("change", () => this.#severalChanged());
    document.getElementById("all")?.addEventListener("click", () => {
      for (const input of this.classes) input.checked = true;
      changed();
    });
  }

  #changed() {
    for (const button of this.presets) {
      const wanted = Object.entries(this.#preset(button.dataset.preset));
      button.setAttribute("aria-pressed", String(wanted.every(([id, value]) => Number(field(id).value) === value)));
    }
    this.onChange();
  }

  /** @param {string} [name] @returns {Record<string, number>} */
  #preset(name) {
    const defaults = Object.fromEntries(SAMPLING.map((id) => [id, Number(field(id).dataset.default)]));
    return { ...defaults, ...PRESETS[name ?? ""] };
  }

  get locked() {
    return this.lock.getAttribute("aria-pressed") === "true";
  }

  /** @param {boolean} locked */
  #setLocked(locked) {
    this.lock.setAttribute("aria-pressed", String(locked));
    clearError("seed");
  }

  /** Radio buttons for one class, check boxes for several. */
  #severalChanged() {
    const several = this.several.checked;
    let kept = false;
    for (const input of this.classes) {
      if (!several && kept) input.checked = false;
      kept ||= input.checked;
      input.type = several ? "checkbox" : "radio";
    }
    const all = document.getElementById("all");
    if (all) all.hidden = !several;
    this.#changed();
  }

  /** Names of the classes that are chosen. */
  get chosen() {
    return this.classes.filter(({ checked }) => checked).map(({ value }) => value);
  }

  /**
   * Settings to send, or null with sentences beside the fields and the first of them focused.
   * @param {{one?: boolean}} [how] `one`: one class, one seed and one picture of it, whatever else is set
   * @returns {Settings | null}
   */
  read({ one = false } = {}) {
    const seedText = field("seed");
    if (!this.locked || seedText.value.trim() === "") set("seed", freshSeed());
    /** @type {[string, string][]} */
    const errors = [];
    const classes = one ? this.chosen.slice(0, 1) : this.chosen;
    if (!classes.length) errors.push(["class", "Choose a class."]);
    const { seeds, sentence } = parseSeeds(seedText.value, Number(seedText.dataset.max));
    if (sentence) errors.push(["seed", sentence]);
    for (const id of [...SAMPLING, ...(one ? [] : ["count"])]) {
      const sentence = objection(field(id));
      if (sentence) errors.push([id, sentence]);
    }
    const settings = {
      classes,
      seeds: one ? seeds.slice(0, 1) : seeds,
      count: one ? 1 : field("count").valueAsNumber,
      guidance: field("guidance").valueAsNumber,
      temperature: field("temperature").valueAsNumber,
      top_k: field("top_k").valueAsNumber,
      top_p: field("top_p").valueAsNumber,
    };
    const asked = settings.classes.length * settings.seeds.length * settings.count;
    if (!errors.length && asked > model.maxCount) {
      errors.push(["count", `That would be ${asked} pictures; up to ${model.maxCount} can be drawn together.`]);
    }
    return this.show(errors) ? null : settings;
  }

  /** Shows sentences beside their fields, the first of them focused. @param {[string, string][]} errors @returns {boolean} whether there are any */
  show(errors) {
    for (const id of ["class", "seed", "count", "to", "from_step", ...SAMPLING]) clearError(id);
    for (const [id, sentence] of errors) showError(id, sentence);
    const [first] = errors[0] ?? [];
    if (first) (field(first) ?? this.classes[0]).focus();
    return errors.length > 0;
  }

  /** The server's errors beside their fields; returns those of fields that the form hasn't. @param {import("./api.js").FieldError[]} errors */
  showRefusal(errors) {
    return errors.filter(({ field: id, allowed }) => !showError(id, `This can’t be used. Allowed: ${allowed}.`));
  }

  reset() {
    for (const id of [...SAMPLING, "count"]) set(id, field(id).dataset.default ?? "");
    set("seed", "");
    this.#setLocked(false);
    this.#changed();
  }

  /** Fills the form from an address of this page; what can't be used is left as it is. @param {string} address */
  apply(address) {
    const query = new URL(address, location.href).searchParams;
    const classes = query.getAll("class").filter((name) => this.classes.some(({ value }) => value === name));
    if (classes.length) {
      this.several.checked = classes.length > 1;
      for (const input of this.classes) input.type = "checkbox";
      for (const input of this.classes) input.checked = classes.includes(input.value);
      this.#severalChanged();
    }
    for (const id of SAMPLING) set(id, field(id).dataset.default ?? "");
    set("count", 1);
    for (const id of [...SAMPLING, "count"]) {
      const text = query.get(id) ?? "";
      if (text !== "" && !objection(field(id), text)) set(id, text);
    }
    const seeds = query.getAll("seed").join(",");
    if (seeds && !parseSeeds(seeds, Number(field("seed").dataset.max)).sentence) {
      set("seed", seeds.replaceAll(",", ", "));
      this.#setLocked(true);
    }
    this.#changed();
  }
}

/** `7`, `7, 8, 12`, `7–10`. @param {string} text @param {number} max @returns {{seeds: number[], sentence: string}} */
export function parseSeeds(text, max) {
  /** @type {number[]} */
  const seeds = [];
  for (const part of text.split(/[\s,;]+/).filter(Boolean)) {
    const match = /^(\d{1,16})(?:[-–](\d{1,16}))?$/.exec(part);
    const [from, to] = match ? [Number(match[1]), Number(match[2] ?? match[1])] : [1, 0];
    if (from > to || to > max) {
      return { seeds: [], sentence: `“${part.slice(0, 24)}” is no seed: give whole numbers up to ${max}, several as 7, 8 or 7–10.` };
    }
    if (to - from >= model.maxCount) return { seeds: [], sentence: `${part} would be ${to - from + 1} seeds; up to ${model.maxCount} pictures can be drawn together.` };
    for (let seed = from; seed <= to; seed++) seeds.push(seed);
  }
  return { seeds, sentence: seeds.length ? "" : "Give a seed." };
}
