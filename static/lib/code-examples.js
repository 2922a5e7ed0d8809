// @ts-check
/** Requests as code that saves their pictures, in several languages. Loaded when code is first wanted. */
import { GENERATIONS, ROOT } from "./api.js";
import { fileName, nameOfLabel } from "./files.js";
import { model } from "./model.js";

/**
 * @typedef {{class?: string, prompt?: string, style?: string, count: number, seed?: number, image?: string, from_step?: number, tokens?: object, [samplingOption: string]: any}} CodeRequest  without a seed: random
 *
 * @typedef {object} CodePicture
 * @property {CodeRequest} request  with `from_step`: the code reads the image from a file
 * @property {number} [index]       of the picture that is wanted among those of the request; all if omitted
 * @property {{subject: string, style: string}} [drawn]  what it shows, once the server has chosen it
 *
 * @typedef {object} CodePlan
 * @property {CodePicture[]} pictures
 * @property {number} scale         of the files
 * @property {boolean} [tokenize]   encode the image of a file, draw nothing
 *
 * @typedef {"curl" | "python" | "javascript" | "openai" | "shell"} Language
 */

/** In the order in which they are shown. @type {[Language, string][]} */
export const LANGUAGES = [["curl", "curl"], ["python", "Python"], ["javascript", "JavaScript"], ["openai", "OpenAI client"], ["shell", "Command line"]];

/** The picture that the code reads. */
const INPUT_FILE = "picture.png";
const TOKENIZATIONS = `${ROOT}/api/v1/tokenizations`;

/** The code; empty if the language can't do it. @param {string} language @param {CodePlan} plan */
export function codeFor(language, plan) {
  switch (/** @type {Language} */ (language)) {
    case "curl": return curl(plan);
    case "python": return python(plan);
    case "javascript": return javascript(plan);
    case "openai": return openai(plan);
    case "shell": return shell(plan);
  }
}

/** The request without the pictures after the one that is wanted, and without the image, which the code reads. @param {CodePicture} picture @returns {CodeRequest & {model: string}} */
function bodyOf({ request, index }) {
  const { image: _, ...settings } = request;
  return { model: model.name, ...settings, count: index === undefined ? request.count : index + 1 };
}

/** What is asked for, in words. @param {CodeRequest} request */
const labelOf = ({ prompt, class: name, style }) => [prompt ?? name ?? "picture", ...(style ? [style] : [])].join("-");

/** @param {CodePicture} picture without extension */
const nameOf = ({ request, index }) => fileName(labelOf(request), request.seed, index ?? 0);

/** @param {CodeRequest} request */
const hasImage = (request) => request.from_step !== undefined;

/** @param {string} text for a shell */
const quote = (text) => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** @param {unknown} value in the quotes of a shell or of a raw Python string @param {number} [indent] */
const quotableJson = (value, indent) => JSON.stringify(value, null, indent).replaceAll("'", "\\u0027");

/** Python's strings are written as JSON's. @param {unknown} value */
const literal = (value) => JSON.stringify(value);

/** @param {CodePlan} plan */
function curl({ pictures, scale, tokenize }) {
  const origin = location.origin;
  if (tokenize) return `curl -sSf ${origin}${TOKENIZATIONS} -F model=${model.name} -F image=@${INPUT_FILE} -o tokens.json`;
  const url = `${origin}${GENERATIONS}`;
  return pictures.map((picture) => {
    const { request, index } = picture;
    const body = bodyOf(picture);
    const file = `${nameOf(picture)}.png`;
    /** @param {object} content @param {string} indent */
    const data = (content, indent) => {
      const json = quotableJson(content);
      if (!hasImage(request)) return `${indent}-d '${json}' \\`;
      return `${indent}-d '${json.slice(0, -1)},"image":"'"$(base64 < ${INPUT_FILE} | tr -d '\\n')"'"}' \\`;
    };
    const type = "-H 'content-type: application/json' \\";
    if (!index) {
      return [`curl -sSf ${url} \\`, `  -H 'accept: image/png' ${type}`, data({ ...body, scale }, "  "), `  -o ${file}`].join("\n");
    }
    return [
      `id=$(curl -sSf '${url}?wait=true' \\`,
      `  ${type}`,
      data(body, "  "),
      `  | grep -o '"id": *"[^"]*"' | head -n 1 | cut -d '"' -f 4)`,
      `curl -sSf "${url}/$id/images/${index}.png?scale=${scale}" -o ${file}`,
    ].join("\n");
  }).join("\n\n");
}

