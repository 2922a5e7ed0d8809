// @ts-check
/** Picture files made in the browser: pixels scaled up without smoothing, one picture or a sheet of several. */

/** How long the browser may take to read a saved file. */
const FILE_LIFETIME_MS = 60_000;
/** Browsers allow no larger canvas everywhere. */
const MAX_SIDE = 8192;

/** @typedef {"png" | "webp" | "jpeg"} PictureFormat */

/** Columns of a sheet: as square as possible. @param {number} count */
const sheetColumns = (count) => Math.ceil(Math.sqrt(count));

/** Width and height of a sheet in pixels. @param {number} count @param {number} size of a picture, scaled @returns {[number, number]} */
export function sheetSize(count, size) {
  const columns = sheetColumns(count);
  return [columns * size, Math.ceil(count / columns) * size];
}

/** Whether a sheet can be made. @param {number} count @param {number} size of a picture, scaled */
export const sheetFits = (count, size) => Math.max(...sheetSize(count, size)) <= MAX_SIDE;

/** @param {CanvasImageSource[]} images @param {number} size of each, scaled @param {PictureFormat} format @returns {Promise<Blob>} */
export function encodeSheet(images, size, format) {
  const [width, height] = sheetSize(images.length, size);
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.imageSmoothingEnabled = false;
  const columns = sheetColumns(images.length);
  images.forEach((image, i) => context.drawImage(image, (i % columns) * size, Math.floor(i / columns) * size, size, size));
  return canvas.convertToBlob({ type: `image/${format}`, quality: format === "webp" ? 1 : 0.92 });
}

/** Longest label in a file's name, in characters. */
const MAX_LABEL = 60;

/** A file's name without extension. @param {string} label @param {number | undefined} seed undefined: random @param {number} index of the picture among those of its seed */
export const fileName = (label, seed, index) =>
  [nameOfLabel(label), ...(seed === undefined ? [] : [seed]), ...(index ? [index + 1] : [])].join("-");

/** A label as part of a file's name, which no shell takes for a flag. @param {string} label */
export const nameOfLabel = (label) => label.replace(/[^\w-]+/g, "-").toLowerCase().slice(0, MAX_LABEL).replace(/^-+|-+$/g, "") || "picture";

/** @param {Blob} content @param {string} name */
export function saveFile(content, name) {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), FILE_LIFETIME_MS);
}
