// @ts-check
/** The contact sheet: all pictures of a run at the same step. Choosing one shows it in the viewer. */
import { createElement, part } from "../lib/dom.js";
import { tokenImage } from "../lib/images.js";
import { model } from "../lib/model.js";
import { NOISE_CONTRAST, PictureCanvas } from "./picture-canvas.js";

/**
 * @typedef {import("../lib/picture.js").Picture} Picture
 * @typedef {"clean" | "noisy" | "tokens"} Content
 */

export class Sheet {
  /** @param {HTMLElement} section @param {(index: number) => void} onChoose */
  constructor(section, onChoose) {
    this.section = section;
    this.list = /** @type {HTMLElement} */ (part(section, "sheet"));
    this.groupName = `picture-${section.closest("section")?.id}`;
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
      this.showStep(this.step, 0);
    });
  }

  /** Shows other pictures; a single one needs no sheet. @param {Picture[]} pictures @param {string[]} labels */
  setPictures(pictures, labels) {
    this.pictures = pictures;
    this.canvases = [];
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
  }

  /** @param {number} step @param {number} fadeMs */
  showStep(step, fadeMs) {
    this.step = step;
    this.canvases.forEach((canvas, index) => {
      const { steps, lastStep } = this.pictures[index];
      const data = steps[Math.min(step, lastStep)];
      if (data) canvas.show(this.content === "tokens" ? tokenImage(data.tokens) : data[this.content], fadeMs);
    });
  }
}
