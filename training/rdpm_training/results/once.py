"""Work that is done once: a report kept as JSON, skipped the second time, and never mixed with other settings.

Several processes may work on the same plan: what one is at, the others leave to it.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from .. import runs
from ..config import ConfigError


def once(folder: Path, asked: dict[str, Any], work: Callable[[], dict[str, Any]]) -> bool:
    """Leaves `report.json` in the folder: what was asked, what `work` found, when and on what machine.

    Returns whether the work was done just now.

    Raises ConfigError where the folder has work for other settings in it, finished or not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    asked = json.loads(json.dumps(asked))  # as it will be read again
    with _claim(folder / "lock") as ours:
        if not ours:
            print(f"{folder}: another process is at it", flush=True)
            return False
        former = runs.read_report(folder, "asked")
        if former is not None and former != asked:
            changed = sorted(key for key in former.keys() | asked.keys() if former.get(key) != asked.get(key))
            raise ConfigError(f"{folder} was begun with other settings ({', '.join(changed)}); remove it to begin anew")
        if (folder / "report.json").exists():
            return False
        (folder / "asked.json").write_text(json.dumps(asked, indent=2) + "\n")
        print(f"== {folder}", flush=True)
        found = work()
        runs.report(folder, "report", {"asked": asked, "found": found, "made": provenance()})
        return True


def provenance() -> dict[str, Any]:
    """When and on what."""
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": runs.hardware(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


@contextmanager
def _claim(path: Path) -> Iterator[bool]:
    """Whether the lock at `path` could be had; it is let go at the end, also when the process dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
