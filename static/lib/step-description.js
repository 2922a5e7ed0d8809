// @ts-check
/** What happens at a step, in words. */
import { model, tokensPerStep } from "./model.js";

/** @typedef {import("./picture.js").Picture} Picture */

/** A step that the model drew. @param {number} step @param {Picture} picture */
export function describeDrawnStep(step, picture) {
  const share = imagePercent(step);
  const choices = Math.round(2 ** (picture.meanEntropy(step) ?? 0));
  const certainty = choices > 1 ? `On average the model chose between about ${choices} codes for each.` : "The model was certain of each.";
  if (step === 1) return `The model draws ${tokensPerStep} tokens at once, from pure noise. ${certainty}`;
  if (step === model.stepCount) return `The last ${tokensPerStep} tokens correct the remaining errors. ${certainty} No noise is left: the noisy and the clean picture are the same.`;
  return `The model draws ${tokensPerStep} more tokens at once. ${certainty} The sum of all tokens is now ${share}\u00a0% picture and ${100 - share}\u00a0% noise.`;
}

/** A step that encodes a given picture. @param {number} step */
export function describeEncodedStep(step) {
  const share = imagePercent(step);
  if (step === model.stepCount) return `The last ${tokensPerStep} codes add what the picture still lacks. No noise is left.`;
  return `The target is ${share}\u00a0% picture and ${100 - share}\u00a0% noise. Each position adds the code that is nearest to what is still missing. The next step corrects the remaining error.`;
}

/** @param {number} step */
const imagePercent = (step) => Math.round(100 * model.schedule[step]);
