// @ts-check
/** A dialog with the pictures between two others, and a slider that moves through them. Loaded when it is first opened. */
import { getFilm } from "../lib/api.js";
import { showBriefly } from "../lib/clipboard.js";
import { createElement } from "../lib/dom.js";
import { saveFile } from "../lib/files.js";
import { decodePng } from "../lib/images.js";
import { endOfEntry, endOfRun, FRAMES, interpolationCommand, interpolationRequest, InterpolationRun, isSameSubject, storedName } from "../lib/interpolation.js";
import { model } from "../lib/model.js";
import { createButton, createCode, createSegments } from "./elements.js";
import { NOISE_CONTRAST, PictureCanvas } from "./picture-canvas.js";

/**
 * @typedef {import("../lib/interpolation.js").End} End
 * @typedef {import("../lib/interpolation.js").InterpolationKind} InterpolationKind
 * @typedef {{name: string, png: string, request: import("../lib/api.js").GenerationRequest, read: () => Promise<End>}} Candidate  a picture that may be the second
 */

/** @type {[InterpolationKind, string, string][]} */
const KINDS = [
  ["steps", "Half of the steps", "The first half of the steps of both is mixed; the model draws the rest."],
  ["noise", "Noise", "The noise of both is mixed; the model draws everything."],
  ["latent", "Picture", "The finished pictures are mixed; the model draws nothing."],
];
/** Pictures that may be the second. */
const MAX_CANDIDATES = 60;
/** How long a picture is shown while it plays. */
const FRAME_MS = 180;
/** Pixels of a side of the saved film, at least. */
const FILM_SIDE = 256;

export class InterpolationDialog {
  constructor() {
    this.dialog = /** @type {HTMLDialogElement} */ (createElement("dialog", "interpolation"));
    this.dialog.setAttribute("aria-labelledby", "interpolation-title");
    const title = createElement("h2", "", "Interpolate");
    title.id = "interpolation-title";
    const header = createElement("div", "gallery-header");
    this.status = createElement("p", "interpolation-status");
    this.status.setAttribute("role", "status");
    header.append(title, this.status, createButton("secondary small", "Close", "Close the interpolation", () => this.dialog.close()));

    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = model.imageSize;
    canvas.setAttribute("role", "img");
    this.canvas = new PictureCanvas(canvas);
    this.frame = createElement("div", "interpolation-frame");
    this.frame.append(canvas);
    this.slider = document.createElement("input");
    Object.assign(this.slider, { type: "range", className: "slider", min: "1", max: String(FRAMES), step: "1", value: "1" });
    this.slider.setAttribute("aria-label", "Picture");
    this.slider.addEventListener("input", () => {
      this.#pause();
      this.#showFrame();
    });
    this.play = createButton("secondary small", "Play", "", () => (this.timer ? this.#pause() : this.#start()));
    this.save = createButton("secondary small", "Save GIF", "", () => this.#save());
    const player = createElement("div", "interpolation-player");
    player.append(this.play, this.slider, this.save);

    this.list = createElement("div", "gallery-list");
    this.list.setAttribute("role", "radiogroup");
    this.list.setAttribute("aria-label", "Second picture");
    this.list.addEventListener("change", (event) => {
      this.chosen = Number(/** @type {HTMLInputElement} */ (event.target).value);
      this.#changed();
    });
    this.question = createElement("p", "interpolation-question");
    /** @type {InterpolationKind} */
    this.kind = KINDS[0][0];
    this.explanation = createElement("p", "interpolation-note");
    this.kinds = createSegments("interpolation-kind", "What is mixed", KINDS.map(([value, text]) => [value, text]), this.kind, (value) => {
      this.kind = /** @type {InterpolationKind} */ (value);
      this.kindChosen = true;
      this.#changed();
    });
    /** The user has chosen what is mixed. */
    this.kindChosen = false;
    this.draw = createButton("primary small", "Draw", "Draw the pictures between", () => this.#draw());
    this.codeButton = createButton("secondary small", "Code", "Show the request as code", () => this.#toggleCode());
    this.codeButton.setAttribute("aria-expanded", "false");
    const actions = createElement("div", "gallery-actions");
    actions.append(this.kinds, this.draw, this.codeButton);
    const { code, block, status, fallback, copy } = createCode();
    this.code = code;
    this.codePart = createElement("div", "interpolation-code");
    this.codePart.hidden = true;
    this.codePart.append(copy, status, block, fallback);
    const choice = createElement("div", "interpolation-choice");
    choice.append(this.question, this.list, actions, this.explanation, this.codePart);
    const shown = createElement("div", "interpolation-shown");
    shown.append(this.frame, player);
    this.dialog.append(header, shown, choice);
    this.dialog.addEventListener("close", () => {
      this.#pause();
      this.run?.cancel();
    });
    document.body.append(this.dialog);

    /** The first picture. @type {End | null} */
    this.first = null;
    /** @type {CanvasImageSource | null} */
    this.firstImage = null;
    /** @type {Candidate[]} */
    this.candidates = [];
    this.chosen = 0;
    /** @type {InterpolationRun | null} */
    this.run = null;
    /** Both ends of the run. @type {[End, End] | null} */
    this.ends = null;
    this.timer = 0;
  }

  /** @param {End} first @param {CanvasImageSource} image its picture @param {Candidate[]} candidates the pictures that may be the second */
  open(first, image, candidates) {
    this.first = first;
    this.firstImage = image;
    this.candidates = candidates;
    this.chosen = 0;
    this.run = this.ends = null;
    this.slider.value = "1";
    this.question.textContent = candidates.length
      ? `From ${first.name} to:`
      : "Draw another picture first. All pictures that this browser keeps appear here.";
    this.list.replaceChildren(...candidates.map(({ name, png }, index) => {
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: "interpolation-second", value: String(index), checked: index === 0 });
      const image = new Image(72, 72);
      image.src = png;
      image.alt = "";
      image.loading = "lazy";
      const item = document.createElement("label");
      item.append(input, image, createElement("span", "", name));
      return item;
    }));
    this.#changed();
    this.#showRun();
    this.dialog.showModal();
    (candidates.length ? this.list.querySelector("input") : this.dialog.querySelector("button"))?.focus();
  }

  /** Another second picture or kind was chosen. */
  async #changed() {
    const second = this.candidates[this.chosen];
    // Between different subjects, what the model draws would change at once in the middle.
    if (this.first && second && !this.kindChosen) this.kind = isSameSubject(this.first.request, second.request) ? "steps" : "latent";
    for (const input of this.kinds.querySelectorAll("input")) input.checked = input.value === this.kind;
    this.explanation.textContent = KINDS.find(([kind]) => kind === this.kind)?.[2] ?? "";
    this.draw.disabled = this.codeButton.disabled = !this.candidates.length;
    if (this.codePart.hidden) return;
    const ends = await this.#readEnds();
    if (ends) this.code.textContent = interpolationCommand(ends, this.kind);
  }

  /** @returns {Promise<[End, End] | null>} */
  async #readEnds() {
    const [first, second] = [this.first, this.candidates[this.chosen]];
    if (!first || !second) return null;
    try {
      return [first, await second.read()];
    } catch {
      showBriefly(this.status, "This picture is no longer stored. Choose another one.");
      return null;
    }
  }

  async #draw() {
    const ends = await this.#readEnds();
    if (!ends) return;
    this.#pause();
    this.run?.cancel();
    this.ends = ends;
    const run = new InterpolationRun(interpolationRequest(ends, this.kind), ends, () => this.run === run && this.#showRun());
    this.run = run;
    this.#showRun();
    // It holds the focus as long as it is used.
    this.slider.focus();
    run.start();
  }

  /** The state has changed, or a step has arrived. */
  #showRun() {
    const { run } = this;
    const completed = run?.state === "completed";
    this.dialog.dataset.state = run?.state ?? "idle";
    this.play.disabled = this.save.disabled = !completed;
    this.slider.disabled = !run;
    this.status.textContent = !run ? "" : {
      drawing: run.step ? `Denoising: step ${run.step} of ${model.stepCount}.` : "Waiting for the server.",
      completed: `${FRAMES} pictures. Move the slider.`,
      failed: run.detail,
      canceled: "Canceled.",
    }[run.state];
    this.#showFrame();
  }

