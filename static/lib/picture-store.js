// @ts-check
/**
 * Finished pictures, kept in this browser's IndexedDB: what made them, and all of their steps. If the browser has no
 * IndexedDB, or it is full or broken, they are kept in memory until the page is closed.
 */

/**
 * @typedef {import("./settings.js").Settings} Settings
 * @typedef {import("./api.js").GenerationRequest} GenerationRequest
 *
 * @typedef {object} StoredPicture
 * @property {string} id          of its run and index
 * @property {string} run         address of the run, without the picture that it picks
 * @property {number} index       among the pictures of the run
 * @property {number} number      among the pictures of its request
 * @property {string} model
 * @property {string} label       the class, or the prompt
 * @property {string} [subject]   what it shows, if the label doesn't say it
 * @property {string} [style]     of the drawing
 * @property {number} seed
 * @property {GenerationRequest} request
 * @property {Settings} settings  of the run
 * @property {string} png         a data URL
 * @property {number} time        in ms since 1970
 * @property {boolean} starred
 * @property {number} size        of the record and its steps, in characters
 *
 * @typedef {{tokens: number[][], entropy?: number[][], probability?: number[][], noisy: string, clean: string}} StoredStep  previews are data URLs
 * @typedef {{picture: StoredPicture, steps: StoredStep[]}} Entry  steps from the first one on
 *
 * @typedef {object} Backend
 * @property {() => Promise<unknown[]>} all
 * @property {(id: string) => Promise<unknown>} steps
 * @property {(entries: Entry[]) => Promise<void>} put
 * @property {(picture: StoredPicture) => Promise<void>} update
 * @property {(ids: string[]) => Promise<void>} remove
 */

const DATABASE = "rdpm";
const PICTURES = "pictures";
const STEPS = "steps";
const MAX_PICTURES = 500;
/** All pictures together. A sheet of 16 large pictures has about 4 million characters. */
const MAX_SIZE = 60_000_000;
const UNAVAILABLE = "This browser’s storage is full or can’t be used. New pictures are kept until the page is closed.";

/** Tells other tabs that pictures were added, changed or removed. */
const channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("rdpm.pictures");

class MemoryBackend {
  constructor() {
    /** @type {Map<string, Entry>} */
    this.entries = new Map();
  }

  async all() {
    return [...this.entries.values()].map(({ picture }) => picture);
  }

  /** @param {string} id */
  async steps(id) {
    return this.entries.get(id)?.steps;
  }

  /** @param {Entry[]} entries */
  async put(entries) {
    for (const entry of entries) this.entries.set(entry.picture.id, entry);
  }

  /** @param {StoredPicture} picture */
  async update(picture) {
    const entry = this.entries.get(picture.id);
    if (entry) entry.picture = picture;
  }

  /** @param {string[]} ids */
  async remove(ids) {
    for (const id of ids) this.entries.delete(id);
  }
}

class DatabaseBackend {
  /** @param {IDBDatabase} database */
  constructor(database) {
    this.database = database;
  }

  all() {
    return promise(this.database.transaction(PICTURES).objectStore(PICTURES).getAll());
  }

  /** @param {string} id */
  steps(id) {
    return promise(this.database.transaction(STEPS).objectStore(STEPS).get(id));
  }

  /** @param {Entry[]} entries */
  put(entries) {
    return this.#write([PICTURES, STEPS], (pictures, steps) => {
      for (const entry of entries) {
        pictures.put(entry.picture, entry.picture.id);
        steps.put(entry.steps, entry.picture.id);
      }
    });
  }

  /** @param {StoredPicture} picture */
  update(picture) {
    return this.#write([PICTURES], (pictures) => pictures.put(picture, picture.id));
  }

  /** @param {string[]} ids */
  remove(ids) {
    return this.#write([PICTURES, STEPS], (pictures, steps) => {
      for (const id of ids) {
        pictures.delete(id);
        steps.delete(id);
      }
    });
  }

  /** @param {string[]} names @param {(...stores: IDBObjectStore[]) => void} change @returns {Promise<void>} */
  #write(names, change) {
    return new Promise((resolve, reject) => {
      const transaction = this.database.transaction(names, "readwrite");
      transaction.oncomplete = () => resolve();
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
      change(...names.map((name) => transaction.objectStore(name)));
    });
  }
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function promise(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @returns {Promise<Backend>} */
async function openDatabase() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => {
    for (const name of [PICTURES, STEPS]) {
      if (!request.result.objectStoreNames.contains(name)) request.result.createObjectStore(name);
    }
  };
  const database = await promise(request);
  // A newer page in another tab needs another version.
  database.onversionchange = () => database.close();
  if (![PICTURES, STEPS].every((name) => database.objectStoreNames.contains(name))) throw new Error("not this page’s database");
  return new DatabaseBackend(database);
}

