"""A real server with the shipped weights, for our clients and those that other people wrote."""

import base64
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
PROGRAM = Path(os.environ.get("RDPM_PROGRAM", TARGET / "release" / "rdpm"))
TOOLS = Path(sys.executable).parent

# Our Python client, as it is in the repository.
sys.path.insert(0, str(REPOSITORY / "clients/python/src"))


@contextmanager
def serve(*options: str, **environment: str) -> Iterator[str]:
    """Runs a server; its address."""
    command = [PROGRAM, "serve", "--port", "0", *options]
    own = {"RDPM_WEIGHTS": str(REPOSITORY / "weights"), "RDPM_DEVICE": "cpu", "RDPM_LOG": "error"}
    inherited = {name: value for name, value in os.environ.items() if name != "RDPM_PROGRAM"}
    with subprocess.Popen(command, env=inherited | own | environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            yield program.stdout.readline().strip()
        finally:
            program.terminate()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address. It keeps pictures, and takes the docs' web hooks, which nobody receives."""
    folder = tmp_path_factory.mktemp("server")
    secret = folder / "secret"
    secret.write_text("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
    # With a short queue, as asking goes on while answers are drawn: what is accepted is answered soon on any machine.
    options = ["--max-queue", "32", "--store", str(folder / "store")]
    options += ["--webhook-hosts", "hooks.example.org", "--webhook-secret-file", str(secret)]
    with serve(*options) as address:
        yield address
