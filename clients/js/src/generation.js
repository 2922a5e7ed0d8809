/** @import { components } from "./schema.js" */

/** A finished image. */
export class Image {
  /** @param {components["schemas"]["Image"]} json */
  constructor(json) {
    /** @readonly */
    this.index = json.index;
    /** A PNG file of the model's own size, as the source of an `<img>`. @readonly */
    this.dataUrl = `data:image/png;base64,${json.png_base64}`;
  }

  /**
   * The bytes of the PNG file.
   *
   * @returns {Uint8Array<ArrayBuffer>}
   */
  get png() {
    return Uint8Array.from(atob(this.dataUrl.slice(this.dataUrl.indexOf(",") + 1)), (character) => character.charCodeAt(0));
  }

  /** The PNG file. */
  blob() {
    return new Blob([this.png], { type: "image/png" });
  }
}

/** A generation: its settings, state, and finished images. */
export class Generation {
  /** @param {components["schemas"]["Generation"]} json */
  constructor(json) {
    /** All that the server answered. @readonly */
    this.json = json;
    /** @readonly */
    this.id = json.id;
    /** @readonly */
    this.status = json.status;
    /** @readonly */
    this.model = json.model;
    /** @readonly */
    this.class = json.class;
    /** @readonly */
    this.seed = json.seed;
    /** @readonly */
    this.count = json.count;
    /** @readonly */
    this.prompt = json.prompt ?? undefined;
    /** @readonly */
    this.style = json.style ?? undefined;
    /** Without a style: that of each image. Empty if the model has none. @readonly */
    this.styles = json.styles ?? [];
    /** Without a prompt: what each image shows. Empty if the model knows no words. @readonly */
    this.subjects = json.subjects ?? [];
    /** Words of the prompt that the model doesn't know. They have no effect. @readonly */
    this.unknownWords = json.unknown_words ?? [];
    /** @readonly */
    this.images = json.images.map((image) => new Image(image));
    /** Why it failed. @readonly */
    this.detail = json.detail ?? undefined;
  }
}
