// @ts-check
/** Copies text; if the browser refuses (no permission, no https), shows the text selected instead. */

/**
 * @param {string} text
 * @param {HTMLElement} status    shows what happened
 * @param {HTMLTextAreaElement} fallback
 */
export async function copyText(text, status, fallback) {
  fallback.value = text;
  try {
    await navigator.clipboard.writeText(text);
    fallback.hidden = true;
    showBriefly(status, "Copied.");
  } catch {
    fallback.hidden = false;
    fallback.focus();
    fallback.select();
    showBriefly(status, "Copy the text below.");
  }
}

const SHOWN_MS = 4000;

/** The timer that will clear each element. @type {WeakMap<HTMLElement, number>} */
const timers = new WeakMap();

/** Shows a text in an element until another one replaces it. @param {HTMLElement} element @param {string} text */
export function showUntilReplaced(element, text) {
  clearTimeout(timers.get(element));
  element.textContent = text;
}

/** Shows a text in an element for a few seconds. @param {HTMLElement} element @param {string} text */
export function showBriefly(element, text) {
  clearTimeout(timers.get(element));
  element.textContent = text;
  timers.set(element, window.setTimeout(() => {
    element.textContent = "";
  }, SHOWN_MS));
}
