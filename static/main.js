// @ts-check
/** The page: connects the views with the settings form, the buttons and the address. */
import { SettingsForm } from "./components/settings-form.js";
import { Shortcuts } from "./components/shortcuts.js";
import { viewAddress } from "./lib/address.js";
import { ROOT } from "./lib/api.js";
import { byId } from "./lib/dom.js";
import { model } from "./lib/model.js";
import { Run } from "./lib/run.js";
import { DrawView } from "./views/draw.js";

/** @typedef {import("./views/view.js").View} View */

const submitButton = /** @type {HTMLButtonElement} */ (byId("submit"));
/** Below the settings on a phone. */
const saveButton = /** @type {HTMLButtonElement} */ (byId("save"));
const cancelButton = /** @type {HTMLButtonElement} */ (byId("cancel"));

/** @type {Record<string, View>} */
const views = {};
/** The other views are loaded when they are first shown. @type {Record<string, () => Promise<View>>} */
const loaders = {
  compare: async () => new (await import("./views/compare.js")).CompareView(page),
  tokenize: async () => new (await import("./views/tokenize.js")).TokenizeView(page),
  edit: async () => (await import("./views/edit.js")).load(page),
  how: async () => new (await import("./views/how.js")).HowView(page),
};

/** Scrolling leaves this free above an element: `scroll-padding` in the style sheet. */
const SCROLL_MARGIN = 16;

const LOAD_ERROR = "This part of the page couldn’t be loaded. Check that the server is running, then try again.";

/** @type {import("./components/code-drawer.js").CodeDrawer | undefined} */
let codeDrawer;

/** The code follows the view, once it is loaded. */
const updateCode = () => views[currentView()] && codeDrawer?.update();

/** The view of an address. @param {string} address */
const viewOf = (address) => {
  const name = new URL(address, location.href).searchParams.get("view") ?? "";
  return name in loaders ? name : "draw";
};

const currentView = () => document.body.dataset.view ?? "draw";

/** The last address of each view. @type {Record<string, string>} */
const addresses = { [currentView()]: location.pathname + location.search };

/** @type {import("./views/view.js").Page} */
const page = {
  form: new SettingsForm({
    onSubmit: () => views[currentView()]?.submit(),
    onChange: () => {
      views[currentView()]?.onFormChange?.();
      updateCode();
    },
  }),
  updateButtons() {
    updateCode();
    const running = Boolean(views[currentView()]?.running);
    // A disabled button would lose the focus.
    submitButton.setAttribute("aria-disabled", String(running));
    if (!running && document.activeElement === cancelButton) submitButton.focus();
    cancelButton.hidden = !running;
    saveButton.setAttribute("aria-disabled", String(!views[currentView()]?.canSave));
  },
  setAddress(address, push = false) {
    addresses[currentView()] = address;
    if (push && address !== location.pathname + location.search) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
    updateCode();
  },
  async openAddress(address) {
    const name = viewOf(address);
    history.pushState(null, "", address);
    addresses[name] = address;
    await showView(name);
    await views[name]?.onAddress?.(address);
  },
  keepRun(run, address, settings) {
    drawView.history.add(run, address, model.name, settings);
  },
  async keptRun(address) {
    const entries = await drawView.history.run(address);
    return entries.length ? Run.fromStore(entries) : null;
  },
  async showInDraw(run, index, settings) {
    history.pushState(null, "", viewAddress("draw"));
    await showView("draw");
    await drawView.showPictureOf(run, index, settings);
  },
  updateTitle() {
    const title = views[currentView()]?.pictureName || document.querySelector(".tabs [aria-current]")?.textContent;
    document.title = `${title} · RDPM: pictures from tokens`;
  },
  showNotice(text) {
    const notice = byId("notice");
    notice.textContent = text;
    notice.hidden = !text;
  },
  scrollIntoView(element, header) {
    let { top, bottom, height } = element.getBoundingClientRect();
    // On narrow screens the bar with the buttons covers the end of the window.
    const { top: barTop, bottom: barBottom } = submitButton.getBoundingClientRect();
    const end = getComputedStyle(/** @type {HTMLElement} */ (submitButton.parentElement)).position === "fixed" && barBottom <= innerHeight ? barTop : innerHeight;
    const headerTop = header?.getBoundingClientRect().top ?? top;
    const withHeader = bottom - headerTop + 2 * SCROLL_MARGIN <= end;
    if (withHeader) {
      height = bottom - headerTop;
      top = headerTop;
    }
    const fits = height <= end;
    if (top >= 0 && (fits ? bottom <= end : top < innerHeight / 2)) return;
    if (!fits && top < 0 && bottom > innerHeight * 0.75 && top > -60) return;
    const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)").matches;
    (withHeader ? header ?? element : element).scrollIntoView({ behavior: reducedMotion ? "auto" : "smooth", block: "start" });
  },
};

