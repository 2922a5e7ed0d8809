// @ts-check
/** The page: connects the views with the settings form, the buttons and the address. */
import { SettingsForm } from "./components/settings-form.js";
import { viewAddress } from "./lib/address.js";
import { byId } from "./lib/dom.js";
import { DrawView } from "./views/draw.js";

/** @typedef {import("./views/view.js").View} View */

const submitButton = /** @type {HTMLButtonElement} */ (byId("submit"));
const cancelButton = /** @type {HTMLButtonElement} */ (byId("cancel"));

/** @type {Record<string, View>} */
const views = {};
/** The other views are loaded when they are first shown. @type {Record<string, () => Promise<View>>} */
const loaders = {
  compare: async () => new (await import("./views/compare.js")).CompareView(page),
  tokenize: async () => new (await import("./views/tokenize.js")).TokenizeView(page),
  how: async () => new (await import("./views/how.js")).HowView(page),
};

/** Scrolling leaves this free above an element: `scroll-padding` in the style sheet. */
const SCROLL_MARGIN = 16;

const LOAD_ERROR = "This view couldn’t be loaded. Check that the server is running, then choose it again.";

const currentView = () => document.body.dataset.view ?? "draw";

/** The last address of each view. @type {Record<string, string>} */
const addresses = { [currentView()]: location.pathname + location.search };

/** @type {import("./views/view.js").Page} */
const page = {
  form: new SettingsForm({
    onSubmit: () => views[currentView()]?.submit(),
    onChange: () => views[currentView()]?.onFormChange?.(),
  }),
  updateButtons() {
    const running = Boolean(views[currentView()]?.running);
    // A disabled button would lose the focus.
    submitButton.setAttribute("aria-disabled", String(running));
    if (!running && document.activeElement === cancelButton) submitButton.focus();
    cancelButton.hidden = !running;
  },
  setAddress(address) {
    addresses[currentView()] = address;
    history.replaceState(null, "", address);
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

addEventListener("popstate", () => {
  const name = new URLSearchParams(location.search).get("view") ?? "draw";
  if (name === "draw" || name in loaders) showView(name);
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
    location.assign(`/?${query}`);
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

const drawView = new DrawView(page);
views.draw = drawView;
document.documentElement.dataset.ready = "true";
if (currentView() === "draw") {
  // A link to a picture draws it; a reload continues the run that was shown.
  if (!drawView.restore() && document.body.dataset.autostart === "true") drawView.open();
}
showView(currentView(), true);
