// @ts-check
/** The pictures of the server's gallery, by position: pages are loaded where they are looked at, and the farthest are dropped. */
import { countPictures, listPictures } from "./server-gallery.js";

/**
 * @typedef {import("./server-gallery.js").ServerPicture} ServerPicture
 * @typedef {import("./server-gallery.js").GalleryFilter} GalleryFilter
 * @typedef {{pictures: ServerPicture[], isStale: boolean}} Page
 */

const PAGE_SIZE = 100;
const MAX_PAGES = 50;
const MAX_REQUESTS = 2;

/** @param {number} position */
const pageOf = (position) => Math.floor(position / PAGE_SIZE);

export class PicturePages {
  /** @param {() => void} onChange pictures have arrived, or an error */
  constructor(onChange) {
    this.onChange = onChange;
    /** @type {GalleryFilter} */
    this.filter = {};
    /** Pictures that match the filter, as far as it is known. */
    this.count = 0;
    /** Whether the number is known. */
    this.isCounted = false;
    /** Why the last request failed; nothing more is requested then. @type {Error | null} */
    this.error = null;
    /** @type {import("./server-gallery.js").GallerySummary["groups"]} by model, class and style; without a filter */
    this.groups = [];
    /** @type {Map<number, Page>} by number; the one that was used last is the last */
    this.pages = new Map();
    /** Where a page begins, by its number. @type {Map<number, string>} */
    this.cursors = new Map();
    /** Numbers of the pages that are looked at. @type {number[]} */
    this.wanted = [];
    /** Numbers of the pages that are being loaded. @type {Set<number>} */
    this.loading = new Set();
  }

  /** Whether nothing is known yet. */
  get isEmpty() {
    return !this.pages.size;
  }

  /** The picture at a position, if it is loaded. @param {number} position @returns {ServerPicture | undefined} */
  at(position) {
    return this.pages.get(pageOf(position))?.pictures[position % PAGE_SIZE];
  }

  /** Shows what matches a filter. @param {GalleryFilter} filter */
  open(filter) {
    this.filter = filter;
    this.pages.clear();
    this.count = 0;
    this.isCounted = false;
    this.wanted = [0];
    this.refresh();
  }

  /** Loads everything that is looked at again; until it arrives, what is known stays. */
  refresh() {
    this.error = null;
    this.cursors.clear();
    // Answers to earlier requests are ignored.
    this.loading = new Set();
    for (const page of this.pages.values()) page.isStale = true;
    this.#loadWanted();
    this.#countPictures();
  }

  /** Says which pictures are looked at. @param {number} first @param {number} last */
  want(first, last) {
    const [from, to] = [pageOf(first), pageOf(Math.max(first, last))];
    const pages = Array.from({ length: to - from + 1 }, (_, i) => from + i);
    // Those after and before are looked at next.
    this.wanted = [...pages, to + 1, from - 1].filter((page) => page >= 0 && (page === 0 || page * PAGE_SIZE < this.count));
    this.#loadWanted();
  }

  /** The pictures of a range, all of them loaded. @param {number} first @param {number} last @returns {Promise<ServerPicture[]>} */
  async range(first, last) {
    const { loading } = this;
    for (let page = pageOf(first); page <= pageOf(last); page++) {
      if (this.pages.get(page)?.isStale === false || this.loading !== loading || this.error) continue;
      await this.#load(page);
    }
    const pictures = Array.from({ length: last - first + 1 }, (_, i) => this.at(first + i));
    return pictures.filter((picture) => picture !== undefined);
  }

  /** Shows a picture that has changed. @param {ServerPicture} before @param {ServerPicture} after */
  replace(before, after) {
    for (const { pictures } of this.pages.values()) {
      const position = pictures.indexOf(before);
      if (position >= 0) pictures[position] = after;
    }
  }

  #loadWanted() {
    if (this.error) return;
    for (const page of this.wanted) {
      if (this.loading.size >= MAX_REQUESTS) return;
      if (!this.loading.has(page) && this.pages.get(page)?.isStale !== false) this.#load(page);
    }
  }

  /** @param {number} page */
  async #load(page) {
    const { loading } = this;
    loading.add(page);
    const start = Math.max(0, ...[...this.cursors.keys()].filter((known) => known <= page));
    try {
      const range = { cursor: this.cursors.get(start), skip: (page - start) * PAGE_SIZE, limit: PAGE_SIZE };
      const { pictures, next } = await listPictures(this.filter, range);
      if (loading !== this.loading) return;
      this.pages.delete(page);
      this.pages.set(page, { pictures, isStale: false });
      if (this.pages.size > MAX_PAGES) this.pages.delete(this.pages.keys().next().value ?? 0);
      if (next) this.cursors.set(page + 1, next);
      const end = page * PAGE_SIZE + pictures.length;
      if (!next && (pictures.length || page === 0)) this.#setCount(end);
      else if (!this.isCounted) this.count = Math.max(this.count, end + (next ? 1 : 0));
    } catch (error) {
      if (loading !== this.loading) return;
      this.error = /** @type {Error} */ (error);
    } finally {
      loading.delete(page);
    }
    this.onChange();
    this.#loadWanted();
  }

  async #countPictures() {
    const { filter, loading } = this;
    try {
      const { pictures, groups } = await countPictures(filter);
      if (loading !== this.loading) return;
      if (!Object.keys(filter).length) this.groups = groups;
      this.#setCount(pictures);
    } catch (error) {
      if (loading !== this.loading) return;
      this.error = /** @type {Error} */ (error);
    }
    this.onChange();
  }

  /** @param {number} count */
  #setCount(count) {
    this.count = count;
    this.isCounted = true;
    for (const page of this.pages.keys()) if (page > 0 && page * PAGE_SIZE >= count) this.pages.delete(page);
  }
}
