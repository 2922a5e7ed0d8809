// @ts-check
/** The contact sheet: all pictures of a run, denoising together; choosing one puts it on stage. */

export class Sheet {
  /** @param {HTMLElement} root @param {(index: number) => void} onChoose */
  constructor(root, onChoose) {
    this.root = root;
    /** @type {HTMLImageElement[]} */
    this.images = [];
    root.addEventListener("change", (event) => {
      const input = /** @type {HTMLInputElement} */ (event.target);
      onChoose(Number(input.value));
    });
  }

  /** @param {number} count @param {number} size pixels of a picture @param {string} blank image URL */
  reset(count, size, blank) {
    this.root.hidden = count < 2;
    this.images = [];
    this.root.replaceChildren();
    if (count < 2) return;
    this.root.style.setProperty("--columns", String(Math.ceil(Math.sqrt(count))));
    for (let index = 0; index < count; index++) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      input.type = "radio";
      input.name = "on-stage";
      input.value = String(index);
      input.checked = index === 0;
      input.setAttribute("aria-label", `Picture ${index + 1}`);
      const image = new Image(size, size);
      image.alt = "";
      image.decoding = "sync";
      image.src = blank;
      label.append(input, image);
      this.root.append(label);
      this.images.push(image);
    }
  }

  /** @param {(index: number) => string | undefined} source image URL of each picture at the step on show */
  show(source) {
    this.images.forEach((image, index) => {
      const src = source(index);
      if (src && image.src !== src) image.src = src;
    });
  }
}
