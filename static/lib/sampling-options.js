// @ts-check
/** The options of sampling, read from the inputs that the server wrote into the page: one for each entry of its table. */

/**
 * @typedef {object} SamplingOption
 * @property {string} name
 * @property {string} label
 * @property {number} default            the model's
 * @property {number | undefined} off    the value that means the same as absence
 * @property {string} comparisonValue    a value that shows what the option does
 *
 * @typedef {Record<string, number>} OptionValues  by name
 */

const inputs = /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("#settings [data-sampling-option]"));

/** In the order of the form. @type {SamplingOption[]} */
export const samplingOptions = [...inputs].map(({ name, dataset }) => ({
  name,
  label: dataset.samplingOption ?? name,
  default: Number(dataset.default),
  off: dataset.off === undefined ? undefined : Number(dataset.off),
  comparisonValue: dataset.comparisonValue ?? "",
}));

/** The value of each option. @param {(option: SamplingOption) => number} value @returns {OptionValues} */
export const optionValues = (value) => Object.fromEntries(samplingOptions.map((option) => [option.name, value(option)]));

/** The options that a request has. @param {Record<string, any>} request @returns {OptionValues} */
export const sampledOptions = (request) => Object.fromEntries(samplingOptions.flatMap(({ name }) => (request[name] === undefined ? [] : [[name, request[name]]])));

/** The options that are not off. @param {OptionValues} values */
export const activeOptions = (values) => samplingOptions.filter(({ name, off }) => values[name] !== off);
