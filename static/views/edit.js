// @ts-check
/** The view that draws cells of a picture again, and branches from one of its tokens. */
import { EditTree } from "../components/edit-tree.js";
import { createButton, createSegments } from "../components/elements.js";
import { MaskGrid } from "../components/mask-grid.js";
import { ResultActions } from "../components/result-actions.js";
import { DEFAULT_SCALE } from "../components/save-panel.js";
import { Sheet } from "../components/sheet.js";
import { settingsAddress, sourceQuery, withoutPick } from "../lib/address.js";
import { byId, createElement, loadStyle, part } from "../lib/dom.js";
import { decodeTokens, fromHex, gridsOf, toHex } from "../lib/grids.js";
import { hashOf } from "../lib/hash.js";
import { decodePng } from "../lib/images.js";
import { model } from "../lib/model.js";
import { Picture } from "../lib/picture.js";
import { Run } from "../lib/run.js";
import { toCodeRequests, toRequests } from "../lib/settings.js";
import { RunView } from "./run-view.js";

/**
 * @typedef {import("../lib/api.js").GenerationRequest} GenerationRequest
 *
 * @typedef {object} Source  the picture that is edited
 * @property {string} label
 * @property {{seed: number, index: number}} noise
 * @property {number[][][]} grids   its codes: T × h × w
 * @property {Picture} picture
 * @property {string} png           a data URL
 * @property {GenerationRequest} request  what drew it; its class isn't one of the model's if it was encoded
 * @property {{seed: number, index: number}} draws  what its codes were drawn with
 * @property {string} recipe        query of the request that draws it from noise; empty: no address draws it
 *
 * @typedef {{step: number, row: number, column: number, code: number}} Change  the codes before and at this step are kept, but for this one
 */

const CELLS = model.gridSize ** 2;
const TEXT_FIELDS = new Set(["class", "prompt", "style"]);

export class EditView extends RunView {
  /** @param {import("./view.js").Page} page */
  constructor(page) {
    const root = /** @type {HTMLElement} */ (byId("edit"));
    super(page, root);
    this.title = /** @type {HTMLElement} */ (part(root, "title"));
    this.viewer.onStep = (step, fadeMs) => this.#onStep(step, fadeMs);
    this.sheet = new Sheet(part(root, "sheet-section"), (index) => this.#choosePicture(index));
    this.actions = new ResultActions(part(root, "result-actions"), () => this.viewer.player.step);
    for (const name of ["curl", "python"]) root.querySelector(`[data-copy=${name}]`)?.closest("li")?.remove();
    this.tree = new EditTree(root);
    /** @type {Source | null} */
    this.source = null;
    /** What is done with the source, for the tree. */
    this.taskLabel = "";
    /** What is drawn: a picture to edit, an edit of it, or a branch. @type {"source" | "edit" | "branch"} */
    this.task = "edit";
    /** Index of the picture in the viewer. */
    this.index = 0;
    /** Of the run. @type {import("../lib/settings.js").Settings | undefined} */
    this.settings = undefined;
    /** Of the run. */
    this.address = "";
    /** What to do with the picture that is drawn to be edited. @type {(() => void) | undefined} */
    this.pending = undefined;
    /** @type {HTMLElement} */
    this.editor = part(root, "editor");
    this.canvas = document.createElement("canvas");
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    this.grid = createElement("div", "mask-grid");
    this.mask = new MaskGrid(this.grid, model.gridSize, () => this.#onMask());
    this.undoButton = createButton("secondary small", "Undo", "Undo the last mark", () => this.mask.undo());
    this.redoButton = createButton("secondary small", "Redo", "Redo the mark that was undone", () => this.mask.redo());
    this.summary = createElement("p", "mask-summary");
    this.#build();
    this.viewer.inspectors[0].onAlternatives = (list, cell, step) => this.#offerBranches(list, cell, step);
  }

  #build() {
    const { editor, grid } = this;
    const box = createElement("div", "image-box mask-box");
    this.canvas.width = this.canvas.height = model.imageSize;
    this.canvas.setAttribute("aria-hidden", "true");
    grid.setAttribute("aria-label", `The picture’s ${model.gridSize} × ${model.gridSize} cells`);
    grid.setAttribute("aria-describedby", "mask-help");
    box.append(this.canvas, grid);
    const tools = createElement("div", "mask-tools");
    const actions = createElement("div", "mask-actions");
    /** @param {string} text @param {string} label @param {() => void} onClick */
    const button = (text, label, onClick) => createButton("secondary small", text, label, onClick);
    actions.append(
      this.undoButton,
      this.redoButton,
      button("Invert", "Invert the marks", () => this.mask.set((marked) => !marked)),
      button("Clear", "Clear all marks", () => this.mask.set(() => false)),
    );
    const heading = createElement("h3", "", "Paint what should change");
    this.summary.setAttribute("role", "status");
    const help = createElement("p", "help", "Marked cells are drawn again, all others keep their tokens. Painting on a marked cell erases. By keyboard: arrow keys move, Space marks, Shift with an arrow key paints.");
    help.id = "mask-help";
    /** @type {[import("../components/mask-grid.js").Tool, string][]} */
    const choices = [["brush", "Brush"], ["wide", "Wide brush"], ["rectangle", "Rectangle"]];
    const segments = createSegments("mask-tool", "Tool", choices, "brush", (tool) => {
      this.mask.tool = /** @type {import("../components/mask-grid.js").Tool} */ (tool);
    });
    tools.append(heading, help, segments, actions, this.summary);
    editor.append(box, tools);
    editor.dataset.empty = "true";
    this.#onMask();
  }

  #onMask() {
    this.undoButton.setAttribute("aria-disabled", String(!this.mask.done.length));
    this.redoButton.setAttribute("aria-disabled", String(!this.mask.undone.length));
    const { count } = this.mask;
    this.summary.textContent = `${count} of ${CELLS} cells will be drawn again.`;
    if (!this.running) this.#showSource();
    this.page.updateButtons();
  }

