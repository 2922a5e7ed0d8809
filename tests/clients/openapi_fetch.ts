// A client with the types that openapi-typescript makes of the document; test_openapi.py checks what it prints.

import createClient from "openapi-fetch";
import type { components, paths } from "./generated/openapi-typescript.ts";

declare const process: { argv: string[] };

type Accepted = components["schemas"]["Accepted"];
type Step = components["schemas"]["StepEvent"];

const client = createClient<paths>({ baseUrl: process.argv[2] });

const models = await client.GET("/api/v1/models");
const created = await client.POST("/api/v1/generations", { body: { class: "Sneaker", seed: "7", scale: 2 } });
if (!created.data) throw new Error(JSON.stringify(created.error));
// One of several: the picture itself, if it was asked for, or the finished generation.
const accepted = created.data as Accepted;
const path = { id: accepted.id };

const events = await client.GET("/api/v1/generations/{id}/events", { params: { path }, parseAs: "text" });
const data = (events.data as unknown as string).split("\n").filter((line) => line.startsWith("data: "));
const steps = data.map((line) => JSON.parse(line.slice(6))).filter((event): event is Step => "steps" in event);
const tokens = steps.flatMap((step) => step.images).map((image) => image.tokens.flat().length);

const finished = await client.GET("/api/v1/generations/{id}", { params: { path } });
const picture = await client.GET("/api/v1/generations/{id}/images/{file}", {
  params: { path: { ...path, file: "0.png" }, query: { scale: 2 } }, parseAs: "arrayBuffer",
});
const refused = await client.POST("/api/v1/generations", { body: { class: 0, seed: -2 } });

console.log(JSON.stringify({
  models: models.data?.models.map((model) => model.name),
  seed: accepted.seed,
  tokens,
  status: finished.data?.status,
  bytes: (picture.data as unknown as ArrayBuffer).byteLength,
  refused: refused.error?.errors?.map((error) => error.field),
}));