/** @param {string} name @param {boolean} [linked] the page was opened at the view's address */
async function showView(name, linked = false) {
  document.body.dataset.view = name;
  for (const link of document.querySelectorAll("[data-view-link]")) {
    const isCurrent = /** @type {HTMLElement} */ (link).dataset.viewLink === name;
    if (isCurrent && link.closest(".tabs")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  page.updateTitle();
  page.updateButtons();
  if (!views[name] && loaders[name]) {
    try {
      views[name] = await loaders[name]();
    } catch {
      if (currentView() === name) page.showNotice(LOAD_ERROR);
      return;
    }
  }
  if (currentView() !== name) return;
  if (byId("notice").textContent === LOAD_ERROR) page.showNotice("");
  document.body.dataset.loaded = name;
  views[name]?.onShow?.(linked);
  page.updateButtons();
}

document.addEventListener("click", (event) => {
  const link = /** @type {HTMLElement} */ (event.target).closest?.("[data-view-link]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const name = /** @type {HTMLElement} */ (link).dataset.viewLink ?? "draw";
  if (name !== currentView()) history.pushState(null, "", addresses[name] ?? viewAddress(name));
  showView(name);
});

document.addEventListener("edit-picture", async (event) => {
  const { run, index } = /** @type {CustomEvent} */ (event).detail;
  history.pushState(null, "", viewAddress("edit"));
  addresses.edit = viewAddress("edit");
  await showView("edit");
  /** @type {any} */ (views.edit)?.edit(run, index);
});

document.addEventListener("interpolate-picture", async (event) => {
  const { run, index } = /** @type {CustomEvent} */ (event).detail;
  try {
    const { openInterpolation } = await import("./components/interpolation.js");
    await openInterpolation(run, index, drawView.history);
    if (byId("notice").textContent === LOAD_ERROR) page.showNotice("");
  } catch {
    page.showNotice(LOAD_ERROR);
  }
});

// Dialogs are loaded when they are first opened.
document.addEventListener("click", async (event) => {
  const opener = /** @type {HTMLElement | null} */ (/** @type {HTMLElement} */ (event.target).closest?.("[data-open]"));
  if (!opener) return;
  try {
    if (byId("notice").textContent === LOAD_ERROR) page.showNotice("");
    if (opener.dataset.open === "shortcuts") shortcuts.show();
    if (opener.dataset.open === "code") {
      const { CodeDrawer } = await import("./components/code-drawer.js");
      codeDrawer ??= new CodeDrawer(() => {
        const view = views[currentView()];
        return view?.codeScopes ? view.codeScopes() : undefined;
      });
      codeDrawer.open(opener);
    }
  } catch {
    page.showNotice(LOAD_ERROR);
  }
});

addEventListener("popstate", async () => {
  const address = location.pathname + location.search;
  const name = viewOf(address);
  addresses[name] = address;
  await showView(name);
  if (address === location.pathname + location.search) views[name]?.onAddress?.(address);
});

// Each model has its own classes, sizes and limits, so choosing one loads its page.
const modelSelect = /** @type {HTMLSelectElement | null} */ (byId("model"));
if (modelSelect) connectModelSelect(modelSelect, byId("open-model"));

/** With the pointer a choice opens the model's page at once; with the keyboard, where each arrow key chooses, Enter or the button does. @param {HTMLSelectElement} select @param {HTMLButtonElement} button */
function connectModelSelect(select, button) {
  let byKeyboard = false;
  const open = () => {
    const view = currentView();
    const query = new URLSearchParams({ ...(view !== "draw" && { view }), model: select.value, ...page.form.portableSettings });
    location.assign(`${ROOT}/?${query}`);
  };
  select.addEventListener("pointerdown", () => {
    byKeyboard = false;
  });
  select.addEventListener("keydown", (event) => {
    byKeyboard = true;
    if (event.key !== "Enter" || button.hidden) return;
    event.preventDefault();
    open();
  });
  select.addEventListener("change", () => {
    if (!byKeyboard) return open();
    button.hidden = select.value === document.body.dataset.model;
  });
  select.form?.addEventListener("submit", (event) => {
    event.preventDefault();
    open();
  });
}

cancelButton.addEventListener("click", () => views[currentView()]?.cancel());

saveButton.addEventListener("click", () => views[currentView()]?.save?.());

const shortcuts = new Shortcuts({
  play: () => views[currentView()]?.viewer?.togglePlayback(),
  step: (offset) => views[currentView()]?.viewer?.stepBy(offset),
  draw: () => submitButton.checkVisibility() && views[currentView()]?.submit(),
  save: () => views[currentView()]?.save?.(),
  undo: () => views[currentView()]?.undo?.(),
});

const drawView = new DrawView(page);
views.draw = drawView;
document.documentElement.dataset.ready = "true";
if (currentView() === "draw") {
  // A link to a picture draws it; a reload continues the run that was shown.
  if (!drawView.openChosen() && !drawView.restore() && document.body.dataset.autostart === "true") drawView.open();
}
showView(currentView(), true);
