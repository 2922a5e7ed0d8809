// @ts-check
/** The view that draws one seed with different settings: two pictures that show the same step, or a matrix of up to 16. */
import { clearError, field, parseNumber, setValue, showError, validateNumber } from "../components/fields.js";
import { Matrix, MAX_CELLS, parseAxis, suggestedValues } from "../components/matrix.js";
import { ResultActions } from "../components/result-actions.js";
import { DEFAULT_SCALE } from "../components/save-panel.js";
import { namesPicture, settingsAddress } from "../lib/address.js";
import { byId, part, parts } from "../lib/dom.js";
import { fileName } from "../lib/files.js";
import { model, tokensPerStep } from "../lib/model.js";
import { Run } from "../lib/run.js";
import { samplingOptions } from "../lib/sampling-options.js";
import { toCodeRequests, toRequests } from "../lib/settings.js";
import { RunView } from "./run-view.js";

/**
 * @typedef {import("../lib/settings.js").Settings} Settings
 * @typedef {import("../components/matrix.js").Axis} Axis
 */

export class CompareView extends RunView {
  /** @param {import("./view.js").Page} page */
  constructor(page) {
    super(page, byId("compare"));
    this.titles = /** @type {HTMLElement[]} */ (parts(this.root, "side-title"));
    this.setting = /** @type {HTMLSelectElement} */ (byId("vary"));
    this.rightField = field("to");
    this.rightClass = /** @type {HTMLSelectElement} */ (byId("to-class"));
    this.leftLabel = /** @type {HTMLElement} */ (byId("vary-from"));
    /** The value on the right is the user's choice, or the address's. */
    this.rightChosen = new URLSearchParams(location.search).has("to");
    this.actions = new ResultActions(part(this.root, "result-actions"), () => this.viewer.player.step);
    this.matrix = new Matrix(part(this.root, "matrix"), (index) => this.#openCell(index));
    this.modes = /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll("input[name=comparison]")]);
    /** The settings of the run's pictures. @type {Settings[]} */
    this.settings = [];
    this.address = "";
    /** The run is a matrix. */
    this.isMatrix = false;
    this.#listen();
    this.#readAddress(location.search);
    this.onFormChange();
  }

  #listen() {
    this.setting.addEventListener("change", () => {
      this.rightChosen = false;
      this.rightField.value = samplingOptions.find(({ name }) => name === this.setting.value)?.comparisonValue ?? "";
      this.#changed();
    });
    for (const input of [this.rightField, this.rightClass]) {
      input.addEventListener("input", () => {
        this.rightChosen = true;
        clearError("to");
        this.#changed();
      });
    }
    for (const input of this.modes) input.addEventListener("change", () => this.#changed());
    for (const axis of ["x", "y"]) {
      byId(`${axis}-setting`).addEventListener("change", () => {
        field(`${axis}-values`).value = suggestedValues(byId(`${axis}-setting`).value, this.page.form.classes);
        this.#changed();
      });
      field(`${axis}-values`).addEventListener("input", () => this.#changed());
    }
    part(this.root, "side-choice").addEventListener("change", (/** @type {Event} */ event) => {
      this.actions.choose(Number(/** @type {HTMLInputElement} */ (event.target).value));
      this.page.updateButtons();
    });
  }

  #changed() {
    clearError("matrix");
    this.onFormChange();
    this.page.updateButtons();
  }

  /** A link to a comparison draws it. @param {boolean} linked */
  onShow(linked) {
    this.onFormChange();
    if (linked && document.body.dataset.autostart === "true") this.submit();
  }

  /** What the server doesn't write into the form. @param {string} search */
  #readAddress(search) {
    const query = new URLSearchParams(search);
    const x = byId("x-setting");
    const y = byId("y-setting");
    for (const [name, select, other] of [["x", x, 0], ["y", y, 1]]) {
      const chosen = query.get(name) ?? "";
      const known = [...select.options].some(({ value }) => value === chosen);
      select.value = known ? chosen : select.options[other].value;
      field(`${name}-values`).value = (known && query.get(`${name}s`)) || suggestedValues(select.value, this.page.form.classes);
    }
    this.#setMode(query.has("x") && query.has("y") ? "matrix" : "sides");
    const vary = query.get("vary") ?? "";
    if ([...this.setting.options].some(({ value }) => value === vary)) {
      this.setting.value = vary;
      const to = query.get("to") ?? "";
      if (to) this.rightField.value = to;
      if (this.#comparesClasses && this.page.form.classes.includes(to)) this.rightClass.value = to;
    }
  }

  /** @param {string} mode */
  #setMode(mode) {
    for (const input of this.modes) input.checked = input.value === mode;
  }

  get #choosesMatrix() {
    return this.modes.some(({ checked, value }) => checked && value === "matrix");
  }

  /** Shows the value on the left, and the field for the value on the right. */
  onFormChange() {
    const matrix = this.#choosesMatrix;
    part(document, "sides-settings").hidden = matrix;
    part(document, "matrix-settings").hidden = !matrix;
    if (!this.run || !this.running) this.#showMode(matrix);
    this.rightField.hidden = this.#comparesClasses;
    this.rightClass.hidden = !this.#comparesClasses;
    this.leftLabel.textContent = `${this.#leftValue} →`;
    if (!this.rightChosen && this.#sidesAreEqual) this.#makeDifferent();
    if (!this.run) this.#showTitles();
  }

  /** @param {boolean} matrix */
  #showMode(matrix) {
    part(this.root, "viewer").hidden = matrix;
    part(this.root, "matrix").hidden = !matrix;
  }

  get #comparesClasses() {
    return this.setting.value === "class";
  }

  get #leftValue() {
    return this.#comparesClasses ? this.page.form.chosenClasses[0] ?? (model.hasWords ? "any" : "none") : field(this.setting.value).value;
  }

  get #rightValue() {
    return this.#comparesClasses ? this.rightClass.value : this.rightField.value.trim().replace(",", ".");
  }

  get #sidesAreEqual() {
    return this.#comparesClasses ? this.#leftValue === this.#rightValue : parseNumber(this.#leftValue) === parseNumber(this.#rightValue);
  }

  /** Chooses another value for the right side. */
  #makeDifferent() {
    if (this.#comparesClasses) {
      this.rightClass.value = this.page.form.classes.find((name) => name !== this.#leftValue) ?? "";
      return;
    }
    const option = samplingOptions.find(({ name }) => name === this.setting.value);
    const other = [option?.comparisonValue, option?.default, option?.off, field(this.setting.value).dataset.min].find((value) => value !== undefined && parseNumber(String(value)) !== parseNumber(this.#leftValue));
    this.rightField.value = String(other ?? "");
  }

  #showTitles() {
    const label = this.setting.selectedOptions[0].text;
    this.titles[0].textContent = `${label} ${this.#leftValue}`;
    this.titles[1].textContent = `${label} ${this.#rightValue}`;
  }

  /** The settings with one of them changed. @param {Settings} settings @param {string} setting @param {string} value @returns {Settings} */
  #with(settings, setting, value) {
    return setting === "class" ? { ...settings, classes: [value] } : { ...settings, options: { ...settings.options, [setting]: parseNumber(value) } };
  }

  /** The settings of both sides; null if one is invalid. @param {boolean} quiet shows no errors */
  #readSides(quiet) {
    const { form } = this.page;
    const setting = this.setting.value;
    let error = this.#comparesClasses ? "" : validateNumber(field(setting), this.rightField.value);
    if (!error && this.#sidesAreEqual) error = "Both sides would be the same. Choose another value for the right side.";
    const left = form.read({ single: true, quiet, errors: error ? [["to", error]] : [] });
    if (error && !quiet && this.#comparesClasses) this.rightClass.focus();
    return left && [left, this.#with(left, setting, this.#rightValue)];
  }

  /** The axes and the settings of all cells, row by row; null if something is invalid. @param {boolean} quiet shows no errors */
  #readMatrix(quiet) {
    const { form } = this.page;
    const [columns, rows] = ["x", "y"].map((axis) => parseAxis(byId(`${axis}-setting`).value, field(`${axis}-values`).value, form.classes));
    const cells = columns.axis.values.length * rows.axis.values.length;
    const error = columns.error || rows.error
      || (columns.axis.setting === rows.axis.setting ? "Choose different settings for columns and rows." : "")
      || (cells > MAX_CELLS ? `That makes ${cells} pictures; a matrix has at most ${MAX_CELLS}.` : "");
    if (error && !quiet) {
      showError("matrix", error);
      field(columns.error || !rows.error ? "x-values" : "y-values").focus();
    }
    const settings = error ? null : form.read({ single: true, quiet });
    if (!settings) return null;
    const all = rows.axis.values.flatMap((y) => columns.axis.values.map((x) => this.#with(this.#with(settings, rows.axis.setting, y), columns.axis.setting, x)));
    return { columns: columns.axis, rows: rows.axis, settings, all };
  }

  codeScopes() {
    const all = this.#choosesMatrix ? this.#readMatrix(true)?.all : this.#readSides(true);
    if (!all) return null;
    const requests = all.flatMap(toCodeRequests);
    /** @param {import("../lib/code-examples.js").CodeRequest[]} chosen */
    const plan = (chosen) => ({ pictures: chosen.map((request) => ({ request, index: 0 })), scale: DEFAULT_SCALE });
    if (this.#choosesMatrix) return [{ name: "all", label: `All ${requests.length}`, plan: plan(requests) }];
    return [
      { name: "both", label: "Both", plan: plan(requests) },
      { name: "left", label: "Left", plan: plan([requests[0]]) },
      { name: "right", label: "Right", plan: plan([requests[1]]) },
    ];
  }

  get canSave() {
    return this.isMatrix ? this.matrix.ready : this.actions.ready;
  }

  save() {
    if (this.isMatrix) this.matrix.save();
    else this.actions.savePicture();
  }

  submit() {
    if (this.running) return;
    if (this.#choosesMatrix) return this.#submitMatrix();
    const sides = this.#readSides(false);
    if (!sides) return;
    this.isMatrix = false;
    this.settings = sides;
    this.address = settingsAddress("compare", sides[0], { vary: this.setting.value, to: this.#rightValue });
    this.page.setAddress(this.address, Boolean(this.run));
    this.#showTitles();
    this.#begin(sides.flatMap(toRequests));
  }

  #submitMatrix() {
    const matrix = this.#readMatrix(false);
    if (!matrix) return;
    const { columns, rows, settings } = matrix;
    const separator = (/** @type {Axis} */ axis) => (axis.setting === "class" ? "," : " ");
    this.address = settingsAddress("compare", settings, {
      x: columns.setting, xs: columns.values.join(separator(columns)), y: rows.setting, ys: rows.values.join(separator(rows)),
    });
    this.page.setAddress(this.address, Boolean(this.run));
    this.#beginMatrix(matrix, new Run(matrix.all.flatMap(toRequests)));
    this.page.scrollIntoView(part(this.root, "matrix"));
  }

  /** @param {{columns: Axis, rows: Axis, settings: Settings, all: Settings[]}} matrix @param {Run} run */
  #beginMatrix({ columns, rows, settings, all }, run) {
    this.isMatrix = true;
    this.settings = all;
    this.matrix.show(columns, rows, run.pictures, fileName(`matrix-${columns.setting}-${rows.setting}`, settings.seeds[0], 0));
    this.#start(run);
  }

  /** Back and Forward: shows the comparison of an address. @param {string} address */
  async onAddress(address) {
    if (!namesPicture(address)) return;
    const isShown = address === this.address;
    if (!isShown) this.cancel();
    this.page.form.apply(address);
    this.#readAddress(new URL(address, location.href).search);
    this.rightChosen = true;
    this.onFormChange();
    if (isShown) return;
    const kept = await this.page.keptRun(address);
    const matrix = this.#choosesMatrix ? this.#readMatrix(true) : null;
    const count = this.#choosesMatrix ? matrix?.all.length : 2;
    if (!kept || kept.pictures.length !== count) return this.status.show("idle", "Press Compare to draw with these settings.");
    if (matrix) {
      this.address = address;
      return this.#beginMatrix(matrix, kept);
    }
    this.isMatrix = false;
    this.address = address;
    this.settings = this.#readSides(true) ?? [];
    this.#showTitles();
    this.#begin([], kept);
  }

  /** Repeats the run with its seed. */
  retry() {
    if (!this.run || this.running) return;
    const run = new Run(this.run.requests);
    if (!this.isMatrix) return this.#begin(run.requests, run);
    this.matrix.show(/** @type {Axis} */ (this.matrix.axes[0]), /** @type {Axis} */ (this.matrix.axes[1]), run.pictures, this.matrix.name);
    this.#start(run);
  }

  /** @param {import("../lib/api.js").GenerationRequest[]} requests @param {Run} [run] */
  #begin(requests, run = new Run(requests)) {
    this.actions.begin(run, this.#side);
    this.#start(run);
    this.page.scrollIntoView(part(this.root, "viewer"));
  }

  /** Index of the side that is saved and copied. */
  get #side() {
    return Number(part(this.root, "side-choice").querySelector("input:checked")?.value ?? 0);
  }

  /** @param {Run} run */
  #start(run) {
    this.page.showNotice("");
    this.setRun(run);
    this.#showMode(this.isMatrix);
    this.startRun([run.pictures[0], run.pictures[1] ?? run.pictures[0]]);
  }

  /** @param {Run} run */
  onRunStep(run) {
    super.onRunStep(run);
    if (this.isMatrix) this.matrix.showLatest();
  }

  /** @param {Run} run */
  onDrawn(run) {
    if (this.isMatrix) {
      this.matrix.showLatest();
      this.matrix.setReady(true);
      this.viewer.player.skipToLast();
      if (!run.endedBefore) this.page.keepRun(run, this.address, this.settings);
      return this.page.updateButtons();
    }
    this.actions.finish();
    this.page.updateButtons();
    if (!run.endedBefore && this.settings[0]) this.page.keepRun(run, this.address, this.settings[0]);
  }

  /** Opens a picture of the matrix in Draw. @param {number} index */
  #openCell(index) {
    if (this.run) this.page.showInDraw(this.run, index, this.settings[index]);
  }

  runningText() {
    return this.isMatrix ? `Denoising ${this.settings.length} pictures.` : "Denoising both pictures.";
  }

  /** Says how many tokens the two pictures share. @param {Run} run */
  showCompleted({ pictures, seconds }) {
    const [left, right] = pictures;
    const { seed } = left;
    if (this.isMatrix) return this.status.show("completed", `Seed ${seed}: ${pictures.length} pictures, done in ${seconds.toFixed(1)} s.`);
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
