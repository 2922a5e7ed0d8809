// @ts-check
/** Requests for the pictures that the server keeps. */
import { asPost, request, ROOT, send } from "./api.js";

/**
 * @typedef {object} ServerPicture
 * @property {string} generation  its id
 * @property {number} index       in its generation
 * @property {string} model
 * @property {string} class
 * @property {string} [style]
 * @property {string} [words]     the prompt, or what it shows
 * @property {number} seed
 * @property {string} created     RFC 3339
 * @property {boolean} favourite
 * @property {string} url         of its PNG file
 *
 * @typedef {Partial<Record<"model" | "class" | "style" | "search" | "favourite" | "after" | "before", string>>} GalleryFilter
 * @typedef {{pictures: number, groups: {model: string, class: string, style?: string, pictures: number}[]}} GallerySummary
 */

const GALLERY = `${ROOT}/api/v1/gallery`;
/** Changes that are sent at once. */
const CONCURRENCY = 4;

/** The address of a picture. @param {ServerPicture} picture */
const addressOf = ({ generation, index }) => `${GALLERY}/${generation}/${index}`;

/** Tells pictures apart. @param {ServerPicture} picture */
export const idOf = ({ generation, index }) => `${generation}/${index}`;

/**
 * A page of the gallery, the newest picture first.
 * @param {GalleryFilter} filter
 * @param {{cursor?: string, skip: number, limit: number}} range `skip`: pictures to leave out after the cursor
 * @returns {Promise<{pictures: ServerPicture[], next?: string}>}
 */
export function listPictures(filter, { cursor, skip, limit }) {
  const query = new URLSearchParams({ ...filter, ...(cursor && { cursor }), ...(skip && { skip: String(skip) }), limit: String(limit) });
  return send(`${GALLERY}?${query}`);
}

/** How many pictures there are, by model, class and style. @param {GalleryFilter} filter @returns {Promise<GallerySummary>} */
export const countPictures = (filter) => send(`${GALLERY}/summary?${new URLSearchParams(filter)}`);

/** @param {ServerPicture} picture @param {boolean} favourite */
export const setFavourite = (picture, favourite) => send(`${addressOf(picture)}/favourite`, { method: favourite ? "PUT" : "DELETE" });

/** @param {ServerPicture} picture @returns {Promise<{undo_until: string}>} */
export const deletePicture = (picture) => send(addressOf(picture), { method: "DELETE" });

/** @param {ServerPicture} picture */
export const restorePicture = (picture) => send(`${addressOf(picture)}/restore`, { method: "POST" });

/** A ZIP file of pictures. @param {ServerPicture[]} pictures @returns {Promise<Blob>} */
export async function downloadPictures(pictures) {
  const response = await request(`${GALLERY}/download`, asPost({ pictures: pictures.map(({ generation, index }) => ({ generation, index })) }));
  return response.blob();
}

/** Changes pictures, several at once. @template T @param {ServerPicture[]} pictures @param {(picture: ServerPicture) => Promise<T>} change @returns {Promise<{changed: ServerPicture[], answers: T[], error?: Error}>} the changed ones, and the first error */
export async function changePictures(pictures, change) {
  /** @type {{changed: ServerPicture[], answers: T[], error?: Error}} */
  const result = { changed: [], answers: [] };
  const waiting = pictures.values();
  const work = async () => {
    for (const picture of waiting) {
      try {
        result.answers.push(await change(picture));
        result.changed.push(picture);
      } catch (error) {
        result.error ??= /** @type {Error} */ (error);
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return result;
}