  /** The picture that is edited, with the marks on it. */
  async #showSource() {
    const { source } = this;
    if (!source) return;
    this.editor.dataset.result = "false";
    const image = await decodePng(source.png);
    if (source === this.source && !this.running && this.editor.dataset.result === "false") this.context.drawImage(image, 0, 0, model.imageSize, model.imageSize);
  }

  /** Cells that are drawn again, as they are at a step; the others stand. @param {CanvasImageSource} image */
  async #showDrawn(image) {
    const { source, mask, context } = this;
    if (!source || this.task === "branch") return;
    const kept = await decodePng(source.png);
    const cell = model.imageSize / model.gridSize;
    context.drawImage(kept, 0, 0, model.imageSize, model.imageSize);
    context.save();
    context.beginPath();
    for (const [row, column] of mask.positions) context.rect(column * cell, row * cell, cell, cell);
    context.clip();
    context.drawImage(image, 0, 0, model.imageSize, model.imageSize);
    context.restore();
  }

  get canSave() {
    return this.actions.ready;
  }

  save() {
    this.actions.savePicture();
  }

  undo() {
    this.mask.undo();
  }

  get pictureName() {
    return this.source ? `Edit ${this.source.label}` : "";
  }

  /** Edits a finished picture of a run. @param {Run} run @param {number} index */
  edit(run, index) {
    const picture = run.pictures[index];
    const { request } = run.jobOf(index);
    const number = run.indexInJob(index);
    const { tokens } = request;
    const draws = { seed: request.seed, index: (request.index ?? 0) + number };
    const noise = tokens ? { seed: tokens.seed, index: tokens.index } : draws;
    const grids = gridsOf(picture);
    if (grids.length < model.stepCount) {
      return this.status.show("idle", "The first steps of this picture aren’t known here. Choose another one.");
    }
    const isPlain = !tokens && !request.image && request.from_step === undefined && !run.isEncoded;
    const recipe = isPlain ? sourceQuery(request, noise.index) : "";
    const same = picture === this.source?.picture ? this.source : null;
    this.#open(same ?? { label: picture.label, noise, grids, picture, png: picture.png, request, draws, recipe });
    this.page.form.apply(`/?${recipe || new URLSearchParams(request.prompt ? { prompt: request.prompt } : { class: request.class ?? "" })}`);
    this.page.form.unlockSeed();
    this.status.show("idle", "Paint the cells that should change, choose a class, then press Draw again.");
    this.page.scrollIntoView(this.editor, /** @type {HTMLElement} */ (this.root.querySelector(".view-header")));
  }

  /** @param {Source} source */
  #open(source) {
    this.run?.detach();
    this.run = null;
    this.source = source;
    this.editor.dataset.empty = "false";
    this.title.textContent = `Edit: ${source.label}`;
    this.sheet.setPictures([], []);
    this.viewer.panels[0].tokens.others = new Set();
    const run = Run.ofEncoded(source.picture, source.png);
    this.actions.begin(run, 0);
    this.actions.finish();
    this.mask.reset(new Array(CELLS).fill(false));
    this.viewer.follow([source.picture]);
    this.viewer.update(true);
    this.#showSource();
    this.tree.begin(source, () => this.#goTo("", () => this.#open(source)));
    this.page.updateTitle();
    this.page.updateButtons();
  }

  /** Goes back to a picture of the tree. @param {string} address draws it; "" if none does @param {() => void} open */
  #goTo(address, open) {
    if (this.running) return;
    open();
    if (address) this.page.setAddress(address);
    this.address = address;
  }

  /** Adds the results to the tree, below what they were made from. @param {Run} run */
  #addToTree(run) {
    const { source, address, taskLabel } = this;
    if (!source) return;
    run.pictures.forEach((picture, index) => {
      const label = this.task === "edit" ? `${taskLabel}: ${picture.label}` : taskLabel;
      this.tree.add(source.picture, picture, label, () => this.#goTo(address, () => this.edit(run, index)));
    });
    this.tree.show(run.pictures[this.index]);
  }

  /** @param {import("../lib/settings.js").Settings} settings */
  #editRequests(settings) {
    const { source, mask } = this;
    if (!source || !mask.count) return [];
    const { noise, grids } = source;
    return toRequests(settings).map((request) => ({ ...request, tokens: { ...noise, tokens: grids }, cells: mask.positions }));
  }

  codeScopes() {
    const settings = this.page.form.read({ quiet: true });
    const { run } = this;
    const shown = run?.ended && this.task !== "source" ? run.requests : [];
    if (!settings) return null;
    const requests = shown.length ? shown : settings.seeds.length ? this.#editRequests(settings) : this.#editRequests({ ...settings, seeds: [0] }).map(({ seed: _, ...request }) => request);
    if (!requests.length) return [{ name: "picture", label: "This picture", plan: { pictures: [{ request: toCodeRequests(settings)[0], index: 0 }], scale: DEFAULT_SCALE } }];
    return [{ name: "edit", label: "This edit", plan: { pictures: requests.map((request) => ({ request })), scale: DEFAULT_SCALE } }];
  }

  submit() {
    if (this.running) return;
    const settings = this.page.form.read();
    if (!settings) return;
    if (!this.source) {
      this.#draw("source", new Run(toRequests({ ...settings, classes: settings.classes.slice(0, 1), styles: settings.styles.slice(0, 1), seeds: settings.seeds.slice(0, 1), count: 1 })));
      return;
    }
    if (!this.mask.count) {
      this.status.show("idle", "First paint the cells that should change.");
      this.mask.cells.find(({ tabIndex }) => tabIndex === 0)?.focus();
      return;
    }
    this.settings = settings;
    this.taskLabel = `${this.mask.count} cells`;
    this.address = this.#addressOf(settings);
    this.page.setAddress(this.address, Boolean(this.run));
    this.#draw("edit", new Run(this.#editRequests(settings)));
  }

  retry() {
    if (this.run && !this.running) this.#draw(this.task, new Run(this.run.requests));
    else this.submit();
  }

  /** What draws the same edit, as far as an address can hold it. @param {import("../lib/settings.js").Settings} settings @param {Change} [change] */
  #addressOf(settings, change) {
    const { source, mask } = this;
    /** @type {Record<string, string>} */
    const where = change ? { branch: [change.step, change.row, change.column, change.code].join(".") } : { cells: toHex(mask.marked) };
    /** @type {Record<string, string>} */
    const origin = source?.recipe ? { source: source.recipe } : { tokens: hashOf(JSON.stringify([source?.noise, source?.grids])) };
    return settingsAddress("edit", settings, { ...where, ...origin });
  }

  /** @param {"source" | "edit" | "branch"} task @param {Run} run */
  #draw(task, run) {
    this.task = task;
    this.index = 0;
    this.setRun(run);
    this.actions.begin(run, 0);
    this.sheet.setPictures(run.pictures, run.pictures.map(({ label, seed }) => `${label} · ${seed}`));
    this.editor.dataset.result = String(task === "edit");
    this.viewer.panels[0].tokens.others = new Set(task === "edit" ? this.mask.marked.flatMap((marked, i) => (marked ? [i] : [])) : []);
    this.startRun([run.pictures[0]]);
    this.page.updateButtons();
  }

  /** @param {Run} run */
  onDrawn(run) {
    if (this.task === "source") return;
    this.actions.finish();
    if (!run.stored && !run.shownAgain && this.settings && this.address) this.page.keepRun(run, this.address, this.settings);
    this.page.updateButtons();
  }

  runningText() {
    if (this.task === "source") return "A picture to edit is being drawn.";
    return this.task === "branch" ? "The steps after the changed token are being drawn." : `${this.mask.count} cells are being drawn again; the others stand.`;
  }

  /** @param {Run} run */
  showCompleted(run) {
    if (this.task === "source") {
      this.edit(run, 0);
      this.pending?.();
      this.pending = undefined;
      return;
    }
    this.#addToTree(run);
    const seconds = run.restored ? "" : ` in ${run.seconds.toFixed(1)} s`;
    const what = this.task === "branch" ? "The steps before the changed token are those of the original." : "Kept cells have the tokens of the original.";
    this.status.show("completed", `Done${seconds}. ${what} Choose Edit below the picture to go on with it.`);
  }

  /** @param {number} step @param {number} fadeMs */
  #onStep(step, fadeMs) {
    this.sheet.showStep(step, fadeMs);
    const clean = this.run?.pictures[this.index]?.steps[step]?.clean;
    if (clean && this.task === "edit" && this.editor.dataset.result === "true") this.#showDrawn(clean);
  }

  /** @param {number} index */
  #choosePicture(index) {
    if (!this.run) return;
    this.index = index;
    this.viewer.swap([this.run.pictures[index]]);
    this.actions.choose(index);
    this.tree.show(this.run.pictures[index]);
  }

  /** Each alternative code of the inspected cell gets a button that branches from there. @param {HTMLElement} list @param {import("../components/token-grid.js").Cell} cell @param {number} step */
  #offerBranches(list, cell, step) {
    const codes = this.viewer.pictures[0].steps[step]?.alternatives?.codes[cell.row]?.[cell.column] ?? [];
    if (this.running || !this.source) return;
    codes.forEach((code, i) => {
      const item = list.children[i];
      if (!item || item.classList.contains("drawn")) return;
      item.append(createButton("branch-button", "Use", `Use code ${code} at row ${cell.row + 1}, column ${cell.column + 1} in step ${step}`, () => this.#branch({ ...cell, step, code })));
    });
  }

  /** Draws the steps after a changed token again; the picture that is shown becomes the original. @param {Change} change */
  #branch(change) {
    const { run } = this;
    if (run?.ended && this.task !== "source") this.edit(run, this.index);
    const { source } = this;
    if (!source || this.running) return;
    const settings = this.page.form.read({ single: true, quiet: true });
    if (!settings) return this.page.form.read();
    const { step, row, column, code } = change;
    /** @type {(number | null)[][][]} */
    const kept = source.grids.map((grid, t) => (t < step ? grid : grid.map((codes) => codes.map(() => null))));
    kept[step - 1] = kept[step - 1].map((codes, y) => codes.map((old, x) => (y === row && x === column ? code : old)));
    // The draws are those of the original, so that the branch differs by the change only.
    const one = { ...settings, seeds: [source.draws.seed], count: 1 };
    const { count: _, cells: __, image: ___, from_step: ____, ...base } = source.request.tokens || source.recipe ? source.request : toRequests(one)[0];
    this.settings = one;
    this.taskLabel = `Step ${step}, row ${row + 1}, column ${column + 1}: code ${code}`;
    this.address = this.#addressOf(one, change);
    this.page.setAddress(this.address, true);
    const branch = new Run([{ ...base, ...source.draws, count: 1, tokens: { ...source.noise, tokens: kept } }]);
    const [picture] = branch.pictures;
    for (let t = 1; t <= step && t < model.stepCount; t++) {
      // The server draws the steps after the change; the one with it has the original's previews.
      picture.steps[t] = { ...source.picture.steps[t], tokens: /** @type {number[][]} */ (kept[t - 1]) };
    }
    this.#draw("branch", branch);
    this.page.scrollIntoView(part(this.root, "viewer"));
  }

  /** @param {boolean} linked */
  onShow(linked) {
    if (linked) this.onAddress(location.pathname + location.search);
  }

  /** Shows the edit of an address: kept in this browser, or drawn again. @param {string} address */
  async onAddress(address) {
    if (address === this.address && this.run) return;
    const query = new URL(address, location.href).searchParams;
    if (!query.has("cells") && !query.has("branch")) return;
    this.cancel();
    const kept = await this.page.keptRun(withoutPick(address));
    if (kept) return this.#showKept(kept, address, query);
    const recipe = query.get("source");
    if (!recipe) return this.status.show("idle", "This edit isn’t stored in this browser, and its address can’t hold the picture that it began with.");
    const request = Object.fromEntries([...new URLSearchParams(recipe)].map(([name, value]) => [name, TEXT_FIELDS.has(name) ? value : Number(value)]));
    if (!Number.isSafeInteger(request.seed)) return;
    this.pending = () => {
      this.page.form.apply(address);
      this.#repeat(query);
    };
    this.#draw("source", new Run([/** @type {GenerationRequest} */ ({ ...request, count: 1 })]));
  }

  /** @param {URLSearchParams} query */
  #repeat(query) {
    const branch = (query.get("branch") ?? "").split(".").map(Number);
    if (branch.length === 4 && branch.every(Number.isInteger)) {
      const [step, row, column, code] = branch;
      if (step < 1 || step > model.stepCount || Math.max(row, column) >= model.gridSize) return;
      return this.#branch({ step, row, column, code });
    }
    this.mask.reset(fromHex(query.get("cells") ?? ""));
    if (this.mask.count) this.submit();
  }

  /** @param {Run} run @param {string} address @param {URLSearchParams} query */
  async #showKept(run, address, query) {
    const [request] = run.requests;
    const { tokens } = request;
    const { label } = run.pictures[0];
    if (!tokens) return;
    run.restored = run.endedBefore = run.shownAgain = true;
    const isEdit = query.has("cells");
    const grids = isEdit ? /** @type {number[][][]} */ (tokens.tokens) : gridsOf(run.pictures[0]);
    const draws = { seed: request.seed, index: request.index ?? 0 };
    const noise = { seed: tokens.seed, index: tokens.index };
    try {
      const png = !isEdit ? run.pictures[0].png : await decodeTokens({ format: "rdpm-tokens/1", model: model.name, ...noise, tokens: grids });
      const picture = isEdit ? new Picture({ label, seed: noise.seed }) : run.pictures[0];
      this.#open({ label, noise, grids, picture, png, request, draws, recipe: query.get("source") ?? "" });
    } catch {
      return this.status.show("idle", "The server can’t be reached. Check that it is running, then try again.");
    }
    this.page.form.apply(address);
    this.page.setAddress(address);
    this.address = address;
    this.settings = undefined;
    if (isEdit) this.mask.reset(fromHex(query.get("cells") ?? ""));
    this.taskLabel = `${this.mask.count} cells`;
    this.#draw(isEdit ? "edit" : "branch", run);
  }
}

/** The view, with its style sheet. @param {import("./view.js").Page} page */
export async function load(page) {
  await loadStyle("edit");
  return new EditView(page);
}
