// @ts-check
/** The page's address holds the view, the model and the settings, so that a link draws the same picture. */
import { ROOT } from "./api.js";
import { model } from "./model.js";
import { samplingParameters } from "./settings.js";

/** The query of a view; names the model unless it is the default one. @param {string} view */
const viewQuery = (view) => new URLSearchParams({ ...(view !== "draw" && { view }), ...(!model.isDefault && { model: model.name }) });

/** Whether an address of this page means the model that is on it. @param {string} address */
export function isForThisModel(address) {
  const name = new URL(address, location.href).searchParams.get("model");
  return name === null ? model.isDefault : name === model.name;
}

/** The address of a view without settings. @param {string} view */
export function viewAddress(view) {
  const query = view === "draw" ? new URLSearchParams(model.isFirst ? {} : { model: model.name }) : viewQuery(view);
  return query.size ? `${ROOT}/?${query}` : `${ROOT}/`;
}

/** The address of a view with settings. @param {string} view @param {import("./settings.js").Settings} settings @param {Record<string, string>} [more] */
export function settingsAddress(view, settings, more = {}) {
  const query = viewQuery(view);
  for (const name of settings.classes) query.append("class", name);
  if (settings.prompt) query.append("prompt", settings.prompt);
  if (settings.styles.length) query.append("style", settings.styles.length > 1 ? "all" : settings.styles[0]);
  query.append("seed", settings.seeds.join(","));
  query.append("count", String(settings.count));
  for (const [name, value] of Object.entries({ ...samplingParameters(settings), ...more })) query.append(name, String(value));
  return `${ROOT}/?${query}`;
}

/** Whether an address says what to draw. @param {string} address */
export function namesPicture(address) {
  const { searchParams } = new URL(address, location.href);
  return searchParams.has("class") || searchParams.has("prompt");
}

/** Adds which picture of several is shown, from 1; the first needs no mention. @param {string} address @param {number} index */
export const withPick = (address, index) => (index > 0 ? `${address}&pick=${index + 1}` : address);

/** The address of a run, without the picture that it picks. @param {string} address */
export const withoutPick = (address) => address.replace(/&pick=\d*/g, "");

/** Index of the picture that an address picks; 0 if it picks none. @param {string} address */
export function pickedIndex(address) {
  const text = new URL(address, location.href).searchParams.get("pick") ?? "";
  return /^[1-9]\d{0,2}$/.test(text) ? Number(text) - 1 : 0;
}

/** What draws a picture from noise. @param {import("./api.js").GenerationRequest} request @param {number} index */
export function sourceQuery(request, index) {
  const { count: _, index: __, ...rest } = request;
  const entries = Object.entries({ ...rest, ...(index && { index }) }).filter(([, value]) => value !== undefined);
  return new URLSearchParams(entries.map(([name, value]) => [name, String(value)])).toString();
}
