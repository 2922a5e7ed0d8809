// @ts-check
/** Token grids of whole pictures, T × h × w codes, and marks of their cells. */
import { ROOT } from "./api.js";
import { model } from "./model.js";

/** The codes of all steps; fewer if some aren't known. @param {import("./picture.js").Picture} picture */
export const gridsOf = ({ steps }) => Array.from({ length: model.stepCount }, (_, i) => steps[i + 1]?.tokens).filter(Boolean);

/** The number of codes that differ. @param {number[][][]} a @param {number[][][]} b */
export function differences(a, b) {
  const codes = b.flat(2);
  return a.flat(2).filter((code, i) => code !== codes[i]).length;
}

/** The picture of a token file: a data URL. @param {object} file @returns {Promise<string>} */
export async function decodeTokens(file) {
  const response = await fetch(`${ROOT}/api/v1/decode`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(file) });
  if (!response.ok) throw new Error(String(response.status));
  const blob = await response.blob();
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = reject;
    reader.readAsDataURL(blob);
  });
}

/** Marks of cells as hexadecimal digits, four cells each. @param {boolean[]} marked */
export const toHex = (marked) => Array.from({ length: Math.ceil(marked.length / 4) }, (_, i) => [0, 1, 2, 3].reduce((digit, bit) => digit * 2 + Number(marked[4 * i + bit] ?? false), 0).toString(16)).join("");

/** @param {string} hex @returns {boolean[]} a mark for each cell */
export const fromHex = (hex) => Array.from({ length: model.gridSize ** 2 }, (_, i) => Boolean((Number.parseInt(hex[Math.floor(i / 4)] ?? "0", 16) || 0) & (8 >> i % 4)));
