"""Cached runs: a result is written as a JSON report and not computed again for the same cache key.

Several processes may work on the same plan: a lock file keeps them from computing the same result.
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


def cached_run(folder: Path, cache_key: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> bool:
    """Computes a result unless `folder` has its report, and writes `report.json`: key, result, time and machine.

    `cache_key` holds all settings that determine the result. Returns whether this call computed it.

    Raises ConfigError if the folder has a report, or an unfinished run, with another cache key.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cache_key = json.loads(json.dumps(cache_key))  # tuples become lists, as in the file
    with _try_lock(folder / "lock") as locked:
        if not locked:
            print(f"{folder}: another process is working on it", flush=True)
            return False
        previous = runs.read_report(folder, "asked")
        if previous is not None and previous != cache_key:
            keys = previous.keys() | cache_key.keys()
            changed = sorted(key for key in keys if previous.get(key) != cache_key.get(key))
            raise ConfigError(
                f"{folder} belongs to other settings ({', '.join(changed)} differ); delete it to start again"
            )
        if (folder / "report.json").exists():
            return False
        (folder / "asked.json").write_text(json.dumps(cache_key, indent=2) + "\n")
        print(f"== {folder}", flush=True)
        result = compute()
        runs.report(folder, "report", {"asked": cache_key, "found": result, "made": provenance()})
        return True


def provenance() -> dict[str, Any]:
    """Time, machine and PyTorch version."""
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": runs.hardware(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


@contextmanager
def _try_lock(path: Path) -> Iterator[bool]:
    """Yields whether the lock file could be locked. The lock is released at the end, even if the process dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
