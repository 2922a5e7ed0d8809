"""Web hooks, checked by the Python library of Standard Webhooks, with and without TLS."""

import base64
import queue
import secrets
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from conftest import serve
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
OLD_SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
TIMEOUT = 60

Message = tuple[dict[str, str], bytes]


@contextmanager
def receiver(context: ssl.SSLContext | None = None) -> Iterator[tuple[int, "queue.Queue[Message]"]]:
    """A receiver of web hooks: its port, and the messages that arrive."""
    messages: queue.Queue[Message] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            messages.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # A handshake that fails must not be printed.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, messages
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """The settings of a server that sends web hooks to this machine."""
    secret = tmp_path / "secret"
    secret.write_text(f"{OLD_SECRET}\n{SECRET}\n")
    hosts = ["--webhook-hosts", "localhost,127.0.0.1", "--webhook-networks", "127.0.0.0/8"]
    return [*hosts, "--webhook-secret-file", str(secret)]


def test_library_verifies_messages(options: list[str]) -> None:
    with receiver() as (port, messages), serve(*options) as server:
        url = f"http://127.0.0.1:{port}/hook"
        job = httpx.post(f"{server}/api/v1/generations", json={"class": 0, "seed": 7, "webhook": url}).json()
        headers, body = messages.get(timeout=TIMEOUT)
    for secret in (SECRET, OLD_SECRET):
        message = Webhook(secret).verify(body, headers)
        assert message["type"] == "generation.completed"
        assert (message["data"]["id"], message["data"]["seed"]) == (job["id"], 7)
    for secret, changed in ((SECRET, body + b" "), ("whsec_" + base64.b64encode(b"x" * 24).decode(), body)):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(changed, headers)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate of `localhost` that signs itself, and a receiver's context with it."""
    folder = tmp_path_factory.mktemp("certificate")
    extensions = "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n"
    (folder / "config").write_text(f"[req]\ndistinguished_name=name\n[name]\n[extensions]\n{extensions}")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=receiver"
    files = "-config config -extensions extensions -keyout key.pem -out certificate.pem"
    subprocess.run([*command.split(), *files.split()], cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return folder / "certificate.pem", context


def test_receivers_with_a_trusted_certificate_get_messages(
    options: list[str], certificate: tuple[Path, ssl.SSLContext]
) -> None:
    file, context = certificate
    with receiver(context) as (port, messages), serve(*options, SSL_CERT_FILE=str(file)) as server:
        url = f"https://localhost:{port}/hook"
        httpx.post(f"{server}/api/v1/generations", json={"class": 0, "webhook": url}).raise_for_status()
        headers, body = messages.get(timeout=TIMEOUT)
    assert Webhook(SECRET).verify(body, headers)["type"] == "generation.completed"


@pytest.mark.parametrize(("host", "is_trusted"), [("localhost", False), ("127.0.0.1", True)])
def test_receivers_with_another_certificate_get_none(
    options: list[str], certificate: tuple[Path, ssl.SSLContext], host: str, is_trusted: bool, tmp_path: Path
) -> None:
    """The certificate's authority is unknown, or it is of another name."""
    file, context = certificate
    (tmp_path / "empty").touch()
    authorities = str(file if is_trusted else tmp_path / "empty")
    with receiver(context) as (port, messages), serve(*options, SSL_CERT_FILE=authorities) as server:
        url = f"https://{host}:{port}/hook"
        httpx.post(f"{server}/api/v1/generations", json={"class": 0, "webhook": url}).raise_for_status()
        deadline = time.monotonic() + TIMEOUT
        while "\nrdpm_webhook_attempts_total 1\n" not in httpx.get(f"{server}/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(queue.Empty):
            messages.get(timeout=1)
    assert messages.empty()
