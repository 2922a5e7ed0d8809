// @ts-check
/** What is being served, as the server wrote it into the page. */
import { parseHex } from "./colors.js";

const { dataset } = document.body;

export const model = {
  name: dataset.model ?? "",
  title: dataset.title ?? "",
  /** It is meant where an address names none. */
  isDefault: dataset.default === "true",
  /** T */
  steps: Number(dataset.steps),
  /** h = w */
  grid: Number(dataset.grid),
  /** V */
  codes: Number(dataset.codes),
  imageSize: Number(dataset.imageSize),
  /** 1: grey, 3: RGB */
  channels: Number(dataset.channels),
  /** s_0 … s_T: the share of the picture in the noisy latent. */
  schedule: (dataset.schedule ?? "").split(" ").map(Number),
  /** Colour of each code: near codes, near colours. */
  colors: (dataset.colors ?? "").split(" ").map(parseHex),
  /** Bits of a code: entropy at most. */
  bits: Math.log2(Number(dataset.codes)),
  /** Pictures of one form at most. */
  maxCount: Number(dataset.maxCount),
};
