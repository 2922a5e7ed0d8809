// @ts-check
/** The pictures of the Edit view that were made from one another: a tree. Choosing one goes on from it. */
import { createButton } from "./elements.js";
import { createElement, part } from "../lib/dom.js";
import { differences, gridsOf } from "../lib/grids.js";

/**
 * @typedef {import("../lib/picture.js").Picture} Picture
 *
 * @typedef {object} TreeNode
 * @property {Picture} picture
 * @property {string} label    what was done, or what the picture shows
 * @property {string} png      a data URL
 * @property {number[][][]} grids
 * @property {number} differing  the number of codes that are not those of the picture that it was made from
 * @property {TreeNode[]} children
 * @property {() => void} open  shows it, to go on from it
 */

export class EditTree {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.section = /** @type {HTMLElement} */ (part(root, "tree-section"));
    this.list = /** @type {HTMLElement} */ (part(root, "tree"));
    /** @type {TreeNode | null} */
    this.root = null;
    /** The one that is shown. @type {Picture | null} */
    this.shown = null;
  }

  /** @param {Picture} picture @returns {TreeNode | null} */
  find(picture) {
    return this.#all().find((node) => node.picture === picture) ?? null;
  }

  /** Starts a new tree unless the picture is in this one. @param {{picture: Picture, label: string, png: string, grids: number[][][]}} source @param {() => void} open */
  begin({ picture, label, png, grids }, open) {
    if (!this.find(picture)) this.root = { picture, label, png, grids, differing: 0, children: [], open };
    this.show(picture);
  }

  /** Adds a picture that was made from another. @param {Picture} from @param {Picture} picture @param {string} label @param {() => void} open */
  add(from, picture, label, open) {
    const parent = this.find(from);
    if (!parent || this.find(picture)) return;
    const grids = gridsOf(picture);
    parent.children.push({ picture, label, png: picture.png, grids, differing: differences(parent.grids, grids), children: [], open });
  }

  /** @param {Picture} picture */
  show(picture) {
    this.shown = picture;
    this.section.hidden = !this.root?.children.length;
    const focused = this.list.contains(document.activeElement);
    this.list.replaceChildren(...(this.root && !this.section.hidden ? [this.#item(this.root)] : []));
    if (focused) /** @type {HTMLElement | null} */ (this.list.querySelector("[aria-current]"))?.focus();
  }

  /** @param {TreeNode} node */
  #item(node) {
    const item = document.createElement("li");
    const button = createButton("tree-node", "", "", () => node.open());
    if (node.picture === this.shown) button.setAttribute("aria-current", "true");
    const image = new Image(56, 56);
    image.src = node.png;
    image.alt = "";
    const text = createElement("span", "tree-text");
    text.append(createElement("strong", "", node.label));
    if (node !== this.root) text.append(createElement("span", "", `${node.differing} tokens differ`));
    button.append(image, text);
    item.append(button);
    if (node.children.length) {
      const list = document.createElement("ul");
      list.append(...node.children.map((child) => this.#item(child)));
      item.append(list);
    }
    return item;
  }

  /** @returns {TreeNode[]} */
  #all() {
    /** @type {TreeNode[]} */
    const nodes = this.root ? [this.root] : [];
    for (const node of nodes) nodes.push(...node.children);
    return nodes;
  }
}
