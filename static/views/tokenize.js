// @ts-check
/** The view that encodes a picture to token grids, one for each step, and draws variations from its first steps. */
import { entropyChart, errorChart } from "../components/charts.js";
import { field, numberValue, setValue, validateNumber } from "../components/fields.js";
import { ImageInput } from "../components/image-input.js";
import { ResultActions } from "../components/result-actions.js";
import { DEFAULT_SCALE } from "../components/save-panel.js";
import { Sheet } from "../components/sheet.js";
import { StepStrip } from "../components/step-strip.js";
import { ApiError, createTokenization, GENERATIONS, ROOT } from "../lib/api.js";
import { settingsAddress } from "../lib/address.js";
import { byId, part } from "../lib/dom.js";
import { hashOf } from "../lib/hash.js";
import { decodePng, pngDataUrl, rmsDifference, tokenImage } from "../lib/images.js";
import { model, tokensPerStep } from "../lib/model.js";
import { decodeStep, Picture } from "../lib/picture.js";
import { Run } from "../lib/run.js";
import { randomSeed } from "../lib/seeds.js";
import { toCodeRequests, toRequests } from "../lib/settings.js";
import { describeDrawnStep, describeEncodedStep } from "../lib/step-description.js";
import { read, write } from "../lib/storage.js";
import { RunView } from "./run-view.js";

/**
 * @typedef {import("../components/image-input.js").InputImage} InputImage
 * @typedef {object} EncodedImage
 * @property {string} dataUrl    the picture as the model sees it: a PNG
 * @property {number} seed       of the noise
 * @property {Picture} picture   its steps
 * @property {number[]} errors   RMS error of the clean preview at each step; 1 is black against white
 */

/** The tab's storage keeps the encoded picture and its variations here, so that a reload loses nothing. */
const STORAGE_KEY = `rdpm.tokenize.${model.name}`;
const PNG = /^data:image\/png;base64,[A-Za-z0-9+/]+=*$/;
const GENERATION_LINK = /^\/[\w-]+(\/events)?$/;

/** @param {unknown} link */
const isGenerationLink = (link) => typeof link === "string" && link.startsWith(GENERATIONS) && GENERATION_LINK.test(link.slice(GENERATIONS.length));

export class TokenizeView extends RunView {
  /** @param {import("./view.js").Page} page */
  constructor(page) {
    const root = /** @type {HTMLElement} */ (byId("tokenize"));
    super(page, root);
    this.viewer.onStep = (step, fadeMs) => this.#onStep(step, fadeMs);
    this.viewer.chart = (pictures, cell) => (this.encoded && !this.run ? errorChart(this.encoded.errors) : entropyChart(pictures, cell));
    this.viewer.describe = (step, picture) => (picture.steps[step]?.entropy ? describeDrawnStep(step, picture) : describeEncodedStep(step));
    this.input = /** @type {HTMLImageElement} */ (part(root, "input"));
    this.inputNote = /** @type {HTMLElement} */ (part(root, "input-note"));
    this.caption = part(root, "caption");
    this.reconstruction = /** @type {HTMLImageElement} */ (part(root, "reconstruction"));
    this.reconstructionNote = /** @type {HTMLElement} */ (part(root, "reconstruction-note"));
    this.imageInput = new ImageInput(part(root, "image-input"), {
      onImage: (image) => this.encode(image),
      onError: (error) => this.status.show("idle", error),
      isActive: () => document.body.dataset.view === "tokenize",
    });
    this.strip = new StepStrip(part(root, "step-strip"), (step) => this.viewer.lastStep && this.viewer.player.seek(step));
    this.sheet = new Sheet(part(root, "sheet-section"), (index) => {
      if (!this.run) return;
      this.viewer.swap([this.run.pictures[index]]);
      this.actions.choose(index);
    });
    this.actions = new ResultActions(part(root, "result-actions"), () => this.viewer.player.step);
    // An address doesn't hold the picture; Code has what these items would copy.
    for (const name of ["link", "curl", "python"]) root.querySelector(`[data-copy=${name}]`)?.closest("li")?.remove();
    /** The last picture given. Responses to earlier ones are ignored. @type {InputImage | null} */
    this.inputImage = null;
    /** @type {EncodedImage | null} */
    this.encoded = null;
    /** Steps that the variations keep. */
    this.keptSteps = 0;
    /** The address and the settings of the variations, as the history keeps them. */
    this.address = "";
    /** @type {import("../lib/settings.js").Settings | null} */
    this.settings = null;
    const kept = new URLSearchParams(location.search).get("from_step") ?? "";
    if (kept && !validateNumber(field("from_step"), kept)) setValue("from_step", kept);
    this.#restore();
  }

