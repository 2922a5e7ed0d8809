"""Prints `rdpm_client/schema.py`: the JSON of the REST API as typed dictionaries, from the OpenAPI document.

python generate_types.py ../../docs/openapi.json > src/rdpm_client/schema.py
"""

import json
import keyword
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEAD = '''"""The JSON of the REST API. `generate_types.py` makes this file from the OpenAPI document; don't edit it."""

from typing import Any, Literal, NotRequired, TypedDict
'''
WIDTH = 105
PLAIN = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    # Objects without a name of their own.
    "object": "dict[str, Any]",
}
REFERENCE = "#/components/schemas/"


def python_type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return schema["$ref"].removeprefix(REFERENCE)
    if options := schema.get("oneOf") or schema.get("anyOf"):
        return " | ".join(dict.fromkeys(python_type(option) for option in options))
    types = schema.get("type")
    if types is None:
        return "Any"
    if isinstance(types, list):
        return " | ".join(python_type(schema | {"type": kind}) for kind in types)
    if types == "array":
        return f"list[{python_type(schema['items'])}]"
    if schema.get("format") == "binary":
        return "bytes"
    # The values of an enum inside an object are those of the shipped weights: names of classes, models, styles.
    return PLAIN[types]


def comment(schema: dict[str, Any]) -> list[str]:
    return [f"    # {line}" for line in textwrap.wrap(schema.get("description", ""), WIDTH)]


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    required = schema.get("required", [])
    for name, value in schema["properties"].items():
        kind = python_type(value)
        yield name, kind if name in required else f"NotRequired[{kind}]", comment(value)


def definition(name: str, schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return f"{name} = Literal[{', '.join(json.dumps(value) for value in schema['enum'])}]\n"
    bases, own = ["TypedDict"], schema
    if "allOf" in schema:
        bases = [python_type(part) for part in schema["allOf"] if "$ref" in part]
        own = next(part for part in schema["allOf"] if "properties" in part)
    lines: list[str] = []
    if any(keyword.iskeyword(field) for field, _, _ in fields(own)):
        # Names such as `class` can't be attributes of a class.
        lines.append(f'{name} = TypedDict("{name}", {{')
        for field, kind, remark in fields(own):
            lines += [*remark, f'    "{field}": "{kind}",']
        return "\n".join([*lines, "})"]) + "\n"
    lines.append(f"class {name}({', '.join(bases)}):")
    if "description" in schema:
        lines += [f'    """{schema["description"]}"""', ""]
    for field, kind, remark in fields(own):
        lines += [*remark, f"    {field}: {kind}"]
    return "\n".join(lines) + "\n"


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix(REFERENCE)
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def used_by_rest(document: dict[str, Any]) -> dict[str, Any]:
    """The schemas of the REST API, each after those that it names."""
    schemas, found = document["components"]["schemas"], dict[str, Any]()

    def add(name: str) -> None:
        if name not in found:
            for other in references(schemas[name]):
                add(other)
            found[name] = schemas[name]

    for path, operations in document["paths"].items():
        if path.startswith("/api/"):
            for name in references(operations):
                add(name)
    return found


def generate(document: dict[str, Any]) -> str:
    definitions = [definition(name, schema) for name, schema in used_by_rest(document).items()]
    text = "\n\n".join([HEAD, *definitions])
    configuration = Path(__file__).parents[2] / "training/pyproject.toml"
    formatter = [sys.executable, "-m", "ruff", "format", "--config", configuration, "-"]
    return subprocess.run(formatter, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.stdout.write(generate(json.loads(Path(sys.argv[1]).read_text())))