  /** The picture at the slider, as far as it is drawn. */
  #showFrame() {
    const index = this.slider.valueAsNumber - 1;
    const steps = this.run?.pictures[index].steps ?? [];
    const step = steps.at(-1);
    if (step) this.canvas.show(step.clean);
    else if (!this.run && this.firstImage) this.canvas.show(this.firstImage);
    else this.canvas.showNoise(this.first?.seed ?? 0, NOISE_CONTRAST.noisy);
    const name = index === 0 ? this.ends?.[0].name : index === FRAMES - 1 ? this.ends?.[1].name : "";
    const text = `Picture ${index + 1} of ${FRAMES}${name ? `: ${name}` : ""}`;
    this.slider.setAttribute("aria-valuetext", text);
    this.slider.style.setProperty("--filled", `${(100 * index) / (FRAMES - 1)}%`);
    this.canvas.canvas.setAttribute("aria-label", step ? text : this.run ? "No picture yet" : this.first?.name ?? "");
  }

  /** Plays back and forth. */
  #start() {
    let offset = this.slider.valueAsNumber === FRAMES ? -1 : 1;
    this.play.textContent = "Pause";
    this.timer = window.setInterval(() => {
      const at = this.slider.valueAsNumber;
      if (at + offset < 1 || at + offset > FRAMES) offset = -offset;
      this.slider.value = String(at + offset);
      this.#showFrame();
    }, FRAME_MS);
  }

  #pause() {
    clearInterval(this.timer);
    this.timer = 0;
    this.play.textContent = "Play";
  }

  async #save() {
    const links = this.run?.links;
    if (!links) return;
    this.save.disabled = true;
    try {
      const scale = Math.max(1, Math.ceil(FILM_SIDE / model.imageSize));
      saveFile(await getFilm(links.self, { scale, delay: FRAME_MS }), "between.gif");
      this.status.textContent = "Saved between.gif.";
    } catch (error) {
      this.status.textContent = /** @type {Error} */ (error).message;
    }
    this.save.disabled = this.run?.state !== "completed";
  }

  #toggleCode() {
    this.codePart.hidden = !this.codePart.hidden;
    this.codeButton.setAttribute("aria-expanded", String(!this.codePart.hidden));
    this.#changed();
  }
}

/** @type {InterpolationDialog | undefined} */
let dialog;

/** Opens the dialog for a picture of a run. @param {import("../lib/run.js").Run} run @param {number} index @param {import("./history.js").History} history whose pictures may be the second */
export async function openInterpolation(run, index, history) {
  const first = endOfRun(run, index);
  const others = (await history.pictures()).filter(({ picture }) => picture.png !== first.png);
  dialog ??= new InterpolationDialog();
  dialog.open(first, await decodePng(first.png), others.slice(0, MAX_CANDIDATES).map(({ picture, read }) => ({
    name: storedName(picture),
    png: picture.png,
    request: picture.request,
    read: async () => endOfEntry(await read()),
  })));
}
