// @ts-check
/** Menus made of `details` elements: one is open at a time; Escape and a click elsewhere close it. */

/** @param {HTMLElement} root */
export function connectMenus(root) {
  const menus = [...root.querySelectorAll("details")];
  for (const menu of menus) {
    menu.addEventListener("toggle", () => menu.open && menus.forEach((other) => other === menu || (other.open = false)));
    menu.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && menu.open) closeMenu(menu);
    });
  }
  document.addEventListener("pointerdown", (event) => {
    for (const menu of menus) if (!menu.contains(/** @type {Node} */ (event.target))) menu.open = false;
  });
}

/** Closes a menu and returns the focus to its button. @param {HTMLDetailsElement} menu */
export function closeMenu(menu) {
  menu.open = false;
  menu.querySelector("summary")?.focus();
}
