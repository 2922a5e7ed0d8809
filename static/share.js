// @ts-check
/** The same request for a shell and for Python. */

/** @typedef {import("./session.js").Body} Body */

const endpoint = () => `${location.origin}/api/v1/generations`;

/** @param {string} model @param {Body[]} bodies */
export function curlCommand(model, bodies) {
  return bodies.map((body) => [
    `curl -s ${endpoint()} \\`,
    `  -H 'content-type: application/json' \\`,
    `  -d '${JSON.stringify({ model, ...body }).replaceAll("'", "'\\''")}'`,
  ].join("\n")).concat("# The answers have links: GET \"self\" until its status is completed, or read \"events\" step by step.").join("\n");
}

/** A program that needs Python's own library only. @param {string} model @param {Body[]} bodies */
export function pythonProgram(model, bodies) {
  return `import base64, json, time, urllib.request

def call(path, body=None):
    request = urllib.request.Request("${location.origin}" + path)
    if body:
        request.data = json.dumps(body).encode()
        request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)

for settings in json.loads(r'''${JSON.stringify(bodies.map((body) => ({ model, ...body })))}'''):
    job = call("/api/v1/generations", settings)
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
