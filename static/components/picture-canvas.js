// @ts-check
/** A canvas with as many pixels as the picture, scaled up by CSS; changes crossfade. */
import { animate, ease, prefersReducedMotion } from "../lib/frame-loop.js";
import { noiseImage } from "../lib/images.js";

export class PictureCanvas {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    /** The content before the crossfade. */
    this.previous = new OffscreenCanvas(canvas.width, canvas.height);
    /** @type {CanvasImageSource | null} */
    this.image = null;
    this.fadeStart = 0;
    this.fadeMs = 0;
    this.paint = this.#paint.bind(this);
  }

  /** @param {CanvasImageSource} image @param {number} [fadeMs] */
  show(image, fadeMs = 0) {
    if (image === this.image) return;
    const previous = /** @type {OffscreenCanvasRenderingContext2D} */ (this.previous.getContext("2d"));
    previous.globalCompositeOperation = "copy";
    previous.drawImage(this.canvas, 0, 0);
    this.image = image;
    this.fadeStart = performance.now();
    this.fadeMs = prefersReducedMotion() ? 0 : fadeMs;
    animate(this.paint);
  }

  /** Shows noise until there is a picture. @param {number} seed @param {number} contrast 0…1 */
  showNoise(seed, contrast) {
    this.show(noiseImage(this.canvas.width, seed, contrast));
  }

  /** @param {number} now */
  #paint(now) {
    const { context, canvas, image } = this;
    if (!image) return false;
    const x = this.fadeMs ? Math.max(0, Math.min(1, (now - this.fadeStart) / this.fadeMs)) : 1;
    if (x < 1) {
      context.globalAlpha = 1;
      context.drawImage(this.previous, 0, 0);
    }
    context.globalAlpha = ease(x);
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    return x < 1;
  }
}

/** Contrast of the noise where a noisy and where a clean picture will be. */
export const NOISE_CONTRAST = { noisy: 0.75, clean: 0.06 };
