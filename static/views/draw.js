// @ts-check
/** The view that draws pictures: one in the viewer, all of them on the contact sheet. */
import { History } from "../components/history.js";
import { ResultActions } from "../components/result-actions.js";
import { DEFAULT_SCALE } from "../components/save-panel.js";
import { Sheet } from "../components/sheet.js";
import { namesPicture, pickedIndex, settingsAddress, withoutPick, withPick } from "../lib/address.js";
import { ROOT } from "../lib/api.js";
import { byId, part } from "../lib/dom.js";
import { model } from "../lib/model.js";
import { Run } from "../lib/run.js";
import { optionValues } from "../lib/sampling-options.js";
import { pictureCount, settingsTitle, toCodeRequests, toRequests } from "../lib/settings.js";
import { read, remove, write } from "../lib/storage.js";
import { RunView } from "./run-view.js";

/**
 * @typedef {import("../lib/settings.js").Settings} Settings
 * @typedef {{address: string, settings: Settings, run: import("../lib/run.js").SavedRun}} SavedView
 */

/** Runs that Back shows without reading the history. */
const MAX_RECENT = 6;

/** The tab's storage keeps the run here, so that a reload continues it. */
const STORAGE_KEY = "rdpm.run";

/** The page of another model finds here which picture of the gallery to open. */
const OPENED_KEY = "rdpm.opened";

