"""The page's main functions in Firefox, driven over WebDriver BiDi. Skipped without Debian's `firefox-esr`.

The tests in `tests/browser` drive Chromium and are complete; these show that nothing of the page needs Chromium.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FIREFOX = shutil.which("firefox-esr")
TIMEOUT = 120.0

pytestmark = pytest.mark.skipif(FIREFOX is None, reason="firefox-esr is not installed")


class Firefox:
    """One tab of a headless Firefox."""

    def __init__(self, profile: Path, url: str) -> None:
        from websockets.sync.client import connect

        self.url = url
        command = [FIREFOX, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"]
        environment = os.environ | {"HOME": str(profile)}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        prefix = "WebDriver BiDi listening on "
        address = next(line.split(prefix)[1].strip() for line in self.process.stderr if prefix in line)
        self.stack = contextlib.ExitStack()
        self.socket = self.stack.enter_context(connect(f"{address}/session", max_size=None))
        self.id = 0
        self.console: list[str] = []
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=["log.entryAdded"])
        self.tab = self.send("browsingContext.getTree")["contexts"][0]["context"]

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.id += 1
        self.socket.send(json.dumps({"id": self.id, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=TIMEOUT))
            if message.get("method") == "log.entryAdded" and message["params"]["level"] in ("warn", "error"):
                self.console.append(message["params"]["text"])
            if message.get("id") == self.id:
                assert message["type"] == "success", message
                return message["result"]

    def script(self, expression: str) -> Any:
        """The value of an expression, as JSON."""
        wrapped = f"Promise.resolve({expression}).then(value => JSON.stringify(value ?? null))"
        result = self.send("script.evaluate", expression=wrapped, target={"context": self.tab}, awaitPromise=True)
        assert result["type"] == "success", result
        return json.loads(result["result"]["value"])

    def go(self, path: str) -> None:
        self.send("browsingContext.navigate", context=self.tab, url=self.url + path, wait="complete")

    def until(self, condition: str) -> None:
        end = time.monotonic() + TIMEOUT
        while not self.script(f"Boolean({condition})"):
            status = "[...document.querySelectorAll('.status')].map(status => status.innerText)"
            assert time.monotonic() < end, f"{condition}: {self.script(status)}"
            time.sleep(0.1)

    def until_state(self, view: str, state: str = "completed") -> None:
        self.until(f"document.querySelector('#{view} .status')?.dataset.state === '{state}'")

    def press(self, key: str) -> None:
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.send(
            "input.performActions", context=self.tab, actions=[{"type": "key", "id": "keyboard", "actions": actions}]
        )

    def close(self) -> None:
        self.stack.close()
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def firefox(server: str, tmp_path: Path) -> Iterator[Firefox]:
    browser = Firefox(tmp_path, server)
    yield browser
    browser.close()
    assert browser.console == []


def generated(server: str, **settings: Any) -> str:
    """The picture of these settings from the API, as a data URL."""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{server}/api/v1/generations?wait=true", json.dumps(settings).encode(), headers)
    with urllib.request.urlopen(request) as response:
        return "data:image/png;base64," + json.load(response)["images"][0]["png_base64"]


PICTURE = "document.querySelector('#draw [data-part=download]').href"


def test_draws_and_shows_kept_pictures_again(firefox: Firefox, server: str) -> None:
    firefox.go("/?class=Bag&seed=3")
    firefox.until_state("draw")
    first = generated(server, **{"class": "Bag", "seed": 3})
    assert firefox.script(PICTURE) == first
    firefox.script(
        "(() => { const seed = document.getElementById('seed'); seed.value = '4'; "
        "seed.dispatchEvent(new Event('input', {bubbles: true})); document.activeElement.blur(); })()"
    )
    firefox.press("d")
    firefox.until("location.search.includes('seed=4')")
    firefox.until_state("draw")
    firefox.until("document.querySelectorAll('#draw .history-list a').length === 2")
    firefox.script("history.back()")
    firefox.until("document.querySelector('#draw .status').innerText.includes('Shown again')")
    assert firefox.script(PICTURE) == first
    # After a reload the pictures come from IndexedDB.
    firefox.go("/?model=fashion-mnist")
    firefox.until("document.querySelectorAll('#draw .history-list a').length === 2")
    firefox.script("document.querySelectorAll('#draw .history-list a')[1].click()")
    firefox.until("document.querySelector('#draw .status').innerText.includes('Shown again')")
    assert firefox.script(PICTURE) == first
    firefox.script("document.querySelector('[data-part=open-gallery]').click()")
    firefox.until("document.querySelectorAll('.gallery-list label').length === 2")


def test_steps_save_and_code(firefox: Firefox) -> None:
    firefox.go("/?class=Coat&seed=6")
    firefox.until_state("draw")
    firefox.script("document.activeElement.blur()")
    firefox.press("\ue012")  # left arrow
    firefox.until("document.querySelector('#draw [data-part=tokens]').dataset.step === '9'")
    firefox.script("(() => { HTMLAnchorElement.prototype.click = function () { window.saved = this.download; } })()")
    firefox.press("s")
    firefox.until("window.saved === 'coat-6.png'")
    firefox.script("document.querySelector('#draw [data-open=code]').click()")
    firefox.until("document.querySelector('.code-drawer code')?.textContent.includes('\"seed\":6')")


def test_compares_and_draws_a_matrix(firefox: Firefox) -> None:
    firefox.go("/?view=compare&class=Bag&seed=3")
    firefox.until_state("compare")
    assert "tokens are the same" in firefox.script("document.querySelector('#compare .status').innerText")
    firefox.go("/?view=compare&class=Bag&seed=3&x=guidance&xs=0+2&y=temperature&ys=0+1")
    firefox.until_state("compare")
    assert firefox.script("document.querySelectorAll('.matrix-cell').length") == 4


def test_tokenizes_and_explains(firefox: Firefox) -> None:
    firefox.go("/?view=tokenize")
    firefox.until("document.body.dataset.loaded === 'tokenize'")
    firefox.script("document.querySelector('[data-example$=\"9.png\"]').click()")
    firefox.until_state("tokenize")
    firefox.go("/?view=how")
    firefox.until_state("how")
    assert firefox.script("document.querySelectorAll('#how .probabilities .drawn').length") == 1
    firefox.go("/docs")
    assert "Atkinson" in firefox.script("getComputedStyle(document.body).fontFamily")
