// @ts-check
/** Colours of codes, and noise to look at before there is anything else. */

/** @typedef {[number, number, number]} Rgb */

/** @param {string} hex "#rrggbb" @returns {Rgb | null} */
export function parseHex(hex) {
  const match = /^#([0-9a-f]{6})$/i.exec(hex);
  if (!match) return null;
  const n = Number.parseInt(match[1], 16);
  return [n >> 16, (n >> 8) & 255, n & 255];
}

/** Stand-in palette until (or if never) the codebook's own colours are known. @param {number} size @returns {Rgb[]} */
export function fallbackPalette(size) {
  return Array.from({ length: size }, (_, code) => {
    const level = 70 + Math.round((130 * code) / Math.max(1, size - 1));
    return [level, level, Math.min(255, level + 10)];
  });
}

/** A small deterministic generator (mulberry32): for decoration only. @param {number} seed */
export function decorativeNoise(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A grey noise picture as a data URL. @param {number} size @param {number} seed @param {number} contrast 0…1 */
export function noisePicture(size, seed, contrast) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d");
  if (!context) return "/static/empty.svg";
  const pixels = context.createImageData(size, size);
  const random = decorativeNoise(seed);
  for (let i = 0; i < size * size; i++) {
    const bell = random() + random() + random() - 1.5;
    const level = 118 + 150 * contrast * bell;
    pixels.data.set([level, level, level, 255], 4 * i);
  }
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}
