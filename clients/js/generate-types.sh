#!/bin/sh
# Makes the types: `schema.d.ts` from the OpenAPI document, the others from the comments of the scripts, which are checked.
# The tools are those of tests/clients (`npm ci` there). `generate-types.sh FOLDER` writes there instead of into src/.
set -eu
cd "$(dirname "$0")"
output=${1:-src}
modules=../../tests/clients/node_modules
# Scripts without types beside them: the compiler would read those instead.
copy=$(mktemp -d)
trap 'rm -r "$copy"' EXIT
mkdir "$copy/src"
cp package.json tsconfig.json "$copy"
cp src/*.js "$copy/src"
node "$modules/openapi-typescript/bin/cli.js" ../../docs/openapi.json --default-non-nullable false \
    --output "$copy/src/schema.d.ts" >/dev/null
node "$modules/typescript/bin/tsc" --project "$copy/tsconfig.json"
cp "$copy"/src/*.d.ts "$output"
