"""The OpenAPI document against the server: no answer outside it, no 5xx, whatever is sent.

Longer by hand: `SCHEMATHESIS_EXAMPLES=1000 pytest tests/clients/test_schemathesis.py`.
"""

import os
import subprocess
from pathlib import Path

from conftest import TOOLS

HERE = Path(__file__).parent
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "25")


def test_the_server_does_what_its_document_says(server: str) -> None:
    command = [
        *(TOOLS / "schemathesis", "run", f"{server}/openapi.json"),
        *("--checks", "all"),
        # DELETE cancels: what was drawn stays. The largest seed, 2^53 - 1, is where floats end: what schemathesis
        # takes for a larger one is rounded to one that is allowed. (tests/rest and tests/fuzz.rs send what must be
        # refused.)
        *("--exclude-checks", "use_after_free,negative_data_rejection"),
        *("--max-examples", EXAMPLES),
        *("--seed", "1"),
        # How fast it is depends on the machine.
        *("--request-timeout", "300", "--max-response-time", "300"),
        "--continue-on-failure",
        "--no-color",
    ]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(HERE)}
    run = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=6000)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2000:]
