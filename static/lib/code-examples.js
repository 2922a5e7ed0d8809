// @ts-check
/** A picture's request as code that saves the picture: a shell command and a Python program. */
import { GENERATIONS } from "./api.js";

/**
 * @typedef {import("./api.js").GenerationRequest} GenerationRequest
 * @typedef {object} PictureRequest  what makes one picture
 * @property {GenerationRequest} request
 * @property {number} index     of the picture among those of the request
 * @property {string} fileName  without extension
 * @property {number} scale     of the file
 */

/** The request without the pictures after the one that is wanted. @param {string} model @param {PictureRequest} picture */
const requestBody = (model, { request, index }) => ({ model, ...request, count: index + 1 });

/** @param {string} text in single quotes of a shell */
const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** @param {string} model @param {PictureRequest} picture */
export function curlCommand(model, picture) {
  const { index, fileName, scale } = picture;
  const body = requestBody(model, picture);
  const url = `${location.origin}${GENERATIONS}`;
  if (index === 0) {
    return [
      `curl -sSf ${quote(url)} \\`,
      `  -H 'accept: image/png' -H 'content-type: application/json' \\`,
      `  -d ${quote(JSON.stringify({ ...body, scale }))} \\`,
      `  -o ${fileName}.png`,
    ].join("\n");
  }
  return [
    `id=$(curl -sSf ${quote(`${url}?wait=true`)} \\`,
    `  -H 'content-type: application/json' \\`,
    `  -d ${quote(JSON.stringify(body))} \\`,
    `  | grep -o '"id": *"[^"]*"' | head -n 1 | cut -d '"' -f 4)`,
    `curl -sSf "${url}/$id/images/${index}.png?scale=${scale}" -o ${fileName}.png`,
  ].join("\n");
}

/** A program that needs only Python's standard library. @param {string} model @param {PictureRequest} picture */
export function pythonProgram(model, picture) {
  const { index, fileName } = picture;
  return `import base64, json, urllib.request

settings = json.loads(r'''${JSON.stringify(requestBody(model, picture))}''')
request = urllib.request.Request(
    "${location.origin}${GENERATIONS}?wait=true",
    data=json.dumps(settings).encode(),
    headers={"content-type": "application/json"},
)
with urllib.request.urlopen(request) as response:
    images = json.load(response)["images"]
with open("${fileName}.png", "wb") as file:
    file.write(base64.b64decode(images[${index}]["png_base64"]))
print("${fileName}.png")
`;
}
