// The types of our JavaScript client; test_rdpm_js.py compiles this with the package that `npm pack` makes.

import { Client, Generation, ProblemError, type Model, type Settings, type Step } from "rdpm-client";

const client = new Client({ baseUrl: "http://localhost:3000", apiKey: "key" });
// Names of classes and models are those of the server.
const settings: Settings = { class: "Anything", model: "any", count: 2, seed: "7", top_k: null, image: new Blob() };

const generation: Generation = await client.generate(settings, { signal: AbortSignal.timeout(1000) });
const png: Uint8Array = generation.images[0].png;
const subjects: string[] = generation.subjects;
const stream = client.stream({ prompt: "red heart" });
for await (const step of stream) {
  const typed: Step = step;
  const tokens: number[][] = typed.images[0].tokens;
  const clean: string | null | undefined = typed.images[0].clean;
  console.log(tokens, clean);
}
for await (const event of stream.events()) {
  if (event.type === "queued") console.log(event.position + event.eta_seconds);
  if (event.type === "ended") console.log(event.generation.status satisfies "queued" | "running" | "completed" | "failed" | "canceled");
}
const models: Model[] = await client.models();
const words: string[] = (await client.words("re", { limit: 3 })).words;
try {
  await client.tokenize(png, { model: "emoji" });
} catch (error) {
  if (error instanceof ProblemError) console.log(error.fields[0]?.field, error.retryAfter);
}
console.log(models, words, subjects);

// @ts-expect-error A misspelled setting.
await client.generate({ promt: "red heart" });
// @ts-expect-error A number is needed.
await client.generate({ class: "Bag", temperature: "hot" });
