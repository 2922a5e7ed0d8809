// @ts-check
/** Wires the page together: views, the panel they share, and the page's address. */
import { bareAddress } from "./address.js";
import { DrawView } from "./draw.js";
import { SettingsForm } from "./form.js";

/**
 * What views have of the page around them.
 * @typedef {object} Desk
 * @property {SettingsForm} form
 * @property {() => void} update                       a view started or stopped running
 * @property {(address: string) => void} setAddress
 * @property {(text: string) => void} notice
 * @property {(element: HTMLElement) => void} bringIntoView
 *
 * @typedef {object} View
 * @property {boolean} running
 * @property {() => void} submit
 * @property {() => void} cancel
 * @property {() => void} [invite]                     the form has changed
 * @property {(linked: boolean) => void} [enter]       it is shown; linked: the page was opened at its address
 */

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);
const go = /** @type {HTMLButtonElement} */ (byId("go"));
const cancel = /** @type {HTMLButtonElement} */ (byId("cancel"));

/** @type {Record<string, View>} */
const views = {};
/** Views but the first are fetched when they are first shown. @type {Record<string, () => Promise<View>>} */
const loaders = {
  compare: async () => new (await import("./compare.js")).CompareView(desk),
  tokenize: async () => new (await import("./tokenize.js")).TokenizeView(desk),
  how: async () => new (await import("./how.js")).HowView(desk),
};

/** Where each view was left. @type {Record<string, string>} */
const addresses = { [document.body.dataset.view ?? "draw"]: location.pathname + location.search };

const current = () => document.body.dataset.view ?? "draw";

/** @type {Desk} */
const desk = {
  form: new SettingsForm({ onSubmit: () => views[current()]?.submit(), onChange: () => views[current()]?.invite?.() }),
  update() {
    const running = Boolean(views[current()]?.running);
    // aria-disabled, not disabled: the button keeps the focus.
    go.setAttribute("aria-disabled", String(running));
    if (!running && document.activeElement === cancel) go.focus();
    cancel.hidden = !running;
  },
  setAddress(address) {
    addresses[current()] = address;
    history.replaceState(null, "", address);
  },
  notice(text) {
    const place = byId("notice");
    place.textContent = text;
    place.hidden = !text;
  },
  /** On a phone the panel may fill the screen: show where it happens. */
  bringIntoView(element) {
    const { top, bottom } = element.getBoundingClientRect();
    if (top >= 0 && top < innerHeight / 2) return;
    if (top < 0 && bottom > innerHeight * 0.75 && top > -60) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    element.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
  },
};

/** @param {string} name @param {boolean} [linked] */
async function show(name, linked = false) {
  document.body.dataset.view = name;
  for (const link of document.querySelectorAll("[data-view-link]")) {
    const here = /** @type {HTMLElement} */ (link).dataset.viewLink === name;
    if (here && link.closest(".tabs")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = document.querySelector(".tabs [aria-current]")?.textContent;
  document.title = `${title} · RDPM: pictures out of tokens`;
  desk.update();
  if (!views[name] && loaders[name]) {
    try {
      views[name] = await loaders[name]();
    } catch {
      return desk.notice("This part of the page couldn’t be loaded. Is the server still running? Reload the page to try again.");
    }
  }
  if (current() !== name) return;
  document.body.dataset.loaded = name;
  views[name]?.enter?.(linked);
  desk.update();
}

document.addEventListener("click", (event) => {
  const link = /** @type {HTMLElement} */ (event.target).closest?.("[data-view-link]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const name = /** @type {HTMLElement} */ (link).dataset.viewLink ?? "draw";
  if (name !== current()) history.pushState(null, "", addresses[name] ?? bareAddress(name));
  show(name);
});

addEventListener("popstate", () => {
  const name = new URLSearchParams(location.search).get("view") ?? "draw";
  if (name === "draw" || name in loaders) show(name);
});

// Another model is another page: its classes, sizes and limits are its own.
const models = /** @type {HTMLSelectElement | null} */ (byId("model"));
models?.addEventListener("change", () => {
  const query = new URLSearchParams({ ...(current() !== "draw" && { view: current() }), model: models.value });
  location.assign(`/?${query}`);
});

cancel.addEventListener("click", () => views[current()]?.cancel());

const draw = new DrawView(desk);
views.draw = draw;
document.documentElement.dataset.ready = "true";
if (current() === "draw") {
  // A link to a particular picture draws it, but a reload goes on with what was there.
  if (!draw.resume() && document.body.dataset.complete === "true") draw.submit();
}
show(current(), true);
