// @ts-check
/** Copies text; where the browser won't (no permission, no https), shows it selected instead. */

/**
 * @param {string} text
 * @param {HTMLElement} place says what happened
 * @param {HTMLTextAreaElement} fallback
 */
export async function copy(text, place, fallback) {
  fallback.value = text;
  try {
    await navigator.clipboard.writeText(text);
    fallback.hidden = true;
    say(place, "Copied.");
  } catch {
    fallback.hidden = false;
    fallback.focus();
    fallback.select();
    say(place, "Copy it from below.");
  }
}

/** Of each place, what will clear it. @type {WeakMap<HTMLElement, number>} */
const timers = new WeakMap();

/** Says it for four seconds. @param {HTMLElement} place @param {string} text */
export function say(place, text) {
  clearTimeout(timers.get(place));
  place.textContent = text;
  timers.set(place, window.setTimeout(() => {
    place.textContent = "";
  }, 4000));
}
