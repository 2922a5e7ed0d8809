// @ts-check
/** The page's address holds the view, the model and the settings, so that a link draws the same picture. */
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
  const query = viewQuery(view).toString();
  return query ? `/?${query}` : "/";
}

/** The address of a view with settings. @param {string} view @param {import("./settings.js").Settings} settings @param {Record<string, string>} [more] */
export function settingsAddress(view, settings, more = {}) {
  const query = viewQuery(view);
  for (const name of settings.classes) query.append("class", name);
  query.append("seed", settings.seeds.join(","));
  query.append("count", String(settings.count));
  for (const [name, value] of Object.entries({ ...samplingParameters(settings), ...more })) query.append(name, String(value));
  return `/?${query}`;
}
