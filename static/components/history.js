// @ts-check
/** The list of pictures drawn earlier in this browser. */
import { isForThisModel } from "../lib/address.js";
import { createElement, part } from "../lib/dom.js";
import { addToHistory, clearHistory, onHistoryChange, readHistory } from "../lib/history-store.js";

export class History {
  /** @param {HTMLElement} root @param {(address: string) => void} onChoose */
  constructor(root, onChoose) {
    this.list = /** @type {HTMLElement} */ (part(root, "history-list"));
    this.empty = /** @type {HTMLElement} */ (part(root, "history-empty"));
    this.clear = /** @type {HTMLButtonElement} */ (part(root, "clear-history"));
    this.clear.addEventListener("click", () => {
      clearHistory();
      this.show();
      this.empty.textContent = "History deleted.";
    });
    this.list.addEventListener("click", (event) => {
      const link = /** @type {HTMLElement} */ (event.target).closest("a");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      const address = link.getAttribute("href") ?? "/";
      // A picture of another model opens that model's page: follow the link.
      if (!isForThisModel(address)) return;
      event.preventDefault();
      onChoose(address);
    });
    onHistoryChange(() => this.show());
    this.show();
  }

  /** @param {Omit<import("../lib/history-store.js").Entry, "time">} picture */
  add(picture) {
    addToHistory(picture);
    this.show();
  }

  show() {
    const entries = readHistory();
    this.empty.hidden = entries.length > 0;
    this.clear.hidden = entries.length === 0;
    this.list.replaceChildren(...entries.map(({ address, label, seed, thumbnail }) => {
      const link = document.createElement("a");
      link.href = address;
      link.title = `${label}, seed ${seed}`;
      const image = new Image(64, 64);
      image.src = thumbnail;
      image.alt = "";
      link.append(image, createElement("span", "", label), createElement("span", "", String(seed)));
      const item = document.createElement("li");
      item.append(link);
      return item;
    }));
  }
}
