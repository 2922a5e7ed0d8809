// What the official Node client gets for edits and variations; test_openai_edits.py checks it.

import fs from "node:fs";

import OpenAI from "openai";

const [, , baseURL, folder] = process.argv;
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const file = (name) => fs.createReadStream(`${folder}/${name}.png`);
const parts = () => ({ image: file("image"), mask: file("mask"), prompt: "a dress", seed: 4 });

const edit = await client.images.edit(parts());

const events = [];
let streamed;
for await (const event of await client.images.edit({ ...parts(), stream: true, partial_images: 1 })) {
  events.push(event.type);
  streamed = event.b64_json;
}

const variations = await client.images.createVariation({ image: file("image"), n: 2 });

const several = { ...parts(), image: [file("image"), file("image")] };
const error = await client.images.edit(several).catch((error) => error);

console.log(JSON.stringify({
  edit: edit.data[0].b64_json, events, streamed, variations: variations.data.length,
  error: { status: error.status, param: error.param },
}));
