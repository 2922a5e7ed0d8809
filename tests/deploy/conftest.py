"""Runs the programs that the Python packages of this folder's requirements install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PROGRAMS = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """Runs a command with the virtual environment's programs first in the path."""
    environment = os.environ | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
    return subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True)


def succeed(*command: str | Path, cwd: Path = REPOSITORY) -> str:
    """The output of a command that must succeed."""
    result = run(*command, cwd=cwd)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


def tracked_files() -> list[Path]:
    """Text files of the repository, without large generated ones."""
    listed = succeed("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    return [REPOSITORY / name for name in listed.split("\0") if name and (REPOSITORY / name).is_file()]