export class DrawView extends RunView {
  /** @param {import("./view.js").Page} page */
  constructor(page) {
    const root = /** @type {HTMLElement} */ (byId("draw"));
    super(page, root);
    this.title = /** @type {HTMLElement} */ (part(root, "title"));
    this.actions = new ResultActions(part(root, "result-actions"), () => this.viewer.player.step);
    this.sheet = new Sheet(part(root, "sheet-section"), (index) => this.#choosePicture(index));
    this.history = new History(part(root, "history"), {
      onShow: ({ run, index, model: name }) => this.#showKept(withPick(run, index), name),
      onUse: ({ run, model: name }) => this.#useSettings(run, name),
      onOpen: ({ generation, index }, view) => this.#loadServerPicture({ generation, index, view }),
    });
    /** Finished runs by address, the newest last. @type {Map<string, {run: Run, settings: Settings}>} */
    this.recent = new Map();
    // While the pictures are drawn, each tile shows its own last step.
    this.viewer.onStep = (step, fadeMs) => this.caughtUp && this.sheet.showStep(step, fadeMs);
    /** The settings of the run. @type {Settings | null} */
    this.settings = null;
    /** Index of the picture in the viewer. */
    this.index = 0;
    this.onFormChange();
  }

  /** Names the classes that would be drawn. */
  onFormChange() {
    if (!this.run) this.title.textContent = this.page.form.title;
  }

  /** The picture that is shown, if it was drawn with these settings, else the first; and all. */
  codeScopes() {
    const settings = this.page.form.read({ quiet: true });
    if (!settings) return null;
    const requests = toCodeRequests(settings);
    const { run } = this;
    const drawn = run && JSON.stringify(run.requests) === JSON.stringify(requests);
    const shown = drawn ? this.index : 0;
    const picture = drawn ? { request: run.jobOf(shown).request, index: run.indexInJob(shown), drawn: run.pictures[shown] } : { request: requests[0], index: 0 };
    const count = requests.reduce((sum, request) => sum + request.count, 0);
    const scopes = [{ name: "picture", label: count > 1 ? `Picture ${shown + 1}` : "This picture", plan: { pictures: [picture], scale: DEFAULT_SCALE } }];
    if (count > 1) scopes.push({ name: "all", label: `All ${count}`, plan: { pictures: requests.map((request) => ({ request, index: /** @type {any} */ (undefined) })), scale: DEFAULT_SCALE } });
    return scopes;
  }

  submit() {
    if (this.running) return;
    const settings = this.page.form.read();
    if (!settings) return;
    // Back leads to the drawing before.
    this.page.setAddress(settingsAddress("draw", settings), Boolean(this.run));
    this.page.showNotice("");
    this.#begin(settings, new Run(toRequests(settings)));
    this.page.scrollIntoView(/** @type {HTMLElement} */ (this.root.querySelector(".picture-panel")), /** @type {HTMLElement} */ (this.root.querySelector(".view-header")));
  }

  get canSave() {
    return this.actions.ready;
  }

  save() {
    this.actions.savePicture();
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

  /** Back and Forward: shows the drawing of an address. @param {string} address */
  async onAddress(address) {
    const base = withoutPick(address);
    const index = pickedIndex(address);
    if (this.settings && base === settingsAddress("draw", this.settings)) {
      if (this.run && index !== this.index && index < this.run.pictures.length) this.#showPicture(index);
      return;
    }
    if (!namesPicture(address)) return;
    this.cancel();
    if (await this.#show(address)) return;
    this.page.form.apply(address);
    this.status.show("idle", "Press Draw to draw with these settings.");
  }

  /** Shows a picture that this browser has kept. @param {string} address @param {string} modelName */
  async #showKept(address, modelName) {
    // Another model's picture needs that model's page, another view's that view.
    if (modelName !== model.name) return location.assign(address);
    if (!this.#isDrawAddress(address)) return this.page.openAddress(address);
    if (this.running) return this.status.show("running", "Wait until the picture is drawn, or cancel it.");
    if (withoutPick(location.pathname + location.search) !== withoutPick(address)) this.page.setAddress(address, Boolean(this.run));
    if (!(await this.#show(address))) return this.status.show("idle", "This picture is no longer stored. Press Draw to draw it again.");
    this.page.scrollIntoView(/** @type {HTMLElement} */ (this.root.querySelector(".picture-panel")), /** @type {HTMLElement} */ (this.root.querySelector(".view-header")));
  }

  /** @param {string} address */
  #isDrawAddress(address) {
    return !new URL(address, location.href).searchParams.has("view");
  }

  /** Shows a finished run without the server. @param {string} address @returns {Promise<boolean>} whether this browser has it */
  async #show(address) {
    const base = withoutPick(address);
    let kept = this.recent.get(base);
    if (!kept) {
      const entries = (await this.history.run(base)).filter(({ picture }) => picture.model === model.name);
      if (!entries.length) return false;
      // Those of other views are shown there.
      kept = { run: await Run.fromStore(entries), settings: entries[0].picture.settings };
    }
    const { run, settings } = kept;
    run.restored = run.endedBefore = run.shownAgain = true;
    const picked = pickedIndex(address);
    const index = run.stored ? Math.max(0, run.positions.indexOf(picked)) : picked;
    this.page.form.apply(base);
    this.page.setAddress(withPick(base, picked));
    this.#begin(settings, run, Math.min(index, run.pictures.length - 1));
    return true;
  }

  /** Shows one picture of another view's run. @param {Run} run @param {number} index @param {Settings} settings of the picture */
  showPictureOf(run, index, settings) {
    const single = Run.ofPicture(run, index);
    const address = settingsAddress("draw", settings);
    this.recent.set(address, { run: single, settings });
    return this.#show(address);
  }

  /** @param {import("../lib/server-picture.js").Opened} opened */
  async #loadServerPicture(opened) {
    const { loadServerPicture } = await import("../lib/server-picture.js");
    return loadServerPicture(opened, this);
  }

  /** @param {string} modelName @param {import("../lib/server-picture.js").Opened} opened */
  openOnPageOf(modelName, opened) {
    write("session", OPENED_KEY, opened);
    location.assign(`${ROOT}/?${new URLSearchParams({ model: modelName })}`);
  }

  /** Opens the picture that the gallery has chosen on another model's page. @returns {boolean} whether there is one */
  openChosen() {
    const opened = /** @type {any} */ (read("session", OPENED_KEY));
    remove("session", OPENED_KEY);
    if (typeof opened?.generation !== "string" || !Number.isInteger(opened.index) || !["draw", "edit", "compare"].includes(opened.view)) return false;
    this.#loadServerPicture(opened).then((show) => show()).catch(({ message }) => this.status.show("idle", message));
    return true;
  }

  /** Shows a picture of a run that the server keeps. @param {Run} run @param {number} index @param {Settings} settings */
  async showRun(run, index, settings) {
    if (this.running) return this.status.show("running", "Wait until the picture is drawn, or cancel it.");
    const address = settingsAddress("draw", settings);
    this.recent.set(address, { run, settings });
    await this.#show(withPick(address, index));
    this.page.scrollIntoView(/** @type {HTMLElement} */ (this.root.querySelector(".picture-panel")), /** @type {HTMLElement} */ (this.root.querySelector(".view-header")));
  }

  /** Fills the form with the settings of a kept picture, for a new seed. @param {string} address @param {string} modelName */
  #useSettings(address, modelName) {
    const withoutSeed = new URL(address, location.href);
    withoutSeed.searchParams.delete("seed");
    if (modelName !== model.name) return location.assign(withoutSeed.pathname + withoutSeed.search);
    this.page.form.apply(address);
    this.page.form.unlockSeed();
    this.status.show("idle", "Settings taken over. Press Draw to draw a new picture with them.");
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
    this.title.textContent = settingsTitle(settings);
    this.actions.begin(run, index);
    this.sheet.setPictures(pictures, sheetLabels(run, settings));
    this.sheet.check(index);
    this.startRun([pictures[index]]);
    this.page.updateTitle();
  }

  get pictureName() {
    if (!this.run) return "";
    const { description, seed } = this.run.pictures[this.index];
    const number = this.run.indexInJob(this.index) + 1;
    return `${description}, seed ${seed}${number > 1 ? `, no. ${number}` : ""}`;
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
    this.page.updateButtons();
    this.sheet.showLatest();
    const address = settingsAddress("draw", settings);
    this.recent.delete(address);
    this.recent.set(address, { run, settings });
    if (this.recent.size > MAX_RECENT) this.recent.delete(this.recent.keys().next().value ?? "");
    if (!run.endedBefore) this.history.add(run, address, model.name, settings);
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
    const position = this.run?.stored ? this.run.positions[this.index] : this.index;
    return withPick(settingsAddress("draw", /** @type {Settings} */ (this.settings)), position);
  }

  /** @param {Run} run */
  onRunState(run) {
    const settings = /** @type {Settings} */ (this.settings);
    // What the server doesn't have can't be followed after a reload.
    if (run.state !== "submitting" && !run.stored) {
      write("session", STORAGE_KEY, { address: settingsAddress("draw", settings), settings, run: run.save() });
    }
    if (run.endedBefore && run.state === "gone") {
      this.page.updateButtons();
      this.actions.clear();
      return this.status.show("idle", "Press Draw to draw with these settings.");
    }
    super.onRunState(run);
    // Once the server has accepted the jobs, it has told what it draws.
    this.page.form.prompt?.showUnknown(run.unknownWords);
    this.sheet.setLabels(sheetLabels(run, settings));
    this.actions.choose(this.index);
    this.page.updateTitle();
  }

  runningText() {
    return `Denoising ${this.#subject}.`;
  }

  /** @param {Run} run */
  showCompleted(run) {
    const settings = /** @type {Settings} */ (this.settings);
    const seeds = settings.seeds.length > 1 ? `seeds ${settings.seeds.join(", ")}` : `seed ${settings.seeds[0]}`;
    const start = run.shownAgain ? "Shown again" : run.endedBefore ? "Restored" : `Done in ${run.seconds.toFixed(1)} s`;
    this.status.show("completed", `${start}: ${this.#subject}, ${seeds}.`);
  }

  /** What is drawn: a class or a number of pictures. */
  get #subject() {
    const settings = /** @type {Settings} */ (this.settings);
    const count = pictureCount(settings);
    return count > 1 ? `${count} pictures` : this.run?.pictures[0].description ?? settingsTitle(settings);
  }

