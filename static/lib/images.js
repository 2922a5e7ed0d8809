// @ts-check
/** Images in memory: decoding, token grids, noise, and how much two of them differ. */
import { decorativeRandom, toCss } from "./colors.js";
import { codeColor, model } from "./model.js";

/** @param {string} dataUrl of a PNG */
export const decodePng = (dataUrl) => createImageBitmap(toBlob(dataUrl));

/** @param {string} dataUrl of a PNG */
function toBlob(dataUrl) {
  const base64 = dataUrl.slice(dataUrl.indexOf(",") + 1);
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}

/** @param {string} base64 a PNG */
export const pngDataUrl = (base64) => `data:image/png;base64,${base64}`;

/** Grey or coloured noise around a medium grey. @param {number} size pixels @param {number} seed @param {number} contrast 0…1 */
export function noiseImage(size, seed, contrast) {
  const { canvas, context } = createCanvas(size);
  const pixels = context.createImageData(size, size);
  const random = decorativeRandom(seed);
  const level = () => 118 + 150 * contrast * (random() + random() + random() - 1.5);
  for (let i = 0; i < size * size; i++) {
    const red = level();
    pixels.data.set(model.channels === 1 ? [red, red, red, 255] : [red, level(), level(), 255], 4 * i);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** One square for each cell of a grid. @param {import("./colors.js").Rgb[]} colors row by row */
export function gridImage(colors) {
  const { canvas, context } = createCanvas(model.imageSize);
  const cellSize = model.imageSize / model.gridSize;
  colors.forEach((color, i) => {
    context.fillStyle = toCss(color);
    context.fillRect((i % model.gridSize) * cellSize, Math.floor(i / model.gridSize) * cellSize, cellSize, cellSize);
  });
  return canvas;
}

/** @type {WeakMap<number[][], OffscreenCanvas>} */
const tokenImages = new WeakMap();

/** A token grid in the codes' colours; the same grid gives the same canvas. @param {number[][]} tokens */
export function tokenImage(tokens) {
  let image = tokenImages.get(tokens);
  if (!image) {
    image = gridImage(tokens.flat().map(codeColor));
    tokenImages.set(tokens, image);
  }
  return image;
}

/** Root mean square difference; 1 is black against white. @param {CanvasImageSource} a @param {CanvasImageSource} b */
export function rmsDifference(a, b) {
  const [x, y] = [readPixels(a), readPixels(b)];
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += (x[i] - y[i]) ** 2;
  // One of the four channels, alpha, never differs.
  return Math.sqrt(sum / (x.length * 0.75)) / 255;
}

/** @param {CanvasImageSource} image */
function readPixels(image) {
  const { canvas, context } = createCanvas(model.imageSize, { willReadFrequently: true });
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height).data;
}

/** @param {number} size @param {CanvasRenderingContext2DSettings} [options] */
function createCanvas(size, options) {
  const canvas = new OffscreenCanvas(size, size);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", options));
  return { canvas, context };
}
