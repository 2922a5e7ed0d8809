"""Our JavaScript client, `clients/js`: in Node and in a browser, against a real server, and its package."""

import base64
import filecmp
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import REPOSITORY, TOOLS, serve

HERE = Path(__file__).parent
PACKAGE = REPOSITORY / "clients/js"
NODE = shutil.which("node", path=TOOLS) or "node"
PNG = b"\x89PNG\r\n\x1a\n"


def run(*command: str | Path, cwd: Path = HERE, **environment: str) -> str:
    environment = os.environ | {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"} | environment
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_in_node(server: str) -> None:
    output = run(
        NODE, "--test", "--test-timeout=120000", "--test-reporter=tap", "rdpm_client.test.mjs", RDPM_SERVER=server
    )
    assert int(re.search(r"^# pass (\d+)$", output, re.MULTILINE)[1]) >= 18


def test_types_are_up_to_date(tmp_path: Path) -> None:
    run(PACKAGE / "generate-types.sh", tmp_path)
    committed = {path.name for path in (PACKAGE / "src").glob("*.d.ts")}
    assert {path.name for path in tmp_path.iterdir()} == committed
    different = [name for name in sorted(committed) if not filecmp.cmp(tmp_path / name, PACKAGE / "src" / name, False)]
    assert different == [], "run clients/js/generate-types.sh"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the package that `npm pack` makes."""
    folder = tmp_path_factory.mktemp("project")
    npm = shutil.which("npm", path=TOOLS) or "npm"
    run(npm, "pack", "--silent", "--pack-destination", folder, cwd=PACKAGE, npm_config_cache=str(folder / "cache"))
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    (folder / "node_modules").mkdir()
    (folder / "package").rename(folder / "node_modules/rdpm-client")
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def test_package_has_types_readme_and_licences(project: Path) -> None:
    installed = project / "node_modules/rdpm-client"
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        assert (installed / name).read_text() == (REPOSITORY / name).read_text()
    files = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert {"package.json", "README.md", "src/index.js", "src/index.d.ts", "src/schema.d.ts"} <= files
    assert not [name for name in files if not name.startswith(("src/", "LICENSE-", "README.md", "package.json"))]
    package = json.loads((installed / "package.json").read_text())
    version = re.search(r'^version = "(.*)"$', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)
    assert package["version"] == version[1] and package["license"] == "MIT OR Apache-2.0"
    assert not package.keys() & {"dependencies", "scripts"}


def test_readme_runs(project: Path, server: str) -> None:
    blocks = re.findall(r"^```js\n(.*?)^```", (PACKAGE / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    (project / "readme.js").write_text("\n".join(blocks).replace("http://localhost:3000", server))
    output = run(NODE, "readme.js", cwd=project)
    assert "10 of 10" in output and "image/webp" in output and "422" in output
    assert (project / "heart.png").read_bytes().startswith(PNG)


def test_types(project: Path) -> None:
    shutil.copy(HERE / "rdpm_client.ts", project)
    options = "--noEmit --strict --module nodenext --target es2022 --lib es2022,dom,dom.asynciterable".split()
    run(NODE, HERE / "node_modules/typescript/bin/tsc", *options, "rdpm_client.ts", cwd=project)


class Browser:
    """Chromium, by the WebDriver protocol."""

    def __init__(self, driver: str) -> None:
        self.http = httpx.Client(base_url=driver, timeout=60)
        arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        capabilities = {"browserName": "chrome", "goog:chromeOptions": {"args": arguments}}
        session = self.command("POST", "/session", capabilities={"alwaysMatch": capabilities})
        self.path = f"/session/{session['sessionId']}"

    def command(self, method: str, path: str, **body: Any) -> Any:
        response = self.http.request(method, path, json=body if method == "POST" else None)
        assert response.is_success, response.text
        return response.json()["value"]

    def open(self, url: str) -> None:
        self.command("POST", f"{self.path}/url", url=url)

    def script(self, code: str) -> Any:
        return self.command("POST", f"{self.path}/execute/sync", script=code, args=[])

    def close(self) -> None:
        self.command("DELETE", self.path)
        self.http.close()


@pytest.fixture
def browser() -> Iterator[Browser]:
    chromedriver = shutil.which("chromedriver")
    assert chromedriver, "scripts/test installs chromium-driver"
    with subprocess.Popen([chromedriver, "--port=0"], stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            started = next(line for line in program.stdout if "started successfully on port" in line)
            port = re.search(r"port (\d+)", started)[1]
            browser = Browser(f"http://127.0.0.1:{port}")
            yield browser
            browser.close()
        finally:
            program.terminate()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    """The repository, on a web server of its own."""
    handler = functools.partial(Quiet, directory=str(REPOSITORY))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


@pytest.fixture
def drawing_server(site: str) -> Iterator[str]:
    """A server that allows the site's pages."""
    with serve("--cors-origin", site) as address:
        yield address


def captions(browser: Browser, *patterns: str) -> list[str]:
    """What is said below the three pictures, once it matches."""
    for _ in range(600):
        found = browser.script("return [...document.querySelectorAll('figcaption')].map((found) => found.textContent)")
        if all(re.match(pattern, text, re.DOTALL) for pattern, text in zip(patterns, found, strict=True)):
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def test_page_draws_in_a_browser(browser: Browser, site: str, drawing_server: str) -> None:
    browser.open(f"{site}/examples/page.html?server={drawing_server}")
    completed = "completed, seed"
    captions(browser, "completed, seed 7$", completed, completed)
    images = browser.script("return [...document.images].map(({ src, alt, naturalWidth }) => [src, alt, naturalWidth])")
    assert [(alt, width) for _, alt, width in images] == [("red heart", 128), ("cat", 128), ("Sneaker", 28)]
    # The same picture as by any other way.
    body = {"prompt": "red heart", "model": "emoji", "seed": 7}
    expected = httpx.post(f"{drawing_server}/api/v1/generations?wait=true", json=body, timeout=60).json()
    assert images[0][0] == f"data:image/png;base64,{expected['images'][0]['png_base64']}"
    assert base64.b64decode(images[0][0].partition(",")[2]).startswith(PNG)
    browser.script("document.querySelector('button').click()")
    captions(browser, r"completed, seed (?!7$)\d+", completed, completed)
    browser.script("document.querySelector('rdpm-image').setAttribute('prompt', 'qwertz')")
    captions(browser, "422 .*qwertz", completed, completed)


def test_page_says_that_its_origin_is_not_allowed(browser: Browser, site: str, server: str) -> None:
    browser.open(f"{site}/examples/page.html?server={server}")
    captions(browser, *["the server can't be reached"] * 3)
