// @ts-check
/** The model that this page draws with, as the server wrote it into the page. */
import { parseHex } from "./colors.js";

const { dataset } = document.body;

export const model = {
  name: dataset.model ?? "",
  title: dataset.title ?? "",
  /** Addresses without a model mean this one. */
  isDefault: dataset.defaultModel === "true",
  /** The address `/` shows this one. */
  isFirst: dataset.firstModel === "true",
  /** T */
  stepCount: Number(dataset.steps),
  /** Rows and columns of a token grid: h = w. */
  gridSize: Number(dataset.grid),
  /** Entries of the codebook: V. */
  codeCount: Number(dataset.codes),
  /** Width and height of a picture in pixels. */
  imageSize: Number(dataset.imageSize),
  /** Pictures are so small that they are shown without smoothing. */
  isPixelArt: dataset.pixelArt === "true",
  /** 1: grey, 3: RGB */
  channels: Number(dataset.channels),
  /** s_0 … s_T: the share of the picture in the noisy latent. */
  schedule: (dataset.schedule ?? "").split(" ").map(Number),
  /** Colour of each code: similar codes have similar colours. */
  colors: (dataset.colors ?? "").split(" ").map(parseHex),
  /** Bits of a code: the largest possible entropy. */
  codeBits: Math.log2(Number(dataset.codes)),
  /** It is told words: the page has a prompt line. */
  hasWords: document.getElementById("prompt") !== null,
  /** Most pictures that one submission may ask for. */
  maxPictures: Number(dataset.maxCount),
};

/** The server keeps finished pictures: it has a gallery for them. */
export const serverKeepsPictures = dataset.keepsPictures === "true";

/** Tokens of one step. */
export const tokensPerStep = model.gridSize ** 2;

/** The colour of a code; grey for a code that the model doesn't have. @param {number} code */
export const codeColor = (code) => model.colors[code] ?? GREY;

/** @type {import("./colors.js").Rgb} */
const GREY = [128, 128, 128];
