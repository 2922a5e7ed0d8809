"""Licences and sources of dependencies, and the software bill of materials."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from conftest import REPOSITORY, run, succeed
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

SBOM = REPOSITORY / "scripts/sbom"


def test_licences_bans_and_sources_are_allowed() -> None:
    succeed("cargo-deny", "--locked", "check", "licenses", "bans", "sources")


@pytest.mark.parametrize(("licence", "status"), [("MIT", 0), ("Apache-2.0 OR GPL-3.0-only", 0), ("GPL-3.0-only", 4)])
def test_licence_of_a_crate_decides(tmp_path: Path, licence: str, status: int) -> None:
    """The rules are applied to a crate with one dependency of this licence."""
    for folder, name, more in (("", "program", 'x = { path = "x", version = "0.1" }'), ("x", "x", "")):
        (tmp_path / folder / "src").mkdir(parents=True)
        (tmp_path / folder / "src/lib.rs").touch()
        stated = "MIT" if name == "program" else licence
        package = f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\nlicense = "{stated}"\n'
        (tmp_path / folder / "Cargo.toml").write_text(f"{package}[dependencies]\n{more}\n")
    rules = (REPOSITORY / "deny.toml").read_text().replace('unused-allowed-license = "deny"', "")
    (tmp_path / "deny.toml").write_text(rules)
    result = run("cargo-deny", "--offline", "check", "licenses", cwd=tmp_path)
    assert result.returncode == status, result.stderr


def bill(*arguments: str | Path) -> dict:
    text = succeed(SBOM, *arguments)
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert error is None, error
    return json.loads(text)


def names(bill: dict) -> set[str]:
    return {component["name"] for component in bill["components"]}


def test_bill_of_materials_lists_the_crates_of_the_program() -> None:
    document = bill()
    assert document["metadata"]["component"]["name"] == "rdpm"
    assert {"axum", "candle-core", "tokio"} <= names(document)
    # Of tests, of procedural macros, of other platforms, of other features.
    assert not {"proptest", "fantoccini", "serde_derive", "syn", "windows-sys", "cudarc", "opentelemetry"} & names(
        document
    )
    lock = tomllib.loads((REPOSITORY / "Cargo.lock").read_text())["package"]
    locked = {(entry["name"], entry["version"]): entry.get("checksum") for entry in lock}
    for component in document["components"]:
        assert component["hashes"][0]["content"] == locked[component["name"], component["version"]]
        assert component["licenses"], component["name"]
    references = {component["bom-ref"] for component in document["components"]}
    for dependency in document["dependencies"]:
        assert set(dependency["dependsOn"]) <= references


def test_bill_of_materials_is_reproducible_and_has_features() -> None:
    assert bill() == bill()
    assert "opentelemetry" in names(bill("--features", "otlp"))


def test_bill_of_materials_of_an_image_lists_its_packages(tmp_path: Path) -> None:
    """With a program in the place of docker that prints what dpkg-query prints in the image."""
    engine = tmp_path / "engine"
    engine.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\necho libc6 2.36-9+deb12u13 amd64\necho tzdata 1:2025b-0 all\n'
    )
    engine.chmod(0o755)
    output = tmp_path / "image.json"
    bill_text = succeed(SBOM, "--image", "rdpm:cpu", "--engine", engine, "--output", output)
    assert bill_text == ""
    text = output.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    assert document["metadata"]["component"] == {"type": "container", "bom-ref": "rdpm:cpu", "name": "rdpm:cpu"}
    assert {"rdpm", "candle-core", "libc6", "tzdata"} <= names(document)
    urls = {component["purl"] for component in document["components"]}
    assert "pkg:deb/debian/libc6@2.36-9%2Bdeb12u13?arch=amd64" in urls
    assert "run --rm --network none --entrypoint dpkg-query rdpm:cpu" in (tmp_path / "arguments").read_text()


def test_python_versions_are_pinned() -> None:
    """Each requirement names one version."""
    folders = ("clients", "deploy", "queue")
    for file in ("training/constraints.txt", *(f"tests/{folder}/requirements.txt" for folder in folders)):
        for line in (REPOSITORY / file).read_text().splitlines():
            assert line.startswith("#") or re.fullmatch(r"[\w.\[\]-]+==[\w.]+", line), f"{file}: {line}"
