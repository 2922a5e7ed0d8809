// @ts-check
/** Wires the page together: form → request → stream → run → player → stage. */
import { ApiError, cancelGeneration, createGeneration, listModels } from "./api.js";
import { noisePicture } from "./colors.js";
import { Player } from "./player.js";
import { Result } from "./result.js";
import { Run } from "./run.js";
import { SettingsForm } from "./settings.js";
import { Sheet } from "./sheet.js";
import { Stage } from "./stage.js";
import { Status } from "./status.js";
import { follow } from "./stream.js";
import { Timeline } from "./timeline.js";

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);

const app = byId("app");
const model = {
  name: app.dataset.model,
  title: app.dataset.title,
  steps: Number(app.dataset.steps),
  grid: Number(app.dataset.grid),
  codes: Number(app.dataset.codes),
  imageSize: Number(app.dataset.imageSize),
};

const generateButton = /** @type {HTMLButtonElement} */ (byId("generate"));
const cancelButton = /** @type {HTMLButtonElement} */ (byId("cancel"));
const stageElement = /** @type {HTMLElement} */ (byId("stage"));

let run = new Run({ count: 1, steps: model.steps });
/** The picture of the run that is on stage. */
let chosen = 0;
/**
 * A run the server is working on, or whose last steps are still being played.
 * @typedef {object} Job
 * @property {import("./settings.js").Settings} settings
 * @property {number} began          performance.now() at the request
 * @property {string} self           address of the generation; empty until it is accepted
 * @property {() => void} stop       stops following
 * @property {boolean} cancelWanted  Cancel was pressed before the address was known
 * @property {boolean} ended         the server is done
 */

/** @type {Job | null} */
let job = null;

const stage = new Stage(stageElement, model);
const status = new Status(stageElement, generate);
const result = new Result(byId("outcome"), model);
const form = new SettingsForm(byId("settings"), { onSubmit: generate, onChange: invite });
const sheet = new Sheet(byId("sheet"), choose);
const timeline = new Timeline(stageElement, {
  steps: model.steps,
  maxBits: Math.log2(model.codes),
  onSeek: (step) => player.seek(step),
  onToggle: () => player.toggle(),
});
const player = new Player({
  steps: model.steps,
  reached: () => run.reached(chosen),
  show: showStep,
  changed: (playing) => timeline.setPlaying(playing),
});

/** @param {number} step */
function showStep(step) {
  const frame = run.frame(chosen, step);
  if (frame) stage.showFrame(frame, step);
  else if (step === 0) stage.showNoise(job?.settings.seed ?? 7);
  sheet.show((index) => run.latest(index, step)?.clean);
  showTimeline();
  status.progress(step ? progress(step) : "");
}

function showTimeline() {
  timeline.show(player.step, run.reached(chosen), (step) => run.meanEntropy(chosen, step));
}

/** @param {number} step */
function progress(step) {
  const finished = run.finished();
  const done = run.count > 1 && finished > 0 && finished < run.count ? `, ${finished} of ${run.count} finished` : "";
  return `Step ${step} of ${model.steps}${done}`;
}

/** Puts another picture of the run on stage. @param {number} index */
function choose(index) {
  chosen = index;
  result.choose(index);
  const step = Math.min(player.step, run.reached(index));
  player.step = step;
  showStep(step);
  player.advance();
}

/** While nothing has been drawn: what would happen. */
function invite() {
  if (status.state !== "idle") return;
  status.say("idle", form.className ? `Next: ${form.className}. Press Generate.` : "Choose a class, then press Generate.");
}

/** @param {boolean} running */
function setRunning(running) {
  // aria-disabled, not disabled: the button keeps the focus.
  generateButton.setAttribute("aria-disabled", String(running));
  generateButton.textContent = running ? "Generating…" : "Generate";
  if (!running && document.activeElement === cancelButton) generateButton.focus();
  cancelButton.hidden = !running;
  cancelButton.disabled = false;
  cancelButton.textContent = "Cancel";
}

