// @ts-check
/** The view of the forward side: a picture becomes token grids, one a step, and a new one grows out of the first few of them. */
import { bodies } from "./address.js";
import { ApiError, tokenize } from "./api.js";
import { field, objection } from "./fields.js";
import { freshSeed } from "./form.js";
import { Intake } from "./intake.js";
import { model } from "./model.js";
import { decode, PictureCanvas } from "./pictures.js";
import { Picture, toFrame } from "./run.js";
import { Session } from "./session.js";
import { Sheet, tokenPicture } from "./sheet.js";
import { Status } from "./status.js";
import { entropyChart, narration, Theater } from "./theater.js";

/**
 * @typedef {import("./timeline.js").Chart} Chart
 * @typedef {object} Encoded
 * @property {string} image      the picture as the model saw it: a PNG's data URL
 * @property {number} seed
 * @property {Picture} picture   its steps
 * @property {number[]} errors   of the clean preview at each step, root mean square, 1 being black against white
 */

export class TokenizeView {
  /** @param {import("./main.js").Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.root = /** @type {HTMLElement} */ (document.getElementById("tokenize"));
    /** @param {string} name @returns {any} */
    const part = (name) => this.root.querySelector(`[data-part="${name}"]`);
    this.status = new Status(this.root, () => this.retry());
    this.input = /** @type {HTMLImageElement} */ (part("input"));
    this.inputNote = /** @type {HTMLElement} */ (part("input-note"));
    this.reconstruction = /** @type {HTMLImageElement} */ (part("reconstruction"));
    this.reconstructionNote = /** @type {HTMLElement} */ (part("reconstruction-note"));
    this.intake = new Intake(part("intake"), {
      onPicture: (given) => this.encode(given),
      onTrouble: (sentence) => this.status.say("idle", sentence),
    });
    this.strip = this.#takeStrip(part("strip"));
    this.sheet = new Sheet(part("sheet-block"), (index) => this.session && this.theater.swap([this.session.pictures[index]]));
    this.theater = new Theater(part("theater"), {
      onStep: (step, fade) => this.#showStep(step, fade),
      chart: (theater) => this.#chart(theater),
      narrate: (step, picture) => this.#narrate(step, picture),
    });
    /** @type {Encoded | null} */
    this.encoded = null;
    /** @type {Session | null} */
    this.session = null;
    /** The last picture given; answers to earlier ones come too late. @type {import("./intake.js").Given | null} */
    this.given = null;
  }

  get running() {
    return Boolean(this.session && !this.session.ended);
  }

  retry() {
    if (this.given && !this.encoded) this.encode(this.given);
    else this.submit();
  }

  /** @param {import("./intake.js").Given} given */
  async encode(given) {
    if (this.running) return;
    this.given = given;
    this.encoded = null;
    const seed = this.desk.form.locked ? Number.parseInt(field("seed").value, 10) || 0 : freshSeed();
    this.status.say("running", "Encoding…");
    try {
      const answer = await tokenize({ model: model.name, image: given.data, seed });
      const frames = await Promise.all(answer.steps.map(toFrame));
      const image = `data:image/png;base64,${answer.input.png_base64}`;
      const bitmap = await decode(image);
      if (given !== this.given) return;
      const picture = new Picture({ label: "", seed });
      answer.steps.forEach(({ step }, i) => {
        picture.frames[step] = frames[i];
      });
      this.encoded = { image, seed, picture, errors: picture.frames.map(({ clean }) => difference(clean, bitmap)) };
      this.#showEncoded(given.note, `data:image/png;base64,${answer.reconstruction.png_base64}`);
    } catch (error) {
      if (given !== this.given) return;
      const { message, retryAfter } = error instanceof ApiError ? error : new ApiError("The server’s answer can’t be read.");
      this.status.fail(message, retryAfter);
    }
  }

  /** @param {string} note @param {string} reconstruction */
  #showEncoded(note, reconstruction) {
    const { image, seed, picture, errors } = /** @type {Encoded} */ (this.encoded);
    this.session?.leave();
    this.session = null;
    this.input.src = image;
    this.inputNote.textContent = `${model.imageSize} × ${model.imageSize} pixels. ${note}`;
    this.reconstruction.src = reconstruction;
    const error = errors[model.steps];
    this.reconstructionNote.textContent = `${model.steps} × ${model.grid ** 2} tokens, off by ${(100 * error).toFixed(1)} % (rms).`;
    this.sheet.reset([], []);
    this.#fillStrip(picture);
    this.theater.limit = () => model.steps;
    this.theater.follow([picture]);
    this.theater.advance();
    this.status.say("completed", `Encoded with the noise of seed ${seed}. Now choose what it shall become, and press Draw variations.`);
    this.desk.update();
  }

  submit() {
    if (this.running) return;
    if (!this.encoded) {
      this.status.say("idle", "Give a picture first: drop, paste, choose or draw one.");
      document.getElementById("file")?.focus();
      return;
    }
    const { image, seed, picture } = this.encoded;
    const { form } = this.desk;
    const locked = form.locked;
    const settings = form.read();
    if (!settings) return;
    const sentence = objection(field("from_step"));
    if (form.show(sentence ? [["from_step", sentence]] : [])) return;
    const kept = field("from_step").valueAsNumber;
    // The noise that the picture was encoded with, unless another seed is asked for.
    const seeds = locked ? settings.seeds : [seed];
    if (!locked) field("seed").value = String(seed);
    const all = bodies({ ...settings, seeds }).map((body) => ({ ...body, image, from_step: kept }));
    const session = new Session(all, {
      onState: () => session === this.session && this.#follow(session, kept),
      onStep: () => this.theater.advance(),
    });
    for (const [index, grown] of session.pictures.entries()) {
      const first = index === session.jobOf(index).offset;
      // A job's first picture has this very noise, hence these very steps.
      if (!first || grown.seed !== seed) continue;
      grown.first = 1;
      for (let step = 1; step <= kept; step++) grown.frames[step] = picture.frames[step];
    }
    this.session?.leave();
    this.session = session;
    this.sheet.reset(session.pictures, session.pictures.map(({ label }, i) => `${label} · ${i - session.jobOf(i).offset + 1}`));
    this.theater.limit = () => Math.min(model.steps, ...session.pictures.map(({ reached }) => reached));
    this.theater.follow([session.pictures[0]]);
    session.start(model.name);
    this.desk.bringIntoView(/** @type {HTMLElement} */ (this.root.querySelector('[data-part="theater"]')));
  }

  cancel() {
    this.session?.cancel();
  }

  /** @param {Session} session @param {number} kept */
  #follow(session, kept) {
    this.desk.update();
    if (session.state === "completed") {
      return this.theater.player.whenSettled(() => session === this.session
        && this.status.say("completed", `Steps 1 to ${kept} are your picture’s, ${kept + 1} to ${model.steps} the model’s.`));
    }
    this.status.follow(session, `Going on from step ${kept}.`);
    if (session.refusal) this.desk.form.showRefusal(session.refusal.errors);
    if (session.ended) this.theater.player.whenSettled(() => {});
  }

  /** @param {HTMLElement} list */
  #takeStrip(list) {
    return [...list.querySelectorAll("li")].map((item, i) => {
      item.addEventListener("click", () => this.theater.reached && this.theater.player.seek(i + 1));
      return { item, canvas: new PictureCanvas(/** @type {HTMLCanvasElement} */ (item.querySelector("canvas"))) };
    });
  }

  /** @param {Picture} picture */
  #fillStrip(picture) {
    this.strip.forEach(({ canvas }, i) => canvas.show(tokenPicture(picture.frames[i + 1])));
  }

  /** @param {number} step @param {number} fade */
  #showStep(step, fade) {
    this.strip.forEach(({ item }, i) => item.classList.toggle("on-show", i + 1 === step));
    this.sheet?.show(step, fade);
  }

  /** For a picture that was encoded: how near its clean preview is. For one that grows: entropy. @param {Theater} theater @returns {Chart} */
  #chart(theater) {
    const errors = this.encoded?.errors;
    if (this.session || !errors) return entropyChart(theater);
    return {
      title: "Error of the clean preview",
      most: Math.max(...errors.slice(1)),
      value: (step) => errors[step],
      inWords: (error) => `${(100 * error).toFixed(1)} %`,
    };
  }

  /** @param {number} step @param {Picture} picture */
  #narrate(step, picture) {
    if (picture.frames[step]?.entropy) return narration(step, picture);
    const share = Math.round(100 * model.schedule[step]);
    const cells = model.grid ** 2;
    if (step === model.steps) return `The last ${cells} codes: what is still missing to the picture itself, with no noise left.`;
    return `The aim is ${share} % of the picture and ${100 - share} % noise. For each position, the code nearest to what is still missing is added. What it gets wrong, the next step sees and corrects.`;
  }
}

/** Root mean square difference of two pictures. @param {CanvasImageSource} a @param {CanvasImageSource} b */
export function difference(a, b) {
  const [x, y] = [pixels(a), pixels(b)];
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += (x[i] - y[i]) ** 2;
  // Of four channels one, alpha, never differs.
  return Math.sqrt(sum / (x.length * 0.75)) / 255;
}

/** @param {CanvasImageSource} image */
function pixels(image) {
  const canvas = new OffscreenCanvas(model.imageSize, model.imageSize);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height).data;
}
