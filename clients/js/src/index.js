/** Draws pictures with an RDPM server, and follows the steps in which they are drawn. */

export { Client } from "./client.js";
export { GenerationError, ProblemError, RdpmError, RequestError } from "./errors.js";
export { Generation, Image } from "./generation.js";
export { Stream } from "./stream.js";

/** @import { components } from "./schema.js" */
/** @typedef {import("./client.js").Options} Options */
/** @typedef {import("./client.js").ImageInput} ImageInput */
/** @typedef {import("./client.js").Settings} Settings */
/** @typedef {import("./client.js").End} End */
/** @typedef {import("./client.js").InterpolationSettings} InterpolationSettings */
/** @typedef {import("./stream.js").Event} Event */
/** @typedef {import("./stream.js").Step} Step */
/** @typedef {components["schemas"]["Model"]} Model */
/** @typedef {components["schemas"]["Completions"]} Completions */
/** @typedef {components["schemas"]["Tokenization"]} Tokenization */
/** @typedef {components["schemas"]["FieldError"]} FieldError */
