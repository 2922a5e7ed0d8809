// Our JavaScript client, `clients/js`, in Node against the server at RDPM_SERVER; and against one that breaks, where that
// matters. test_rdpm_js.py runs it.

import assert from "node:assert/strict";
import test from "node:test";

import { Client, GenerationError, ProblemError, RequestError } from "../../clients/js/src/index.js";
import { Parser } from "../../clients/js/src/sse.js";

const baseUrl = process.env.RDPM_SERVER;
const client = new Client({ baseUrl });
const PNG = [0x89, 0x50, 0x4e, 0x47];

async function collect(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}

test("generate", async () => {
  const settings = { prompt: "red heart", model: "emoji", style: "noto", seed: 7 };
  const generation = await client.generate(settings);
  assert.equal(generation.status, "completed");
  assert.deepEqual([generation.model, generation.class, generation.seed], ["emoji", "Heart", 7]);
  const [image] = generation.images;
  assert.deepEqual([...image.png.slice(0, 4)], PNG);
  assert.equal(image.blob().type, "image/png");
  assert.equal((await client.generate(settings)).images[0].dataUrl, image.dataUrl);
  const subjects = await client.generate({ class: "Heart", model: "emoji", count: 3 });
  assert.deepEqual([subjects.images.length, subjects.subjects.length, subjects.styles.length], [3, 3, 3]);
  assert.deepEqual((await client.generate({ prompt: "red heart qwertz", model: "emoji" })).unknownWords, ["qwertz"]);
});

