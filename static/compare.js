// @ts-check
/** The view that draws the same seed twice with one setting changed, both scrubbed together. */
import { address, bodies } from "./address.js";
import { field, objection } from "./fields.js";
import { model } from "./model.js";
import { Session } from "./session.js";
import { Status } from "./status.js";
import { Theater } from "./theater.js";

/** @typedef {import("./session.js").Body} Body */

/** @type {Record<string, string>} */
const NAMES = { guidance: "Guidance", temperature: "Temperature", top_k: "Top-k", top_p: "Top-p", class: "Class" };

export class CompareView {
  /** @param {import("./main.js").Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.root = /** @type {HTMLElement} */ (document.getElementById("compare"));
    this.status = new Status(this.root, () => this.submit());
    this.theater = new Theater(/** @type {HTMLElement} */ (this.root.querySelector('[data-part="theater"]')));
    this.titles = /** @type {HTMLElement[]} */ ([...this.root.querySelectorAll('[data-part="side-title"]')]);
    this.vary = /** @type {HTMLSelectElement} */ (document.getElementById("vary"));
    this.to = field("to");
    this.toClass = /** @type {HTMLSelectElement} */ (document.getElementById("to-class"));
    this.from = /** @type {HTMLElement} */ (document.getElementById("vary-from"));
    /** @type {Session | null} */
    this.session = null;
    this.vary.addEventListener("change", () => {
      this.to.value = this.#suggestion();
      this.invite();
    });
    this.invite();
  }

  get running() {
    return Boolean(this.session && !this.session.ended);
  }

  /** A link to a comparison draws it. @param {boolean} linked */
  enter(linked) {
    this.invite();
    if (linked && document.body.dataset.complete === "true") this.submit();
  }

  /** Says what stands on the left, and offers the right kind of field for the right. */
  invite() {
    const byClass = this.vary.value === "class";
    this.to.hidden = byClass;
    this.toClass.hidden = !byClass;
    this.from.textContent = `${this.#left()} →`;
    if (!this.session) this.#label();
  }

  #left() {
    return this.vary.value === "class" ? this.desk.form.chosen[0] ?? "none" : field(this.vary.value).value;
  }

  #right() {
    return this.vary.value === "class" ? this.toClass.value : this.to.value.trim();
  }

  /** A value that shows what a setting does. */
  #suggestion() {
    return { guidance: "0", temperature: "0", top_k: "8", top_p: "0.5" }[this.vary.value] ?? "";
  }

  #label() {
    const name = NAMES[this.vary.value];
    this.titles[0].textContent = `${name} ${this.#left()}`;
    this.titles[1].textContent = `${name} ${this.#right()}`;
  }

  submit() {
    if (this.running) return;
    const { form } = this.desk;
    const settings = form.read({ one: true });
    if (!settings) return;
    const vary = this.vary.value;
    const sentence = vary === "class" ? "" : objection(field(vary), this.to.value);
    if (form.show(sentence ? [["to", sentence]] : [])) return;

    const [left] = bodies(settings);
    const right = { ...left, [vary]: vary === "class" ? this.#right() : Number(this.#right()) };
    this.desk.setAddress(address("compare", settings, { vary, to: this.#right() }));
    this.desk.notice("");
    this.#label();
    this.session?.leave();
    this.session = new Session([left, /** @type {Body} */ (right)], {
      onState: (session) => session === this.session && this.#follow(session, left.seed),
      onStep: () => this.theater.advance(),
    });
    this.theater.follow(this.session.pictures);
    this.session.start(model.name);
    this.desk.bringIntoView(this.root);
  }

  cancel() {
    this.session?.cancel();
  }

  /** @param {Session} session @param {number} seed */
  #follow(session, seed) {
    this.desk.update();
    if (session.state === "completed") {
      return this.theater.player.whenSettled(() => session === this.session && this.status.say("completed", this.#verdict(session, seed)));
    }
    this.status.follow(session, "Denoising both.");
    if (session.refusal) this.desk.form.showRefusal(session.refusal.errors);
    if (session.ended) this.theater.player.whenSettled(() => {});
  }

  /** How much the two have in common. @param {Session} session @param {number} seed */
  #verdict({ pictures: [left, right] }, seed) {
    if (Math.min(left.reached, right.reached) < model.steps) return `Seed ${seed}: done, but the server didn’t show its steps.`;
    let same = 0;
    for (let step = 1; step <= model.steps; step++) {
      const other = right.frames[step].tokens.flat();
      same += left.frames[step].tokens.flat().filter((code, i) => code === other[i]).length;
    }
    return `Seed ${seed}: ${same} of ${model.steps * model.grid ** 2} tokens are the same.`;
  }
}