async function generate() {
  if (job) return;
  const settings = form.read();
  if (!settings) return;
  notice("");
  /** @type {Job} */
  const current = { settings, began: performance.now(), self: "", stop: () => {}, cancelWanted: false, ended: false };
  job = current;
  run = new Run({ count: settings.count, steps: model.steps });
  chosen = 0;
  document.documentElement.dataset.stepsSeen = "0";
  sheet.reset(settings.count, model.imageSize, noisePicture(model.imageSize, settings.seed, 0.06));
  result.pending(settings);
  form.writeAddress(settings);
  setRunning(true);
  status.say("queued", "Asking the server…");
  player.follow();
  bringIntoView();

  try {
    const accepted = await createGeneration({ ...settings, model: model.name });
    current.self = accepted.links.self;
    status.say("queued", "Queued.");
    current.stop = follow(accepted.links, handlers(current));
    if (current.cancelWanted) await cancel();
  } catch (error) {
    refuse(current, error);
  }
}

/** @param {Job} current @returns {import("./stream.js").Handlers} */
function handlers(current) {
  const name = current.settings.class;
  const many = current.settings.count > 1 ? `${current.settings.count} pictures of ${name}` : name;
  const running = `Denoising ${many}.`;
  let before = "";
  return {
    queued({ position }) {
      status.say("queued", position > 1 ? `In the queue, at position ${position}.` : "Next in the queue.");
    },
    started() {
      status.say("running", running);
    },
    step(event) {
      run.add(event);
      const seen = Number(document.documentElement.dataset.stepsSeen) + 1;
      document.documentElement.dataset.stepsSeen = String(seen);
      if (status.state !== "running") status.say("running", running);
      player.advance();
      sheet.show((index) => run.latest(index, player.step)?.clean);
      showTimeline();
    },
    completed(generation) {
      current.ended = true;
      const seconds = (performance.now() - current.began) / 1000;
      cancelButton.hidden = true;
      player.whenSettled(() => {
        if (job !== current) return;
        end();
        result.show(generation, current.settings, chosen);
        status.say("completed", `Done in ${seconds.toFixed(1)} s: ${many}, seed ${current.settings.seed}.`);
      });
    },
    failed({ detail }) {
      end();
      result.nothing("No picture this time.");
      status.fail(detail || "The run failed, and the server didn't say why.");
    },
    canceled() {
      end();
      result.nothing("Canceled before it was finished.");
      status.say("canceled", "Canceled. Press Generate for another.");
    },
    lost() {
      before = before || status.text.textContent || "";
      status.say(status.state, "The connection dropped. Trying again…");
    },
    restored() {
      status.say(status.state, before || running);
      before = "";
    },
  };
}

/** The run is over, one way or another. */
function end() {
  job?.stop();
  job = null;
  // Whatever has arrived is still played to its end.
  player.whenSettled(() => {});
  setRunning(false);
}

/** The request itself was refused. @param {Job} current @param {unknown} error */
function refuse(current, error) {
  if (job !== current) return;
  end();
  result.nothing("No picture this time.");
  const { message, errors, retryAfter } = error instanceof ApiError ? error : new ApiError(String(error));
  const unplaced = form.showErrors(errors);
  const more = unplaced.map(({ field, allowed }) => ` ${field}: allowed ${Array.isArray(allowed) ? allowed.join(", ") : allowed}.`);
  status.fail(message + more.join(""), retryAfter);
}

async function cancel() {
  if (!job || job.ended) return;
  cancelButton.disabled = true;
  cancelButton.textContent = "Canceling…";
  // Not accepted yet: generate() cancels as soon as it knows the address.
  if (!job.self) {
    job.cancelWanted = true;
    return;
  }
  const current = job;
  try {
    await cancelGeneration(job.self);
  } catch (error) {
    if (job !== current) return;
    cancelButton.disabled = false;
    cancelButton.textContent = "Cancel";
    status.say(status.state, `It couldn't be canceled: ${error instanceof Error ? error.message : error}`);
  }
}

/** On a phone the form fills the screen: show where it happens. */
function bringIntoView() {
  const { top } = stageElement.getBoundingClientRect();
  if (top >= 0 && top < innerHeight * 0.5) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (top > 0) stageElement.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
}

/** @param {string} text */
function notice(text) {
  const place = byId("notice");
  place.textContent = text;
  place.hidden = !text;
}

cancelButton.addEventListener("click", cancel);
document.documentElement.dataset.stepsSeen = "0";
const { restored, problems } = form.readAddress();
if (problems.length) notice(problems.join(" "));
showStep(0);
if (restored && !problems.length) {
  status.say("idle", "Settings taken from the link. Press Generate for its picture.");
} else {
  invite();
}

listModels()
  .then((models) => stage.setColors(models.find(({ name }) => name === model.name)?.codebook?.colors ?? []))
  .catch((/** @type {Error} */ error) => notice(`The colours of the codes couldn't be loaded. ${error.message}`));
