// @ts-check
/** The settings: one or several classes, seed, count, sampling options, presets. Reads and validates them. */
import { byId } from "../lib/dom.js";
import { model } from "../lib/model.js";
import { readPreferences, writePreferences } from "../lib/preferences.js";
import { optionValues, samplingOptions } from "../lib/sampling-options.js";
import { parseSeeds, randomItem, randomSeed } from "../lib/seeds.js";
import { pictureCount, settingsTitle } from "../lib/settings.js";
import { clearError, field, numberValue, pairWithSlider, setValue, showError, validateNumber } from "./fields.js";
import { PromptField } from "./prompt-field.js";

/** @typedef {import("../lib/settings.js").Settings} Settings */

const OPTIONS = samplingOptions.map(({ name }) => name);

/** What each preset changes of the defaults. @type {Record<string, import("../lib/sampling-options.js").OptionValues>} */
const PRESETS = {
  default: {},
  plain: { guidance: 4, temperature: 0.7 },
  varied: { guidance: 1, temperature: 1.2 },
  greedy: { temperature: 0 },
  unguided: { guidance: 0 },
};

export class SettingsForm {
  /** @param {{onSubmit: () => void, onChange: () => void}} events */
  constructor({ onSubmit, onChange }) {
    this.root = /** @type {HTMLFormElement} */ (byId("settings"));
    this.onChange = onChange;
    this.lock = /** @type {HTMLButtonElement} */ (byId("lock-seed"));
    this.seedState = /** @type {HTMLElement} */ (byId("seed-state"));
    /** The last submission failed: the next one keeps the seed. */
    this.seedKept = false;
    this.several = field("several");
    const inputs = /** @type {HTMLInputElement[]} */ ([...this.root.querySelectorAll("input[name=class]")]);
    this.classInputs = inputs.filter(({ value }) => value);
    /** Leaves the class to the prompt. @type {HTMLInputElement | null} */
    this.anyClass = inputs.find(({ value }) => !value) ?? null;
    /** Drawn if neither a class nor a prompt is chosen: another one for each run, unless the seed is locked. */
    this.surpriseClass = randomItem(this.classes);
    /** Of a model that knows words. */
    this.prompt = byId("prompt") && new PromptField({
      // A prompt says what to draw, in the place of a class.
      onText: () => this.#chooseAnyClass(),
      onStyle: () => this.#changed(),
      onDraw: onSubmit,
      onExample: (address) => {
        this.apply(address);
        onSubmit();
      },
    });
    this.presets = /** @type {HTMLButtonElement[]} */ ([...this.root.querySelectorAll("[data-preset]")]);
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      onSubmit();
      this.#remember();
    });
    this.#listen();
    this.#applyPreferences();
    this.#updateClassInputs();
    this.#changed();
    this.#showChosenClass();
  }

  /** On phones the classes are a row that scrolls. */
  #showChosenClass() {
    const tile = this.classInputs.find(({ checked }) => checked)?.closest("label");
    const row = tile?.parentElement;
    if (tile && row) row.scrollLeft = tile.offsetLeft - row.offsetLeft - (row.clientWidth - tile.offsetWidth) / 2;
  }

  #listen() {
    const changed = () => this.#changed();
    for (const id of [...OPTIONS, "count", "from_step"]) pairWithSlider(id, changed);
    for (const input of this.classInputs) {
      input.addEventListener("change", () => {
        this.prompt?.setText("");
        clearError("class");
        changed();
      });
    }
    for (const button of this.presets) {
      button.addEventListener("click", () => {
        for (const [id, value] of Object.entries(this.#presetValues(button.dataset.preset))) setValue(id, value);
        changed();
      });
    }
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (this.root.querySelectorAll("[data-increment]"))) {
      button.addEventListener("click", () => {
        const { min, max } = field("count").dataset;
        const next = (Math.round(numberValue("count")) || 1) + Number(button.dataset.increment);
        setValue("count", Math.max(Number(min), Math.min(Number(max), next)));
        changed();
      });
    }
    byId("reset").addEventListener("click", () => this.reset());
    byId("random-seed").addEventListener("click", () => {
      setValue("seed", randomSeed());
      this.#setSeedLocked(true);
    });
    this.lock.addEventListener("click", () => {
      if (!this.seedLocked && field("seed").value.trim() === "") setValue("seed", randomSeed());
      this.#setSeedLocked(!this.seedLocked);
    });
    field("seed").addEventListener("input", () => {
      this.#setSeedLocked(field("seed").value.trim() !== "");
      clearError("seed");
      changed();
    });
    this.anyClass?.addEventListener("change", () => {
      clearError("class");
      changed();
    });
    this.several.addEventListener("change", () => this.#updateClassInputs());
    byId("all-classes").addEventListener("click", () => {
      for (const input of this.classInputs) input.checked = true;
      changed();
    });
  }

  /** Settings that the address doesn't hold are those of the last visit. A link that names a class means the defaults of the others. */
  #applyPreferences() {
    const query = new URLSearchParams(location.search);
    if (query.has("class") || query.has("prompt")) return;
    const { classes = [], numbers = {} } = readPreferences();
    const known = classes.filter((name) => this.classes.includes(name));
    if (known.length) {
      this.several.checked = known.length > 1;
      for (const input of this.classInputs) input.type = "checkbox";
      for (const input of this.classInputs) input.checked = known.includes(input.value);
    }
    for (const id of [...OPTIONS, "count"]) {
      if (id in numbers && !query.has(id) && !validateNumber(field(id), String(numbers[id]))) setValue(id, numbers[id]);
    }
  }

  /** Remembers valid settings for the next visit. */
  #remember() {
    const valid = [...OPTIONS, "count"].filter((id) => !validateNumber(field(id)));
    writePreferences({ classes: this.chosenClasses, numbers: Object.fromEntries(valid.map((id) => [id, numberValue(id)])) });
  }

  #changed() {
    for (const button of this.presets) {
      const values = Object.entries(this.#presetValues(button.dataset.preset));
      button.setAttribute("aria-pressed", String(values.every(([id, value]) => numberValue(id) === value)));
    }
    this.onChange();
  }

  /** All sampling options of a preset. @param {string} [name] */
  #presetValues(name) {
    return { ...optionValues((option) => option.default), ...PRESETS[name ?? ""] };
  }

  /** Whether the next run keeps the seed. */
  get seedLocked() {
    return this.lock.getAttribute("aria-pressed") === "true";
  }

  /** @param {boolean} locked */
  #setSeedLocked(locked) {
    this.lock.setAttribute("aria-pressed", String(locked));
    this.seedState.textContent = locked ? "Locked: each run uses this seed." : "Not locked: each run draws a new seed.";
    clearError("seed");
  }

  /** Radio buttons for one class, check boxes for several. */
  #updateClassInputs() {
    const several = this.several.checked;
    let found = false;
    for (const input of this.classInputs) {
      if (!several && found) input.checked = false;
      found ||= input.checked;
      input.type = several ? "checkbox" : "radio";
    }
    if (this.anyClass) {
      this.anyClass.type = several ? "checkbox" : "radio";
      this.anyClass.checked = !several && !found;
      /** @type {HTMLElement} */ (this.anyClass.closest(".tile")).hidden = several;
    }
    byId("all-classes").hidden = !several;
    this.#changed();
  }

  #chooseAnyClass() {
    for (const input of this.classInputs) input.checked = false;
    this.#updateClassInputs();
  }

  /** Says what would be drawn. */
  get title() {
    const title = settingsTitle({ prompt: this.prompt?.text ?? "", classes: this.chosenClasses });
    return title || (this.prompt ? "A surprise" : "No class chosen");
  }

  /** Names of all classes of the model. */
  get classes() {
    return this.classInputs.map(({ value }) => value);
  }

  /** Names of the chosen classes. */
  get chosenClasses() {
    return this.classInputs.filter(({ checked }) => checked).map(({ value }) => value);
  }

  /**
   * The settings to send; null if there are errors, which are then shown beside their fields.
   * @param {{single?: boolean, errors?: [string, string][], quiet?: boolean}} [options] `single`: one class, one seed and
   *   one picture of it, whatever else is set; `errors`: of fields that the view has checked; `quiet`: shows no errors and
   *   chooses no seed, so there are no seeds if the field is empty
   * @returns {Settings | null}
   */
  read({ single = false, errors: viewErrors = [], quiet = false } = {}) {
    const seedField = field("seed");
    const isRandom = (!this.seedLocked && !this.seedKept) || seedField.value.trim() === "";
    const seedText = isRandom && !quiet ? String(randomSeed()) : seedField.value;
    /** @type {[string, string][]} */
    const errors = [...viewErrors];
    const prompt = this.prompt?.text ?? "";
    const styles = this.prompt?.styles ?? [];
    let classes = single ? this.chosenClasses.slice(0, 1) : this.chosenClasses;
    if (!classes.length && this.prompt && !prompt) {
      if (!quiet && !this.seedLocked) this.surpriseClass = randomItem(this.classes);
      classes = [this.surpriseClass];
    }
    if (!classes.length && !prompt) errors.push(["class", "Choose a class."]);
    const noSeed = { seeds: /** @type {number[]} */ ([]), error: "" };
    const { seeds, error: seedError } = quiet && seedText.trim() === "" ? noSeed : parseSeeds(seedText, Number(seedField.dataset.max));
    if (seedError) errors.push(["seed", seedError]);
    for (const id of [...OPTIONS, ...(single ? [] : ["count"])]) {
      const error = validateNumber(field(id));
      if (error) errors.push([id, error]);
    }
    const settings = {
      classes,
      prompt,
      styles: single && styles.length > 1 ? [] : styles,
      seeds: single ? seeds.slice(0, 1) : seeds,
      count: single ? 1 : numberValue("count"),
      options: optionValues(({ name }) => numberValue(name)),
    };
    const pictures = pictureCount(settings);
    if (!errors.length && pictures > model.maxPictures) {
      errors.push(["count", `That makes ${pictures} pictures; the limit is ${model.maxPictures}.`]);
    }
    if (quiet) return errors.length ? null : settings;
    if (this.showErrors(errors)) return null;
    if (isRandom) setValue("seed", seedText);
    this.seedKept = false;
    return settings;
  }

  /** The next run draws a new seed. */
  unlockSeed() {
    setValue("seed", "");
    this.#setSeedLocked(false);
    this.#changed();
  }

  /** Keeps the seed for the next submission, because this one failed. */
  keepSeed() {
    this.seedKept = true;
  }

  /** Shows errors beside their fields and focuses the first field. @param {[string, string][]} errors field and error @returns {boolean} whether there are any */
  showErrors(errors) {
    for (const id of ["prompt", "style", "class", "seed", "count", "to", "from_step", ...OPTIONS]) clearError(id);
    for (const [id, error] of errors) showError(id, error);
    const [first] = errors[0] ?? [];
    if (first) (field(first) ?? this.classInputs[0]).focus();
    return errors.length > 0;
  }

  /** Shows the server's errors beside their fields. Returns those of fields that the form doesn't have. @param {import("../lib/api.js").FieldError[]} errors */
  showServerErrors(errors) {
    const sentence = (/** @type {import("../lib/api.js").FieldError} */ { field: id, allowed }) => (id === "prompt" ? `Use ${allowed}.` : `Invalid value. Allowed: ${allowed}.`);
    return errors.filter((error) => !showError(error.field, sentence(error)));
  }

  /** What another model's page can take over: the locked seed, and the count and guidance that aren't the defaults. */
  get portableSettings() {
    const changed = ["count", "guidance"].filter((id) => !validateNumber(field(id)) && numberValue(id) !== Number(field(id).dataset.default));
    const seed = field("seed");
    const seedValid = this.seedLocked && !parseSeeds(seed.value, Number(seed.dataset.max)).error;
    return {
      ...(seedValid && { seed: seed.value.replace(/[\s,;]+/g, ",") }),
      ...Object.fromEntries(changed.map((id) => [id, String(numberValue(id))])),
    };
  }

  reset() {
    for (const id of [...OPTIONS, "count"]) setValue(id, field(id).dataset.default ?? "");
    setValue("seed", "");
    this.#setSeedLocked(false);
    this.#changed();
  }

  /** Fills the form from an address of this page; invalid values are ignored. @param {string} address */
  apply(address) {
    const query = new URL(address, location.href).searchParams;
    const classes = query.getAll("class").filter((name) => this.classes.includes(name));
    this.prompt?.apply(query);
    if (classes.length || this.prompt) {
      this.several.checked = classes.length > 1;
      for (const input of this.classInputs) input.type = "checkbox";
      for (const input of this.classInputs) input.checked = classes.includes(input.value);
      this.#updateClassInputs();
    }
    for (const id of OPTIONS) setValue(id, field(id).dataset.default ?? "");
    setValue("count", 1);
    for (const id of [...OPTIONS, "count"]) {
      const text = query.get(id) ?? "";
      if (text !== "" && !validateNumber(field(id), text)) setValue(id, text);
    }
    const seeds = query.getAll("seed").join(",");
    if (seeds && !parseSeeds(seeds, Number(field("seed").dataset.max)).error) {
      setValue("seed", seeds.replaceAll(",", ", "));
      this.#setSeedLocked(true);
    }
    this.#changed();
    this.#showChosenClass();
  }
}