/** A program that needs only Python's standard library. @param {CodePlan} plan */
function python({ pictures, tokenize }) {
  const readImage = `base64.b64encode(open("${INPUT_FILE}", "rb").read()).decode()`;
  /** @param {string} body @param {string} url @param {string} indent */
  const send = (body, url, indent) => [
    `request = urllib.request.Request(`,
    `    "${location.origin}${url}",`,
    `    data=json.dumps(${body}).encode(),`,
    `    headers={"content-type": "application/json"},`,
    `)`,
    `with urllib.request.urlopen(request) as response:`,
  ].map((line) => indent + line).join("\n");
  const start = "import base64, json, urllib.request\n";
  if (tokenize) {
    return `${start}
settings = {"model": ${literal(model.name)}, "image": ${readImage}}
${send("settings", TOKENIZATIONS, "")}
    steps = json.load(response)["steps"]
for step in steps:
    print(step["step"], step["tokens"])
`;
  }
  const [picture] = pictures;
  if (pictures.length === 1 && picture.index !== undefined) {
    const file = `${nameOf(picture)}.png`;
    return `${start}
settings = json.loads(r'''${quotableJson(bodyOf(picture))}''')
${hasImage(picture.request) ? `settings["image"] = ${readImage}\n` : ""}${send("settings", `${GENERATIONS}?wait=true`, "")}
    images = json.load(response)["images"]
with open("${file}", "wb") as file:
    file.write(base64.b64decode(images[${picture.index}]["png_base64"]))
print("${file}")
`;
  }
  const lines = pictures.map((one) => `    ${quotableJson([nameOfLabel(labelOf(one.request)), bodyOf(one)])}`).join(",\n");
  return `${start}
requests = json.loads(r'''[
${lines}
]''')
for name, settings in requests:
${hasImage(picture.request) ? `    settings["image"] = ${readImage}\n` : ""}${send("settings", `${GENERATIONS}?wait=true`, "    ")}
        generation = json.load(response)
    for image in generation["images"]:
        file_name = f"{name}-{generation['seed']}-{image['index'] + 1}.png"
        with open(file_name, "wb") as file:
            file.write(base64.b64decode(image["png_base64"]))
        print(file_name)
`;
}

/** A program for Node.js that follows the steps as they are drawn. @param {CodePlan} plan */
function javascript({ pictures, tokenize }) {
  const image = `(await readFile("${INPUT_FILE}")).toString("base64")`;
  /** @param {string} url @param {string} body @param {string} indent */
  const post = (url, body, indent) => [
    `const response = await fetch(\`\${server}${url}\`, {`,
    `  method: "POST",`,
    `  headers: { "content-type": "application/json" },`,
    `  body: JSON.stringify(${body}),`,
    `});`,
    `if (!response.ok) throw new Error(await response.text());`,
  ].map((line) => indent + line).join("\n");
  const server = `const server = ${literal(location.origin)};`;
  if (tokenize) {
    return `// node tokens.mjs, or in a browser with another image
import { readFile } from "node:fs/promises";

${server}
const settings = { model: ${literal(model.name)}, image: ${image} };
${post(TOKENIZATIONS, "settings", "")}
for (const { step, tokens } of (await response.json()).steps) console.log(step, tokens);
`;
  }
  const withImage = pictures.some(({ request }) => hasImage(request));
  const [first] = pictures;
  const one = pictures.length === 1 && first.index !== undefined;
  const list = pictures.map((picture) => `  ${JSON.stringify(one ? bodyOf(picture) : [nameOfLabel(labelOf(picture.request)), bodyOf(picture)])},`).join("\n");
  const save = one
    ? `await writeFile("${nameOf(first)}.png", Buffer.from(data.images[${first.index}].png_base64, "base64"));`
    : `for (const { index, png_base64 } of data.images) {
          await writeFile(\`\${file}-\${data.seed}-\${index + 1}.png\`, Buffer.from(png_base64, "base64"));
        }`;
  return `// node draw.mjs
import { ${withImage ? "readFile, " : ""}writeFile } from "node:fs/promises";

${server}
const requests = [
${list}
];

for (const ${one ? "settings" : "[file, settings]"} of requests) {
${withImage ? `  settings.image = ${image};\n` : ""}${post(GENERATIONS, "settings", "  ")}
  const { links } = await response.json();

  // Server-sent events: queued, started, one step after the other, completed.
  const { body } = await fetch(new URL(links.events, server));
  let text = "";
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const events = (text + chunk).split("\\n\\n");
    text = events.pop();
    for (const event of events) {
      const name = /^event: ?(.*)$/m.exec(event)?.[1];
      const data = JSON.parse(/^data: ?(.*)$/m.exec(event)?.[1] ?? "null");
      if (name === "step") console.log(\`step \${data.step}: \${data.images[0].tokens.flat().slice(0, 8)} …\`);
      if (name === "failed") throw new Error(data.detail);
      if (name === "completed") {
        ${save}
      }
    }
  }
}
`;
}

