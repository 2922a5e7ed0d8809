// @ts-check
/** Copies text; where the browser won't (no permission, no https), shows it selected instead. */

/**
 * @param {HTMLButtonElement} button says what happened
 * @param {HTMLTextAreaElement} fallback
 * @param {string} text
 */
export async function copy(button, fallback, text) {
  fallback.value = text;
  try {
    await navigator.clipboard.writeText(text);
    fallback.hidden = true;
    say(button, "Copied");
  } catch {
    fallback.hidden = false;
    fallback.focus();
    fallback.select();
    say(button, "Copy it below");
  }
}

/** @param {HTMLButtonElement} button @param {string} text */
function say(button, text) {
  button.dataset.label ??= button.textContent ?? "";
  button.textContent = text;
  setTimeout(() => {
    button.textContent = button.dataset.label ?? "";
  }, 1800);
}
