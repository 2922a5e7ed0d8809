// @ts-check
/** Colour conversions, the colour scales of the token grid, and a random generator for decorative noise. */

/** @typedef {[number, number, number]} Rgb 0…255 */

/** @param {string} hex "#rrggbb" @returns {Rgb} */
export function parseHex(hex) {
  const match = /^#([0-9a-f]{6})$/i.exec(hex);
  if (!match) return [128, 128, 128];
  const n = Number.parseInt(match[1], 16);
  return [n >> 16, (n >> 8) & 255, n & 255];
}

/** @param {Rgb} color */
export const toCss = ([r, g, b]) => `rgb(${Math.round(r)} ${Math.round(g)} ${Math.round(b)})`;

/** @param {number} c 0…255 sRGB */
const toLinear = (c) => (c <= 10.31 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4);

/** Relative luminance as WCAG defines it. @param {Rgb} color */
const luminance = ([r, g, b]) => 0.2126 * toLinear(r) + 0.7152 * toLinear(g) + 0.0722 * toLinear(b);

/** Black or white, whichever has more contrast with a background. @param {Rgb} background */
export const textColorOn = (background) => (luminance(background) > 0.179 ? "#000" : "#fff");

/** OKLab (Ottosson 2020), the space in which the codes' colours were chosen. @param {Rgb} color */
function toOklab([r, g, b]) {
  const [R, G, B] = [toLinear(r), toLinear(g), toLinear(b)];
  const l = Math.cbrt(0.4122214708 * R + 0.5363325363 * G + 0.0514459929 * B);
  const m = Math.cbrt(0.2119034982 * R + 0.6806995451 * G + 0.1073969566 * B);
  const s = Math.cbrt(0.0883024619 * R + 0.2817188376 * G + 0.6299787005 * B);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

/** Perceived distance of two colours, 0…1. Between codes' colours it approximates the distance of the codes.
 * @param {Rgb} a @param {Rgb} b */
export function colorDistance(a, b) {
  const [x, y] = [toOklab(a), toOklab(b)];
  return Math.min(1, Math.hypot(...x.map((v, i) => v - y[i])) / 0.45);
}

/** A function from 0…1 to colours. @param {string[]} stops */
function colorScale(stops) {
  const colors = stops.map(parseHex);
  /** @param {number} x @returns {Rgb} */
  return (x) => {
    const position = Math.max(0, Math.min(1, x)) * (colors.length - 1);
    const i = Math.min(colors.length - 2, Math.floor(position));
    return mix(colors[i], colors[i + 1], position - i);
  };
}

/** @param {Rgb} a @param {Rgb} b @param {number} x 0: a, 1: b @returns {Rgb} */
export const mix = (a, b, x) => [a[0] + (b[0] - a[0]) * x, a[1] + (b[1] - a[1]) * x, a[2] + (b[2] - a[2]) * x];

// The legends in styles/viewer.css show the same stops.
export const entropyColor = colorScale(["#16152b", "#5b2a6e", "#b5445c", "#f08a4b", "#fbe3b0"]);
export const distanceColor = colorScale(["#3a3835", "#2f6f73", "#56b39a", "#d9f2b4"]);

/** A small deterministic generator (mulberry32) for decoration; samples never come from it. @param {number} seed */
export function decorativeRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
