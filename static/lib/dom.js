// @ts-check
/** Short ways to find and make elements. Components find their elements by `data-part`, so that a view can hold several. */

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/** The element that plays a part in a component. @param {ParentNode} root @param {string} name @returns {any} */
export const part = (root, name) => root.querySelector(`[data-part="${name}"]`);

/** All elements that play the same part. @param {ParentNode} root @param {string} name @returns {any[]} */
export const parts = (root, name) => [...root.querySelectorAll(`[data-part="${name}"]`)];

/** @param {string} tag @param {string} [className] @param {string} [text] */
export function createElement(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

/** Loads a style sheet of `static/styles/`. @param {string} name @returns {Promise<void>} */
export function loadStyle(name) {
  const sheet = document.createElement("link");
  sheet.rel = "stylesheet";
  sheet.href = new URL(`../styles/${name}.css`, import.meta.url).href;
  return new Promise((resolve, reject) => {
    sheet.onload = () => resolve();
    sheet.onerror = reject;
    document.head.append(sheet);
  });
}
