// @ts-check
/** The view that draws one seed twice with one setting changed; both pictures show the same step. */
import { field, parseNumber, validateNumber } from "../components/fields.js";
import { settingsAddress } from "../lib/address.js";
import { byId, part, parts } from "../lib/dom.js";
import { model, tokensPerStep } from "../lib/model.js";
import { Run } from "../lib/run.js";
import { samplingOptions } from "../lib/sampling-options.js";
import { toRequests } from "../lib/settings.js";
import { RunView } from "./run-view.js";

export class CompareView extends RunView {
  /** @param {import("./view.js").Page} page */
  constructor(page) {
    super(page, byId("compare"));
    this.titles = /** @type {HTMLElement[]} */ (parts(this.root, "side-title"));
    this.setting = /** @type {HTMLSelectElement} */ (byId("vary"));
    this.rightField = field("to");
    this.rightClass = /** @type {HTMLSelectElement} */ (byId("to-class"));
    this.leftLabel = /** @type {HTMLElement} */ (byId("vary-from"));
    this.setting.addEventListener("change", () => {
      this.rightField.value = samplingOptions.find(({ name }) => name === this.setting.value)?.comparisonValue ?? "";
      this.onFormChange();
    });
    this.onFormChange();
  }

  /** A link to a comparison draws it. @param {boolean} linked */
  onShow(linked) {
    this.onFormChange();
    if (linked && document.body.dataset.autostart === "true") this.submit();
  }

  /** Shows the value on the left, and the field for the value on the right. */
  onFormChange() {
    this.rightField.hidden = this.#comparesClasses;
    this.rightClass.hidden = !this.#comparesClasses;
    this.leftLabel.textContent = `${this.#leftValue} →`;
    if (!this.run) this.#showTitles();
  }

  get #comparesClasses() {
    return this.setting.value === "class";
  }

  get #leftValue() {
    return this.#comparesClasses ? this.page.form.chosenClasses[0] ?? "none" : field(this.setting.value).value;
  }

  get #rightValue() {
    return this.#comparesClasses ? this.rightClass.value : this.rightField.value.trim().replace(",", ".");
  }

  #showTitles() {
    const label = this.setting.selectedOptions[0].text;
    this.titles[0].textContent = `${label} ${this.#leftValue}`;
    this.titles[1].textContent = `${label} ${this.#rightValue}`;
  }

  submit() {
    if (this.running) return;
    const { form } = this.page;
    const setting = this.setting.value;
    const error = this.#comparesClasses ? "" : validateNumber(field(setting), this.rightField.value);
    const settings = form.read({ single: true, errors: error ? [["to", error]] : [] });
    if (!settings) return;

    const changed = this.#comparesClasses
      ? { classes: [this.#rightValue] }
      : { options: { ...settings.options, [setting]: parseNumber(this.#rightValue) } };
    this.page.setAddress(settingsAddress("compare", settings, { vary: setting, to: this.#rightValue }));
    this.#showTitles();
    this.#begin([settings, { ...settings, ...changed }].flatMap(toRequests));
  }

  /** Repeats the run with its seed. */
  retry() {
    if (this.run && !this.running) this.#begin(this.run.requests);
  }

  /** @param {import("../lib/api.js").GenerationRequest[]} requests */
  #begin(requests) {
    this.page.showNotice("");
    const run = new Run(requests);
    this.setRun(run);
    this.startRun(run.pictures);
    this.page.scrollIntoView(part(this.root, "viewer"));
  }

  runningText() {
    return "Denoising both pictures.";
  }

  /** Says how many tokens the two pictures share. @param {Run} run */
  showCompleted({ pictures: [left, right] }) {
    const { seed } = left;
    if (Math.min(left.lastStep, right.lastStep) < model.stepCount) {
      return this.status.show("completed", `Seed ${seed}: done, but the steps couldn’t be received.`);
    }
    let equal = 0;
    for (let step = 1; step <= model.stepCount; step++) {
      const other = right.steps[step].tokens.flat();
      equal += left.steps[step].tokens.flat().filter((code, i) => code === other[i]).length;
    }
    this.status.show("completed", `Seed ${seed}: ${equal} of ${model.stepCount * tokensPerStep} tokens are the same.`);
  }
}