  /** Shows another picture of the sheet in the viewer. @param {number} index */
  #choosePicture(index) {
    if (!this.run) return;
    this.index = index;
    this.page.setAddress(this.#address);
    this.#showPicture(index);
  }

  /** @param {number} index */
  #showPicture(index) {
    if (!this.run) return;
    this.index = index;
    this.sheet.check(index);
    this.page.updateTitle();
    this.viewer.swap([this.run.pictures[index]]);
    this.actions.choose(index);
  }
}

/** Names what distinguishes each picture from the others of the sheet. @param {Run} run @param {Settings} settings */
const sheetLabels = (run, settings) => run.pictures.map((_, index) => sheetLabel(run, settings, index));

/** @param {Run} run @param {Settings} settings @param {number} index */
function sheetLabel(run, settings, index) {
  const { label, subject, style, seed } = run.pictures[index];
  const name = settings.prompt ? run.jobOf(index).request.class ?? label : subject;
  return [
    ...(settings.classes.length > 1 || (!settings.prompt && style) ? [name] : []),
    ...(style && settings.styles.length !== 1 ? [style] : []),
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
  const { prompt = "", styles = [] } = settings;
  return { ...saved, settings: { ...settings, prompt, styles, options: storedOptions(settings.options ?? settings) } };
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
    && jobs.every((job) => typeof (job?.body?.prompt ?? job?.body?.class) === "string"
      && Number.isInteger(job.body.count) && job.body.count >= 1 && job.body.count <= model.maxPictures
      && (job.links === null || (isLink(job.links?.self) && isLink(job.links?.events))))
    && Array.isArray(settings?.classes) && Array.isArray(settings.styles ?? []) && typeof (settings.prompt ?? "") === "string" && Array.isArray(settings.seeds) && Number.isInteger(settings.count)
    && pictureCount({ classes: settings.classes, styles: settings.styles ?? [], seeds: settings.seeds, count: settings.count })
      === jobs.reduce((sum, { body }) => sum + body.count, 0);
}
