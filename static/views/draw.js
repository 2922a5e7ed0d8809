// @ts-check
/** The view that draws pictures: one in the viewer, all of them on the contact sheet. */
import { History } from "../components/history.js";
import { ResultActions } from "../components/result-actions.js";
import { Sheet } from "../components/sheet.js";
import { pickedIndex, settingsAddress, withPick } from "../lib/address.js";
import { byId, part } from "../lib/dom.js";
import { model } from "../lib/model.js";
import { Run } from "../lib/run.js";
import { optionValues } from "../lib/sampling-options.js";
import { pictureCount, toRequests } from "../lib/settings.js";
import { read, write } from "../lib/storage.js";
import { RunView } from "./run-view.js";

/**
 * @typedef {import("../lib/settings.js").Settings} Settings
 * @typedef {{address: string, settings: Settings, run: import("../lib/run.js").SavedRun}} SavedView
 */

/** The tab's storage keeps the run here, so that a reload continues it. */
const STORAGE_KEY = "rdpm.run";

export class DrawView extends RunView {
  /** @param {import("./view.js").Page} page */
  constructor(page) {
    const root = /** @type {HTMLElement} */ (byId("draw"));
    super(page, root);
    this.title = /** @type {HTMLElement} */ (part(root, "title"));
    this.actions = new ResultActions(part(root, "result-actions"), () => this.viewer.player.step);
    /** Below the settings on a phone. */
    this.saveButton = /** @type {HTMLButtonElement} */ (byId("save"));
    this.saveButton.addEventListener("click", () => this.actions.savePicture());
    this.sheet = new Sheet(part(root, "sheet-section"), (index) => this.#choosePicture(index));
    this.history = new History(part(root, "history"), (address) => {
      page.form.apply(address);
      this.submit();
    });
    // While the pictures are drawn, each tile shows its own last step.
    this.viewer.onStep = (step, fadeMs) => this.caughtUp && this.sheet.showStep(step, fadeMs);
    /** The settings of the run. @type {Settings | null} */
    this.settings = null;
    /** Index of the picture in the viewer. */
    this.index = 0;
  }

  /** Names the classes that would be drawn. */
  onFormChange() {
    if (!this.run) this.title.textContent = this.page.form.chosenClasses.join(", ") || "No class chosen";
  }

  submit() {
    if (this.running) return;
    const settings = this.page.form.read();
    if (!settings) return;
    this.page.setAddress(settingsAddress("draw", settings));
    this.page.showNotice("");
    this.#begin(settings, new Run(toRequests(settings)));
    this.page.scrollIntoView(/** @type {HTMLElement} */ (this.root.querySelector(".picture-panel")), /** @type {HTMLElement} */ (this.root.querySelector(".view-header")));
  }

  /** Repeats the run with its seeds, whatever the form holds by now. */
  retry() {
    if (this.running || !this.run || !this.settings) return;
    this.page.setAddress(this.#address);
    this.#begin(this.settings, new Run(this.run.requests), this.index);
  }

  /** Draws the pictures of the page's address and shows the one that it picks. */
  open() {
    const index = pickedIndex(location.href);
    this.submit();
    if (this.run && index > 0 && index < this.run.pictures.length) this.sheet.choose(index);
  }

  /** Continues the run that this tab showed before a reload. @returns {boolean} whether there is one */
  restore() {
    const saved = readSavedView();
    const index = pickedIndex(location.href);
    if (!saved || withPick(saved.address, index) !== location.pathname + location.search) return false;
    const run = Run.restore(saved.run);
    if (index >= run.pictures.length) return false;
    this.#begin(saved.settings, run, index);
    return true;
  }

  /** @param {Settings} settings @param {Run} run @param {number} [index] of the picture to show */
  #begin(settings, run, index = 0) {
    this.settings = settings;
    this.index = index;
    this.setRun(run);
    const { pictures } = run;
    this.title.textContent = settings.classes.join(", ");
    this.actions.begin(run, settings, index);
    this.saveButton.setAttribute("aria-disabled", "true");
    this.sheet.setPictures(pictures, pictures.map((_, index) => sheetLabel(run, settings, index)));
    this.sheet.check(index);
    this.startRun([pictures[index]]);
    this.page.updateTitle();
  }

  get pictureName() {
    if (!this.run) return "";
    const { label, seed } = this.run.pictures[this.index];
    const number = this.run.indexInJob(this.index) + 1;
    return `${label}, seed ${seed}${number > 1 ? `, no. ${number}` : ""}`;
  }

  /** @param {Run} run */
  onRunStep(run) {
    super.onRunStep(run);
    this.sheet.showLatest();
  }

  /** The pictures can be saved, whatever the viewer still plays. @param {Run} run */
  onDrawn(run) {
    const settings = /** @type {Settings} */ (this.settings);
    this.actions.finish();
    this.saveButton.setAttribute("aria-disabled", "false");
    this.sheet.showLatest();
    if (run.endedBefore) return;
    const { label, seed, png } = run.pictures[0];
    const more = run.pictures.length - 1;
    this.history.add({ address: settingsAddress("draw", settings), label: more ? `${label} +${more}` : label, seed, thumbnail: png });
  }

  /** @param {import("../components/lightbox.js").Lightbox} lightbox */
  enlarge(lightbox) {
    const pictures = this.run?.pictures ?? this.viewer.pictures;
    lightbox.open({
      pictures,
      index: this.index,
      step: this.viewer.player.step,
      onChoose: (index) => this.sheet.choose(index),
      onSave: this.actions.ready ? () => this.actions.savePicture() : undefined,
    });
  }

  /** The address of the run and of the picture that is shown. */
  get #address() {
    return withPick(settingsAddress("draw", /** @type {Settings} */ (this.settings)), this.index);
  }