export class PictureStore {
  constructor() {
    /** Says that pictures are in memory only; "" while the storage works. */
    this.problem = "";
    /** @type {Promise<Backend> | undefined} */
    this.backend = undefined;
  }

  /** The valid pictures, the newest first. @returns {Promise<StoredPicture[]>} */
  async list() {
    const pictures = await this.#use((backend) => backend.all());
    return pictures.filter(isStoredPicture).sort((a, b) => b.time - a.time || a.index - b.index);
  }

  /** The pictures of a run with their steps. @param {string} run @returns {Promise<Entry[]>} */
  async run(run) {
    const pictures = (await this.list()).filter((picture) => picture.run === run).sort((a, b) => a.index - b.index);
    return this.entries(pictures);
  }

  /** Pictures with their steps; those whose steps are missing are left out. @param {StoredPicture[]} pictures @returns {Promise<Entry[]>} */
  async entries(pictures) {
    const entries = await Promise.all(pictures.map(async (picture) => ({ picture, steps: await this.#use((backend) => backend.steps(picture.id)) })));
    return entries.filter(isEntry);
  }

  /** Adds pictures and makes room for them. @param {Entry[]} entries */
  async add(entries) {
    await this.#use((backend) => backend.put(entries));
    const added = new Set(entries.map(({ picture }) => picture.id));
    let [count, size] = [0, 0];
    /** @type {string[]} */
    const surplus = [];
    for (const picture of await this.list()) {
      count += 1;
      size += picture.size;
      if ((count > MAX_PICTURES || size > MAX_SIZE) && !picture.starred && !added.has(picture.id)) surplus.push(picture.id);
    }
    if (surplus.length) await this.#use((backend) => backend.remove(surplus));
    channel?.postMessage("changed");
  }

  /** @param {StoredPicture} picture */
  async update(picture) {
    await this.#use((backend) => backend.update(picture));
    channel?.postMessage("changed");
  }

  /** @param {StoredPicture[]} pictures @returns {Promise<Entry[]>} what `add` needs to undo this */
  async remove(pictures) {
    const entries = await this.entries(pictures);
    await this.#use((backend) => backend.remove(pictures.map(({ id }) => id)));
    channel?.postMessage("changed");
    return entries;
  }

  /** Uses the database; from its first failure on, memory. @template T @param {(backend: Backend) => Promise<T>} action @returns {Promise<T>} */
  async #use(action) {
    this.backend ??= openDatabase();
    try {
      return await action(await this.backend);
    } catch {
      if (!this.problem) {
        const memory = new MemoryBackend();
        const failed = this.backend;
        this.problem = UNAVAILABLE;
        this.backend = Promise.resolve(memory);
        // What can still be read stays visible.
        await failed.then(async (backend) => {
          for (const picture of (await backend.all()).filter(isStoredPicture)) {
            const entry = { picture, steps: await backend.steps(picture.id) };
            if (isEntry(entry)) await memory.put([entry]);
          }
        }).catch(() => {});
      }
      return action(await this.backend);
    }
  }
}

/** The pictures of this browser. */
export const pictureStore = new PictureStore();

/** In characters. An address holds a prompt with up to nine characters for each of it. */
const MAX_PROMPT = 2000;
const MAX_ADDRESS = 4000 + 9 * MAX_PROMPT;
const MAX_LABEL = 80;

const PNG = /^data:image\/png;base64,[A-Za-z0-9+/]+=*$/;

/** @param {any} value @param {number} length */
const isShortText = (value, length) => typeof value === "string" && value.length <= length;

/** @param {any} settings @returns {settings is Settings} */
const isSettings = (settings) =>
  Array.isArray(settings?.classes) && settings.classes.every((/** @type {any} */ name) => isShortText(name, 80))
  && Array.isArray(settings.seeds) && settings.seeds.every(Number.isSafeInteger)
  && Number.isInteger(settings.count) && typeof settings.options === "object" && settings.options !== null
  && Object.values(settings.options).every(Number.isFinite)
  && isShortText(settings.prompt ?? "", MAX_PROMPT)
  && (settings.styles === undefined || (Array.isArray(settings.styles) && settings.styles.every((/** @type {any} */ name) => isShortText(name, 80))));

/** @param {any} request */
const isRequest = (request) =>
  typeof (request?.class ?? request?.prompt) === "string"
  && isShortText(request.class ?? "", 80) && isShortText(request.prompt ?? "", MAX_PROMPT) && isShortText(request.style ?? "", 80);

/** @param {any} picture @returns {picture is StoredPicture} */
export const isStoredPicture = (picture) =>
  typeof picture === "object" && picture !== null
  && isShortText(picture.id, MAX_ADDRESS) && isShortText(picture.run, MAX_ADDRESS) && /^\/\?[\w%&=.,+~*-]*$/.test(picture.run)
  && isShortText(picture.model, 80) && isShortText(picture.label, MAX_LABEL)
  && isShortText(picture.subject ?? "", MAX_LABEL) && isShortText(picture.style ?? "", 80)
  && [picture.index, picture.number, picture.seed, picture.time, picture.size].every((number) => Number.isSafeInteger(number) && number >= 0)
  && isRequest(picture.request) && Number.isInteger(picture.request.count) && Number.isSafeInteger(picture.request.seed)
  && isSettings(picture.settings) && typeof picture.starred === "boolean"
  && typeof picture.png === "string" && PNG.test(picture.png);

/** @param {any} grid */
const isGrid = (grid) => Array.isArray(grid) && grid.every((row) => Array.isArray(row) && row.every(Number.isFinite));

/** @param {any} step @returns {step is StoredStep} */
const isStep = (step) =>
  isGrid(step?.tokens) && [step.entropy, step.probability].every((grid) => grid === undefined || isGrid(grid))
  && [step.noisy, step.clean].every((image) => typeof image === "string" && PNG.test(image));

/** @param {any} entry @returns {entry is Entry} */
export const isEntry = (entry) =>
  isStoredPicture(entry?.picture) && Array.isArray(entry.steps) && entry.steps.length > 0 && entry.steps.every(isStep);

/** @param {string} text */
const shorten = (text) => (text.length > MAX_LABEL ? `${text.slice(0, MAX_LABEL - 1)}…` : text);

/** What is kept of a run whose pictures are finished. @param {import("./run.js").Run} run @param {string} address without the picture that it picks @param {string} modelName @param {Settings | Settings[]} settings of the run, or of each picture @returns {Entry[]} */
export function toEntries(run, address, modelName, settings) {
  const time = Date.now();
  return run.pictures.flatMap((picture, index) => {
    const { subject, style, seed, png } = picture;
    const label = shorten(picture.label);
    // The first steps of a variation may be missing.
    const steps = picture.steps.slice(picture.firstStep, picture.lastStep + 1).map(({ tokens, entropy, probability, sources }) => ({ tokens, entropy, probability, ...sources }));
    if (!png || !steps.every(({ clean }) => clean)) return [];
    const { request } = run.jobOf(index);
    const size = png.length + (request.image?.length ?? 0) + steps.reduce((sum, { noisy = "", clean = "", tokens }) => sum + noisy.length + clean.length + 40 * tokens.length ** 2, 0);
    const entry = {
      picture: {
        id: `${address}#${index}`, run: address, index, number: run.indexInJob(index), model: modelName, label, seed,
        ...(picture.style && { subject: shorten(subject), style }),
        request, settings: Array.isArray(settings) ? settings[index] : settings, png, time, starred: false, size,
      },
      steps,
    };
    return isEntry(entry) ? [entry] : [];
  });
}
