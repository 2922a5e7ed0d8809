// @ts-check
/**
 * The contact sheet: all pictures of a run. While they are drawn each shows its own last step; a replay shows all at the
 * same step. Choosing one shows it in the viewer.
 */
import { createElement, part } from "../lib/dom.js";
import { tokenImage } from "../lib/images.js";
import { model } from "../lib/model.js";
import { NOISE_CONTRAST, PictureCanvas } from "./picture-canvas.js";

/**
 * @typedef {import("../lib/picture.js").Picture} Picture
 * @typedef {"clean" | "noisy" | "tokens"} Content
 */

/** Crossfade from one step to the next while the pictures are drawn. */
const LIVE_FADE_MS = 160;

export class Sheet {
  /** @param {HTMLElement} section @param {(index: number) => void} onChoose */
  constructor(section, onChoose) {
    this.section = section;
    this.onChoose = onChoose;
    this.list = /** @type {HTMLElement} */ (part(section, "sheet"));
    this.groupName = `picture-${section.closest("section")?.id}`;
    this.progress = /** @type {HTMLElement | null} */ (part(section, "sheet-progress"));
    this.announcement = /** @type {HTMLElement | null} */ (part(section, "sheet-announcement"));
    /** Quarters of the pictures that have been announced as drawn. */
    this.quarters = 0;
    /** @type {PictureCanvas[]} */
    this.canvases = [];
    /** @type {Picture[]} */
    this.pictures = [];
    /** @type {Content} */
    this.content = "clean";
    this.step = 0;
    this.list.addEventListener("change", (event) => onChoose(Number(/** @type {HTMLInputElement} */ (event.target).value)));
    section.querySelector(".segments")?.addEventListener("change", (event) => {
      this.content = /** @type {Content} */ (/** @type {HTMLInputElement} */ (event.target).value);
      if (this.step) this.showStep(this.step, 0);
      else this.showLatest(0);
    });
  }

  /** Shows other pictures; a single one needs no sheet. @param {Picture[]} pictures @param {string[]} labels */
  setPictures(pictures, labels) {
    this.pictures = pictures;
    this.canvases = [];
    this.step = 0;
    this.quarters = 0;
    this.section.hidden = pictures.length < 2;
    this.list.replaceChildren();
    if (this.section.hidden) return;
    pictures.forEach(({ seed }, index) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: this.groupName, value: String(index), checked: index === 0 });
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = model.imageSize;
      label.append(input, canvas, createElement("span", "", labels[index]));
      this.list.append(label);
      this.canvases.push(new PictureCanvas(canvas));
      this.canvases[index].showNoise(seed + index, NOISE_CONTRAST.clean);
    });
    this.#showProgress();
  }

  /** @param {string[]} labels */
  setLabels(labels) {
    this.list.querySelectorAll("label > span").forEach((span, index) => {
      span.textContent = labels[index];
    });
  }

  /** Shows the last step of each picture. @param {number} [fadeMs] */
  showLatest(fadeMs = LIVE_FADE_MS) {
    this.step = 0;
    this.pictures.forEach(({ lastStep }, index) => this.#show(index, lastStep, fadeMs));
    this.#showProgress();
  }

  /** Says how many pictures are drawn; announces quarters. */
  #showProgress() {
    const { pictures, progress, announcement } = this;
    if (!progress || !announcement || this.section.hidden) return;
    const drawn = pictures.filter(({ lastStep }) => lastStep === model.stepCount).length;
    const steps = pictures.reduce((sum, { lastStep }) => sum + lastStep, 0);
    progress.dataset.done = String(drawn === pictures.length);
    part(progress, "sheet-count").textContent = drawn === pictures.length ? `${drawn} pictures` : `${drawn} of ${pictures.length}`;
    part(progress, "sheet-bar").value = steps / (pictures.length * model.stepCount);
    const quarters = Math.floor((4 * drawn) / pictures.length);
    if (quarters === this.quarters) return;
    this.quarters = quarters;
    announcement.textContent = quarters ? `${drawn} of ${pictures.length} pictures drawn` : "";
  }

  /** Marks a picture as chosen. @param {number} index */
  check(index) {
    const input = this.list.querySelectorAll("input")[index];
    if (input) input.checked = true;
  }

  /** Marks a picture and shows it. @param {number} index */
  choose(index) {
    this.check(index);
    this.onChoose(index);
  }

  /** @param {number} step @param {number} fadeMs */
  showStep(step, fadeMs) {
    this.step = step;
    this.pictures.forEach(({ lastStep }, index) => this.#show(index, Math.min(step, lastStep), fadeMs));
  }

  /** @param {number} index @param {number} step @param {number} fadeMs */
  #show(index, step, fadeMs) {
    const data = this.pictures[index].steps[step];
    if (data) this.canvases[index]?.show(this.content === "tokens" ? tokenImage(data.tokens) : data[this.content], fadeMs);
  }
}