  /** @param {Run} run */
  onRunState(run) {
    const settings = /** @type {Settings} */ (this.settings);
    if (run.state !== "submitting") {
      write("session", STORAGE_KEY, { address: settingsAddress("draw", settings), settings, run: run.save() });
    }
    if (run.endedBefore && run.state === "gone") {
      this.page.updateButtons();
      this.actions.clear();
      return this.status.show("idle", "Press Draw to draw with these settings.");
    }
    super.onRunState(run);
  }

  runningText() {
    return `Denoising ${this.#subject}.`;
  }

  /** @param {Run} run */
  showCompleted(run) {
    const settings = /** @type {Settings} */ (this.settings);
    const seeds = settings.seeds.length > 1 ? `seeds ${settings.seeds.join(", ")}` : `seed ${settings.seeds[0]}`;
    const start = run.endedBefore ? "Restored" : `Done in ${run.seconds.toFixed(1)} s`;
    this.status.show("completed", `${start}: ${this.#subject}, ${seeds}.`);
  }

  /** What is drawn: a class or a number of pictures. */
  get #subject() {
    const settings = /** @type {Settings} */ (this.settings);
    const count = pictureCount(settings);
    return count > 1 ? `${count} pictures` : settings.classes[0];
  }

  /** Shows another picture of the sheet in the viewer. @param {number} index */
  #choosePicture(index) {
    if (!this.run) return;
    this.index = index;
    this.page.setAddress(this.#address);
    this.page.updateTitle();
    this.viewer.swap([this.run.pictures[index]]);
    this.actions.choose(index);
  }
}

/** Names what distinguishes a picture from the others of the sheet. @param {Run} run @param {Settings} settings @param {number} index */
function sheetLabel(run, settings, index) {
  const { label, seed } = run.pictures[index];
  return [
    ...(settings.classes.length > 1 ? [label] : []),
    ...(settings.seeds.length > 1 ? [String(seed)] : []),
    ...(settings.count > 1 ? [`no. ${run.indexInJob(index) + 1}`] : []),
  ].join(" · ");
}

/** @returns {SavedView | undefined} */
function readSavedView() {
  const stored = /** @type {any} */ (read("session", STORAGE_KEY));
  // Before 0.2.0 the run was stored as `session`, and the options of sampling were members of the settings.
  const saved = stored?.session ? { ...stored, run: stored.session } : stored;
  if (!isSavedView(saved)) return undefined;
  const { settings } = saved;
  return { ...saved, settings: { ...settings, options: storedOptions(settings.options ?? settings) } };
}

/** The stored options; the defaults of those that were not stored. @param {any} stored */
const storedOptions = (stored) => optionValues(({ name, default: value }) => (Number.isFinite(stored[name]) ? stored[name] : value));

const GENERATION_LINK = /^\/api\/v1\/generations\/[\w-]+(\/events)?$/;

/** Whether what was stored is a run of this page. @param {any} saved @returns {saved is SavedView} */
function isSavedView(saved) {
  const jobs = saved?.run?.jobs;
  const settings = saved?.settings;
  /** @param {any} link */
  const isLink = (link) => typeof link === "string" && GENERATION_LINK.test(link);
  return Array.isArray(jobs) && jobs.length > 0
    && jobs.every((job) => typeof job?.body?.class === "string"
      && Number.isInteger(job.body.count) && job.body.count >= 1 && job.body.count <= model.maxPictures
      && (job.links === null || (isLink(job.links?.self) && isLink(job.links?.events))))
    && Array.isArray(settings?.classes) && Array.isArray(settings.seeds) && Number.isInteger(settings.count)
    && pictureCount({ classes: settings.classes, seeds: settings.seeds, count: settings.count })
      === jobs.reduce((sum, { body }) => sum + body.count, 0);
}
