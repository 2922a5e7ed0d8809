// @ts-check
/** Requests as code: a shell command and a Python program. */
import { GENERATIONS } from "./api.js";

/** @typedef {import("./api.js").GenerationRequest} GenerationRequest */

/** @param {string} model @param {GenerationRequest[]} requests */
export function curlCommand(model, requests) {
  return requests.map((request) => [
    `curl -s ${location.origin}${GENERATIONS} \\`,
    `  -H 'content-type: application/json' \\`,
    `  -d '${JSON.stringify({ model, ...request }).replaceAll("'", "'\\''")}'`,
  ].join("\n")).concat("# The response has links: GET \"self\" until its status is completed, or read \"events\" for each step.").join("\n");
}

/** A program that needs only Python's standard library. @param {string} model @param {GenerationRequest[]} requests */
export function pythonProgram(model, requests) {
  return `import base64, json, time, urllib.request

def call(path, body=None):
    request = urllib.request.Request("${location.origin}" + path)
    if body:
        request.data = json.dumps(body).encode()
        request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request) as response:
        return json.load(response)

for settings in json.loads(r'''${JSON.stringify(requests.map((request) => ({ model, ...request })))}'''):
    job = call("${GENERATIONS}", settings)
    while job["status"] in ("queued", "running"):
        time.sleep(0.2)
        job = call(job["links"]["self"])
    for image in job["images"]:
        name = f'{job["class"]}-{job["seed"]}-{image["index"]}.png'.replace("/", "-")
        with open(name, "wb") as file:
            file.write(base64.b64decode(image["png_base64"]))
        print(name)
`;
}
