// What the official Node client gets from the server; test_openai.py checks it.

import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const settings = { prompt: "a photo of a sneaker", size: "112x112", seed: 7 };

const models = [];
for await (const model of client.models.list()) models.push(model.id);

const plain = await client.images.generate(settings);

const events = [];
let streamed;
for await (const event of await client.images.generate({ ...settings, stream: true, partial_images: 2 })) {
  events.push(event.type);
  streamed = event.b64_json;
}

const words = await client.images.generate({ model: "emoji", prompt: "a red heart", style: "fluent-3d" });

const error = await client.images.generate({ prompt: "a cat" }).catch((error) => error);

console.log(JSON.stringify({
  models, events, words: words.data[0].revised_prompt, plain: plain.data[0].b64_json, streamed,
  error: { status: error.status, param: error.param },
}));
