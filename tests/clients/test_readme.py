"""The README's curl lines, run as they stand there, one after the other, but for the address."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
# Blocks are indented by four blanks; a backslash ends a line that goes on.
LINES = re.findall(r"^    ((?:echo .*\|\n *)?curl (?:.*\\\n)*.*)$", README, re.MULTILINE)
# What each kind of file begins with.
SIGNATURES = {".png": b"\x89PNG", ".webp": b"RIFF", ".jpeg": b"\xff\xd8", ".gif": b"GIF8"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A folder with the file that the lines send."""
    folder = tmp_path_factory.mktemp("readme")
    picture = REPOSITORY / "weights/fashion-mnist/classes/8.png"
    (folder / "picture.png").write_bytes(picture.read_bytes())
    return folder


def test_there_are_lines() -> None:
    assert len(LINES) >= 8


@pytest.mark.parametrize("line", LINES)
def test_line(line: str, place: Path, server: str) -> None:
    assert "localhost:3000" in line
    line = line.replace("localhost:3000", server.removeprefix("http://"))
    # $ID is the first generation's.
    known = place / "id"
    environment = os.environ | {"LC_ALL": "C.UTF-8", "ID": known.read_text() if known.exists() else ""}
    # With --fail an answer of 400 or more is an error.
    command = line.replace("curl ", "curl --fail-with-body ", 1)
    run = subprocess.run(command, shell=True, cwd=place, capture_output=True, text=True, timeout=600, env=environment)
    assert run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
    output = re.search(r"(?:-o|--output|>) *(\S+)", line)
    if output:
        file = (place / output[1]).read_bytes()
        assert file.startswith(SIGNATURES[Path(output[1]).suffix]), command
    elif "/events" in line:
        assert "event: completed" in run.stdout
    elif not line.startswith("curl -X DELETE"):
        answer = json.loads(run.stdout)
        # It may be queued, running or done by now.
        if {"id", "status", "links"} <= answer.keys() and not known.exists():
            known.write_text(answer["id"])
