// The client that hey-api makes of the document; test_openapi.py checks what it prints.

import { client } from "./generated/hey-api/client.gen.ts";
import {
  checkReadiness, createGeneration, followGeneration, getGeneration, getImage, listModels, openaiGenerateImages,
} from "./generated/hey-api/index.ts";
import type { Generation, StepEvent } from "./generated/hey-api/index.ts";

declare const process: { argv: string[] };

client.setConfig({ baseUrl: process.argv[2] });

const ready = await checkReadiness();
const models = await listModels();
const created = await createGeneration({ body: { class: "Sneaker", seed: "7", scale: 2 } });
if (!created.data) throw new Error(JSON.stringify(created.error));
const path = { id: created.data.id };

// hey-api parses the data of each event.
const { stream } = await followGeneration({ path });
const tokens: number[] = [];
let last: Generation | undefined;
for await (const event of stream as unknown as AsyncIterable<StepEvent | Generation>) {
  if ("steps" in event) tokens.push(...event.images.map((image) => image.tokens.flat().length));
  else if (event.status === "completed") last = event;
}

const finished = await getGeneration({ path });
const picture = await getImage({ path: { ...path, file: "0.png" }, query: { scale: 2 } });
const refused = await createGeneration({ body: { class: 0, seed: -2 } });
const images = await openaiGenerateImages({ body: { prompt: "a sneaker", size: "256x256", style: "vivid" } });

console.log(JSON.stringify({
  ready: ready.data?.status,
  models: models.data?.models.map((model) => model.name),
  seed: created.data.seed,
  tokens,
  last: last?.images.length,
  status: finished.data?.status,
  bytes: (picture.data as Blob).size,
  refused: refused.error?.errors?.map((error) => error.field),
  warnings: images.data && "warnings" in images.data ? images.data.warnings : undefined,
}));
