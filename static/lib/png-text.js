// @ts-check
/** Reads what a PNG file of this program says about its picture. */

const SIGNATURE_BYTES = 8;
const KEYWORD = "rdpm";

/**
 * The parameters that made a picture: the JSON of its `iTXt` chunk.
 * @param {ArrayBuffer} file
 * @returns {Record<string, any> | null} null if the file doesn't say
 */
export function readProvenance(file) {
  const view = new DataView(file);
  for (let at = SIGNATURE_BYTES; at + 12 <= file.byteLength;) {
    const length = view.getUint32(at);
    const chunk = new Uint8Array(file, at + 8, Math.min(length, file.byteLength - at - 8));
    if (String.fromCharCode(...new Uint8Array(file, at + 4, 4)) === "iTXt") {
      const found = readText(chunk);
      if (found) return found;
    }
    at += 12 + length;
  }
  return null;
}

/** Keyword, zero, compression (2 bytes), language, zero, translated keyword, zero, text. @param {Uint8Array} chunk */
function readText(chunk) {
  const decoder = new TextDecoder();
  const end = chunk.indexOf(0);
  const isCompressed = chunk[end + 1] !== 0;
  if (decoder.decode(chunk.subarray(0, end)) !== KEYWORD || isCompressed) return null;
  const language = chunk.indexOf(0, end + 3);
  const translated = chunk.indexOf(0, language + 1);
  try {
    return JSON.parse(decoder.decode(chunk.subarray(translated + 1)));
  } catch {
    return null;
  }
}