/** Only the REST API takes tokens. @param {CodePicture} picture */
const hasInput = ({ request }) => hasImage(request) || request.tokens !== undefined;

/** OpenAI's Python client. It sends no image with the steps to keep, and no class to a model that is told words: there what the server chose of the class stands in its place. @param {CodePlan} plan */
function openai({ pictures, scale, tokenize }) {
  if (tokenize || pictures.some(hasInput)) return "";
  if (model.hasWords && pictures.some(({ request, drawn }) => request.class && (request.prompt || !drawn?.style))) return "";
  const side = scale * model.imageSize;
  const calls = pictures.map((picture) => {
    const { drawn, index, request } = picture;
    const { class: name, count: _count, prompt = drawn?.subject ?? name, model: _model, ...others } = bodyOf(picture);
    const options = { ...others, ...(drawn?.style && { style: drawn.style }) };
    const extra = Object.keys(options).length ? `\n    extra_body=${literal(options)},` : "";
    const file = nameOf(picture);
    const save = index === undefined
      ? `for number, image in enumerate(images.data, 1):
    with open(f"${file}-{number}.png", "wb") as file:
        file.write(base64.b64decode(image.b64_json))`
      : `with open("${file}.png", "wb") as file:
    file.write(base64.b64decode(images.data[${index}].b64_json))`;
    return `images = client.images.generate(
    model=${literal(model.name)},
    prompt=${literal(prompt)},
    n=${index === undefined ? request.count : index + 1},
    size="${side}x${side}",
    response_format="b64_json",${extra}
)
${save}
`;
  });
  return `# pip install openai
import base64
from openai import OpenAI

client = OpenAI(base_url="${location.origin}${ROOT}/v1", api_key="none")
${calls.join("\n")}`;
}

/** The program without a server. @param {CodePlan} plan */
function shell({ pictures, scale, tokenize }) {
  if (tokenize) return `rdpm tokenize --model ${model.name} ${INPUT_FILE}`;
  if (pictures.some(hasInput)) return "";
  return pictures.map((picture) => {
    const { class: name, prompt, count: _count, seed, model: modelName, ...options } = bodyOf(picture);
    const { index, request } = picture;
    /** @type {[string, unknown][]} */
    const flags = [
      ["model", modelName],
      ["class", name],
      ["seed", seed],
      ...(index ? /** @type {[string, unknown][]} */ ([["first", index]]) : []),
      ...(index === undefined && request.count > 1 ? /** @type {[string, unknown][]} */ ([["count", request.count]]) : []),
      ...Object.entries(options),
      ["scale", scale],
      ["output", `${nameOf(picture)}.png`],
    ];
    // A prompt that begins with a hyphen is no flag.
    const words = prompt === undefined ? "" : ` --prompt=${quote(prompt)}`;
    return `rdpm generate${words} ${flags.filter(([, value]) => value !== undefined && value !== "").map(([flag, value]) => `--${flag.replaceAll("_", "-")} ${quote(String(value))}`).join(" ")}`;
  }).join("\n");
}
