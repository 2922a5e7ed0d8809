// How hey-api generates a client of the document: files that Node runs as they are.

export default {
  input: "../../docs/openapi.json",
  output: { path: "generated/hey-api", module: { extension: ".ts" } },
  plugins: ["@hey-api/client-fetch", "@hey-api/typescript", "@hey-api/sdk"],
};