test("stream", async () => {
  const stream = client.stream({ class: "Sneaker", seed: 7, count: 2 });
  assert.equal(stream.accepted, undefined);
  const steps = await collect(stream);
  assert.deepEqual(steps.map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  for (const image of steps.flatMap(({ images }) => images)) {
    assert.equal(image.tokens.flat().length, 49);
    assert.match(image.clean, /^data:image\/png;base64,/);
  }
  assert.equal(stream.accepted.seed, 7);
  const same = await client.generate({ class: "Sneaker", seed: 7, count: 2 });
  assert.deepEqual(stream.generation.images, same.images);
  assert.equal(await stream.wait(), stream.generation);
});

test("events of a stream", async () => {
  const events = await collect(client.stream({ class: "Bag", previews: false }).events());
  assert.deepEqual(events.map(({ type }) => type), ["queued", "started", ...Array(10).fill("step"), "ended"]);
  assert.equal(events[2].images[0].clean, undefined);
});

test("cancel", async () => {
  const stream = client.stream({ class: "Bag", count: 16 });
  for await (const _ of stream) {
    const other = new Client({ baseUrl });
    await assert.rejects(other.cancel(stream.accepted.id), { name: "ProblemError", status: 403 });
    await stream.cancel();
  }
  assert.equal(stream.generation.status, "canceled");
  assert.equal((await client.get(stream.accepted.id)).status, "canceled");
  await assert.rejects(stream.wait(), (error) => error instanceof GenerationError && error.generation.status === "canceled");
});

test("a signal and leaving the loop close the stream", async () => {
  const controller = new AbortController();
  const stream = client.stream({ class: "Bag", count: 16 }, { signal: controller.signal });
  const seen = [];
  await assert.rejects(async () => {
    for await (const step of stream) {
      seen.push(step);
      controller.abort();
    }
  }, { name: "AbortError" });
  // What came with the same packet may still be read.
  assert.ok(seen.length >= 1 && stream.generation === undefined);
  assert.equal((await client.get(stream.accepted.id)).json.cancel_on_disconnect, true);
  await client.cancel(stream.accepted.id);

  let signal;
  const watched = new Client({
    baseUrl,
    fetch: (url, init) => {
      if (url.endsWith("/events")) signal = init.signal;
      return fetch(url, init);
    },
  });
  const left = watched.stream({ class: "Bag", count: 16 });
  for await (const _ of left) break;
  assert.ok(signal.aborted);
  await assert.rejects(left.wait(), /closed/);
  await watched.cancel(left.accepted.id);
  await assert.rejects(client.models({ signal: AbortSignal.abort() }), { name: "AbortError" });
});

test("models, words, files and tokens", async () => {
  const [fashion, emoji] = await client.models();
  assert.deepEqual([fashion.name, fashion.image.size, emoji.name], ["fashion-mnist", 28, "emoji"]);
  assert.ok((await client.words("blue he")).subjects.includes("blue heart"));
  assert.equal((await client.words("h", { model: "emoji", limit: 3 })).words.length, 3);
  const generation = await client.generate({ class: "Dress", seed: 1, count: 2, previews: true });
  assert.equal((await client.image(generation.id, 1, { format: "webp", scale: 8 })).type, "image/webp");
  assert.equal((await client.sheet(generation.id, { format: "jpeg" })).type, "image/jpeg");
  assert.equal((await client.animation(generation.id, { which: "noisy", scale: 2 })).type, "image/gif");
  // The same picture in each way to give one.
  const [image] = generation.images;
  const tokenization = await client.tokenize(image);
  assert.equal(tokenization.steps.length, 10);
  for (const same of [image.png, image.png.buffer, image.blob(), image.dataUrl, image.dataUrl.split(",")[1]]) {
    assert.deepEqual(await client.tokenize(same), tokenization);
  }
  const varied = await client.generate({ class: "Dress", image: image.blob(), from_step: 8 });
  assert.equal(varied.json.from_step, 8);
});

test("interpolation", async () => {
  const { images } = await client.generate({ class: "Dress", seed: 1 });
  const between = await client.interpolate(1, { seed: 2 }, { class: "Dress", frames: 4 });
  assert.deepEqual(between.images.map(({ index }) => index), [0, 1, 2, 3]);
  const film = await client.animation(between.id, { which: "images", back_and_forth: true });
  assert.equal(film.type, "image/gif");
  // An end in each way to give a picture.
  for (const end of [images[0], images[0].png, images[0].blob(), images[0].dataUrl]) {
    const { json } = await client.interpolate(end, 2, { class: "Dress", frames: 2, seed: 5, kind: "steps" });
    assert.equal(json.count, 2);
  }
  await assert.rejects(client.interpolate(1, {}, { class: "Dress" }), ({ fields }) => fields[0].field === "b");
});

test("problems", async () => {
  await assert.rejects(client.generate({ class: "hat", seed: -5 }), (error) => {
    assert.ok(error instanceof ProblemError);
    assert.deepEqual([error.status, error.title, error.retryAfter], [422, "Invalid fields", undefined]);
    assert.deepEqual(error.fields.map(({ field, value }) => [field, value]), [["class", "hat"], ["seed", -5]]);
    return true;
  });
  await assert.rejects(client.get("../models"), { status: 404 });
});

/** A client whose requests get these answers, its requests, and the times for which it waits, without waiting. */
function scripted(context, answers, options) {
  const requests = [];
  const waits = [];
  const { setTimeout } = globalThis;
  context.mock.method(globalThis, "setTimeout", (callback, milliseconds) => {
    // Only the waits of the package, not its time limit. Node itself has timers, too.
    const isWait = milliseconds !== 60_000 && new Error().stack.includes("/clients/js/");
    if (isWait) waits.push(milliseconds / 1000);
    return setTimeout(callback, isWait ? 0 : milliseconds);
  });
  const answer = async (url, init) => {
    requests.push({ url, ...init });
    const given = answers[requests.length - 1];
    if (given instanceof Error) throw given;
    return given.clone();
  };
  return { client: new Client({ baseUrl: "http://server/below/", fetch: answer, ...options }), requests, waits };
}

const PROBLEM = { type: "about:blank", title: "Service Unavailable", status: 503, detail: "Overloaded." };
const busy = (retryAfter, status = 503) =>
  Response.json(PROBLEM, { status, headers: retryAfter === undefined ? {} : { "Retry-After": retryAfter } });
const models = Response.json({ models: [] });

test("requests are sent again after the time that the server names", async (context) => {
  const answers = [busy("7", 429), busy(), new TypeError("fetch failed"), models];
  const { client, requests, waits } = scripted(context, answers);
  assert.deepEqual(await client.models(), []);
  assert.equal(requests[0].url, "http://server/below/api/v1/models");
  assert.ok(waits[0] === 7 && waits[1] <= 1 && waits[2] >= 1 && waits[2] <= 2, String(waits));
});

test("retries are bounded", async (context) => {
  const few = scripted(context, Array(3).fill(busy()), { maxRetries: 2 });
  await assert.rejects(few.client.models(), { message: "503 Service Unavailable: Overloaded." });
  assert.equal(few.requests.length, 3);
  context.mock.restoreAll();
  const late = scripted(context, [busy("3600")]);
  await assert.rejects(late.client.models(), { retryAfter: 3600 });
  context.mock.restoreAll();
  const lost = scripted(context, Array(4).fill(new TypeError("fetch failed")));
  await assert.rejects(lost.client.models(), (error) => error instanceof RequestError && /fetch failed/.test(error.message));
});

test("other errors are not retried", async (context) => {
  const proxy = new Response("<html>Bad gateway", { status: 502, statusText: "Bad Gateway" });
  await assert.rejects(scripted(context, [proxy]).client.models(), { message: "502 Bad Gateway: <html>Bad gateway" });
  context.mock.restoreAll();
  const page = scripted(context, [new Response("<html>Welcome")]);
  await assert.rejects(page.client.models(), /not the address of an RDPM server/);
});

for (const value of ["Wed, 21 Oct 2015 07:28:00 GMT", "soon", "-1"]) {
  test(`Retry-After: ${value}`, async (context) => {
    const { client, waits } = scripted(context, [busy(value), models]);
    assert.deepEqual(await client.models(), []);
    assert.ok(waits[0] < 1);
  });
}

test("a server that does not answer in time", async () => {
  const silent = (_, { signal }) =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const client = new Client({ baseUrl: "http://server", timeout: 20, maxRetries: 0, fetch: silent });
  await assert.rejects(client.models(), { name: "RequestError", message: "the server doesn't answer in time" });
});

test("the key is sent", async (context) => {
  delete process.env.RDPM_API_KEY;
  const without = scripted(context, [models]);
  await without.client.models();
  assert.equal(without.requests[0].headers.Authorization, undefined);
  context.mock.restoreAll();
  process.env.RDPM_API_KEY = "secret";
  const { client, requests } = scripted(context, [models]);
  delete process.env.RDPM_API_KEY;
  await client.models();
  assert.equal(requests[0].headers.Authorization, "Bearer secret");
});

/** A client that loses the connection of each stream after some bytes, and the answer to the first post. */
function unreliable(bytes) {
  const seen = { lastEventIds: [], posts: [] };
  const lossy = async (url, init) => {
    const response = await fetch(url, init);
    if (init.method === "POST") {
      seen.posts.push((await response.clone().json()).id);
      if (seen.posts.length === 1) throw new TypeError("connection reset");
    }
    if (!url.endsWith("/events") || !response.body) return response;
    seen.lastEventIds.push(init.headers["Last-Event-ID"]);
    let rest = bytes;
    const cut = new TransformStream({
      transform(chunk, controller) {
        controller.enqueue(chunk.slice(0, rest));
        rest -= chunk.length;
        if (rest <= 0) throw new TypeError("connection reset");
      },
    });
    return new Response(response.body.pipeThrough(cut), response);
  };
  return { client: new Client({ baseUrl, fetch: lossy }), seen };
}

test("a stream goes on after a lost connection", async () => {
  const { client: lossy, seen } = unreliable(15_000);
  const stream = lossy.stream({ class: "Sneaker", seed: 7, count: 2 });
  const steps = await collect(stream);
  // The request was sent twice, and one generation was made.
  assert.equal(seen.posts.length, 2);
  assert.equal(new Set(seen.posts).size, 1);
  const numbers = seen.lastEventIds.slice(1).map(Number);
  assert.ok(seen.lastEventIds[0] === undefined && numbers.length > 1, String(numbers));
  assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b));
  // No event is missing or comes twice.
  assert.deepEqual(steps, await collect(client.stream({ class: "Sneaker", seed: 7, count: 2 })));
  assert.equal(stream.generation.status, "completed");
});

test("a stream gives up without progress", async () => {
  const { client: lossy, seen } = unreliable(10);
  await assert.rejects(lossy.generate({ class: "Bag" }), { name: "RequestError" });
  assert.equal(seen.lastEventIds.length, 4);
});

test("parser of streams", () => {
  const text = "\ufeff: comment\n\nid: 1\r\nevent: step\r\ndata: {\r\ndata:  ü}\r\n\r\nretry: 3\rdata\r\rid: 2\n\nevent: cut\n";
  const data = new TextEncoder().encode(text);
  for (const size of [1, 2, 3, 7, data.length]) {
    const parser = new Parser();
    const messages = [];
    for (let at = 0; at < data.length; at += size) messages.push(...parser.feed(data.subarray(at, at + size)));
    const expected = [{ event: "step", data: "{\n ü}", id: "1" }, { event: "message", data: "", id: "1" }];
    assert.deepEqual(messages, expected, `size ${size}`);
  }
});
