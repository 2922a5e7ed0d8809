// @ts-check
/** Small pictures on canvases: decoding, crossfading, and noise where there is no picture yet. */
import { animate, ease, isStill } from "./animation.js";
import { css, decorativeNoise } from "./colors.js";
import { model } from "./model.js";

/** @param {string} base64 @returns {Uint8Array<ArrayBuffer>} */
function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** A PNG's data URL as a bitmap. @param {string} url */
export function decode(url) {
  return createImageBitmap(pngBlob(url));
}

/** @param {string} url a PNG's data URL */
export const pngBlob = (url) => new Blob([bytes(url.slice(url.indexOf(",") + 1))], { type: "image/png" });

/** A canvas of the picture's own few pixels, which the style scales up. */
export class PictureCanvas {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    /** What was there before the fade. */
    this.before = new OffscreenCanvas(canvas.width, canvas.height);
    /** @type {CanvasImageSource | null} */
    this.image = null;
    this.start = 0;
    this.fade = 0;
    this.paint = this.#paint.bind(this);
  }

  /** @param {CanvasImageSource} image @param {number} [fade] milliseconds */
  show(image, fade = 0) {
    if (image === this.image) return;
    const before = /** @type {OffscreenCanvasRenderingContext2D} */ (this.before.getContext("2d"));
    before.globalCompositeOperation = "copy";
    before.drawImage(this.canvas, 0, 0);
    this.image = image;
    this.start = performance.now();
    this.fade = isStill() ? 0 : fade;
    animate(this.paint);
  }

  /** @param {number} now */
  #paint(now) {
    const { context, canvas, image } = this;
    if (!image) return false;
    const x = this.fade ? Math.max(0, Math.min(1, (now - this.start) / this.fade)) : 1;
    if (x < 1) {
      context.globalAlpha = 1;
      context.drawImage(this.before, 0, 0);
    }
    context.globalAlpha = ease(x);
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    return x < 1;
  }

  /** Noise, as decoration. @param {number} seed @param {number} contrast 0…1 */
  noise(seed, contrast) {
    this.show(noisePicture(this.canvas.width, seed, contrast));
  }
}

/** @param {number} size @param {number} seed @param {number} contrast 0…1 */
function noisePicture(size, seed, contrast) {
  const canvas = new OffscreenCanvas(size, size);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const pixels = context.createImageData(size, size);
  const random = decorativeNoise(seed);
  const level = () => 118 + 150 * contrast * (random() + random() + random() - 1.5);
  for (let i = 0; i < size * size; i++) {
    const red = level();
    pixels.data.set(model.channels === 1 ? [red, red, red, 255] : [red, level(), level(), 255], 4 * i);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** A token grid, one square a token. @param {import("./colors.js").Rgb[]} colors @param {number} grid @param {number} size pixels */
export function gridPicture(colors, grid, size) {
  const canvas = new OffscreenCanvas(size, size);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const pitch = size / grid;
  colors.forEach((color, i) => {
    context.fillStyle = css(color);
    context.fillRect((i % grid) * pitch, Math.floor(i / grid) * pitch, pitch, pitch);
  });
  return canvas;
}