  /** Encodes the picture that this tab showed before a reload again, and follows its variations. */
  async #restore() {
    const saved = /** @type {any} */ (read("session", STORAGE_KEY));
    if (typeof saved !== "object" || saved === null || !PNG.test(saved.dataUrl) || !Number.isSafeInteger(saved.seed)) return;
    await this.encode({ dataUrl: saved.dataUrl, note: String(saved.note ?? "").slice(0, 100) }, saved.seed);
    if (!this.encoded || !isSavedRun(saved.run)) return;
    this.keptSteps = saved.run.jobs[0].body.from_step;
    this.address = String(saved.address ?? "");
    this.settings = saved.settings ?? null;
    this.#begin(Run.restore(saved.run));
  }

  /** Back, Forward or the history: shows variations that this browser has kept, even without the server. @param {string} address */
  async onAddress(address) {
    if (address === this.address) return;
    const kept = new URL(address, location.href).searchParams.has("picture") ? await this.page.keptRun(address) : null;
    const { image = "", from_step: keptSteps = 1, seed } = kept?.jobs[0].request ?? {};
    if (!kept || !PNG.test(image)) return;
    this.cancel();
    this.page.form.apply(address);
    setValue("from_step", keptSteps);
    await this.encode({ dataUrl: image, note: "From the history." }, seed);
    if (this.inputImage?.dataUrl !== image) return;
    this.input.src = image;
    this.keptSteps = keptSteps;
    this.address = address;
    this.#begin(kept);
  }

  codeScopes() {
    const scopes = [{ name: "tokens", label: "Tokens", plan: { pictures: /** @type {import("../lib/code-examples.js").CodePicture[]} */ ([]), scale: DEFAULT_SCALE, tokenize: true } }];
    const settings = validateNumber(field("from_step")) ? null : this.page.form.read({ quiet: true });
    if (!settings) return this.encoded ? null : scopes;
    const seeds = this.page.form.seedLocked || !this.encoded ? settings.seeds : [this.encoded.seed];
    const requests = toCodeRequests({ ...settings, seeds }).map((request) => ({ ...request, from_step: numberValue("from_step") }));
    scopes.push({ name: "variations", label: "Variations", plan: { pictures: requests.map((request) => ({ request })), scale: DEFAULT_SCALE, tokenize: false } });
    return scopes;
  }

  get canSave() {
    return this.actions.ready;
  }

  save() {
    this.actions.savePicture();
  }

  undo() {
    this.imageInput.sketchPad.undo();
  }

  /** Repeats what failed: encoding or drawing. */
  retry() {
    if (this.inputImage && !this.encoded) this.encode(this.inputImage);
    else if (this.run && !this.running) this.#begin(new Run(this.run.requests));
    else this.submit();
  }

  /** @param {InputImage} inputImage @param {number} [chosenSeed] */
  async encode(inputImage, chosenSeed) {
    if (this.running) return;
    this.inputImage = inputImage;
    this.encoded = null;
    const seed = chosenSeed ?? (this.page.form.seedLocked ? Number.parseInt(field("seed").value, 10) || 0 : randomSeed());
    this.status.show("running", "Encoding…");
    try {
      const tokenization = await createTokenization({ model: model.name, image: inputImage.dataUrl, seed });
      const steps = await Promise.all(tokenization.steps.map(decodeStep));
      const dataUrl = pngDataUrl(tokenization.input.png_base64);
      const bitmap = await decodePng(dataUrl);
      if (inputImage !== this.inputImage) return;
      const picture = new Picture({ label: "reconstruction", seed });
      tokenization.steps.forEach(({ step }, i) => {
        picture.steps[step] = steps[i];
      });
      this.encoded = { dataUrl, seed, picture, errors: picture.steps.map(({ clean }) => rmsDifference(clean, bitmap)) };
      this.#showCaption(tokenization.caption);
      this.#showEncoded(this.encoded, inputImage.note, pngDataUrl(tokenization.reconstruction.png_base64));
    } catch (error) {
      if (inputImage !== this.inputImage) return;
      const { message, retryAfter } = error instanceof ApiError ? error : new ApiError("The server’s response can’t be read.");
      this.status.showError(message, retryAfter);
    }
  }

  /** Names what the picture shows, up to three names of at least 1 %, with links that draw them. @param {import("../lib/api.js").Caption | null} caption */
  #showCaption(caption) {
    this.caption.hidden = !caption;
    if (!caption) return;
    const likely = caption.names.filter(({ probability }, i) => i === 0 || (i < 3 && probability >= 0.01));
    const names = likely.flatMap(({ text, probability }, i) => {
      const link = document.createElement("a");
      link.href = `${ROOT}/?${new URLSearchParams({ model: model.name, prompt: text })}`;
      link.textContent = text;
      return [i ? ", " : "", link, ` ${Math.round(100 * probability)} %`];
    });
    this.caption.replaceChildren("Looks like: ", ...names);
  }

  /** @param {EncodedImage} encoded @param {string} note @param {string} reconstruction a PNG's data URL */
  #showEncoded({ dataUrl, seed, picture, errors }, note, reconstruction) {
    this.run?.detach();
    this.run = null;
    this.input.src = dataUrl;
    this.inputNote.textContent = `${model.imageSize} × ${model.imageSize} pixels. ${note}`;
    this.reconstruction.src = reconstruction;
    const error = errors[model.stepCount];
    this.reconstructionNote.textContent = `${model.stepCount} × ${tokensPerStep} tokens, RMS error ${(100 * error).toFixed(1)} %.`;
    this.sheet.setPictures([], []);
    write("session", STORAGE_KEY, { dataUrl, note, seed });
    this.actions.begin(Run.ofEncoded(picture, reconstruction), 0);
    this.actions.finish();
    picture.steps.forEach(({ tokens }, step) => this.strip.show(step, tokenImage(tokens)));
    this.viewer.follow([picture]);
    this.viewer.update();
    this.status.show("completed", `Encoded with the noise of seed ${seed}. Choose ${model.hasWords ? "a class or type a prompt" : "a class"}, then press Draw variations.`);
    this.page.updateButtons();
  }

  async submit() {
    if (this.running) return;
    // A picture of the history that the server couldn't encode.
    if (!this.encoded && this.run?.stored && this.inputImage) await this.encode(this.inputImage);
    if (!this.encoded) {
      this.status.show("idle", "First drop, paste, choose or draw a picture.");
      byId("file").focus();
      return;
    }
    const { dataUrl, seed } = this.encoded;
    const { form } = this.page;
    const { seedLocked } = form;
    const error = validateNumber(field("from_step"));
    const settings = form.read({ errors: error ? [["from_step", error]] : [] });
    if (!settings) return;
    this.keptSteps = numberValue("from_step");
    // The noise that the picture was encoded with, unless the user has chosen a seed.
    const seeds = seedLocked ? settings.seeds : [seed];
    if (!seedLocked) field("seed").value = String(seed);
    this.settings = { ...settings, seeds };
    const requests = toRequests(this.settings);
    this.address = settingsAddress("tokenize", this.settings, { from_step: String(this.keptSteps), picture: hashOf(dataUrl) });
    this.page.setAddress(this.address, Boolean(this.run));
    this.#begin(new Run(requests.map((request) => ({ ...request, image: dataUrl, from_step: this.keptSteps }))));
  }

  /** Draws variations of the encoded picture, or shows those that were kept. @param {Run} run */
  #begin(run) {
    for (const [index, variation] of run.pictures.entries()) {
      if (!this.encoded || run.stored) break;
      const { seed, picture } = this.encoded;
      // The first picture of a job with this seed has the same noise, so its kept steps are those of the encoded picture.
      if (run.indexInJob(index) > 0 || variation.seed !== seed) continue;
      variation.firstStep = 1;
      for (let step = 1; step <= this.keptSteps; step++) variation.steps[step] = picture.steps[step];
    }
    this.setRun(run);
    this.actions.begin(run, 0);
    this.sheet.setPictures(run.pictures, run.pictures.map(({ label }, index) => `${label} · ${run.indexInJob(index) + 1}`));
    this.startRun([run.pictures[0]]);
    this.page.scrollIntoView(part(this.root, "viewer"));
  }

  /** @param {Run} run */
  onRunState(run) {
    if (this.encoded && !run.stored && run.state !== "submitting") {
      const { dataUrl, seed } = this.encoded;
      write("session", STORAGE_KEY, { dataUrl, seed, note: this.inputImage?.note, run: run.save(), address: this.address, settings: this.settings });
    }
    super.onRunState(run);
  }

  /** @param {Run} run */
  onDrawn(run) {
    this.actions.finish();
    this.page.updateButtons();
    if (!run.endedBefore && this.settings) this.page.keepRun(run, this.address, this.settings);
  }

  runningText() {
    return `Continuing from step ${this.keptSteps}.`;
  }

  showCompleted() {
    this.status.show("completed", `Steps 1 to ${this.keptSteps} come from your picture, ${this.keptSteps + 1} to ${model.stepCount} from the model.`);
  }

  /** @param {number} step @param {number} fadeMs */
  #onStep(step, fadeMs) {
    this.strip.setCurrent(step);
    this.sheet.showStep(step, fadeMs);
  }
}

/** Whether what was stored is a run of variations. @param {any} run @returns {run is import("../lib/run.js").SavedRun} */
const isSavedRun = (run) =>
  Array.isArray(run?.jobs) && run.jobs.length > 0
  && run.jobs.every((/** @type {any} */ { body, links }) => typeof (body?.class ?? body?.prompt) === "string" && Number.isInteger(body.count) && body.count >= 1
    && body.count <= model.maxPictures && Number.isInteger(body.from_step) && body.from_step < model.stepCount && PNG.test(body.image)
    && isGenerationLink(links?.self) && isGenerationLink(links?.events));
