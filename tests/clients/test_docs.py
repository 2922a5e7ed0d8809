"""The documents: their curl commands run as written, except for the address, and the files that they name exist."""

import json
import os
import re
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from conftest import REPOSITORY
from PIL import Image

PLACES = ("*.md", "docs/**/*.md", "training/*.md", "clients/*/README.md", "weights/*/*.md")
DOCUMENTS = [path for place in PLACES for path in sorted(REPOSITORY.glob(place))]
# The documents with curl commands.
WITH_COMMANDS = [REPOSITORY / "README.md", REPOSITORY / "docs/api.md"]
# Blocks are indented by four spaces; a backslash continues a line.
COMMAND = re.compile(r"^    ((?:echo .*\|\n *)?curl (?:.*\\\n)*.*)$", re.MULTILINE)
COMMANDS = [command for path in WITH_COMMANDS for command in COMMAND.findall(path.read_text())]
# The first bytes of each kind of file.
SIGNATURES = {
    ".png": b"\x89PNG",
    ".webp": b"RIFF",
    ".jpeg": b"\xff\xd8",
    ".jpg": b"\xff\xd8",
    ".gif": b"GIF8",
    ".rdpm": b"RDPM",
}
# Addresses of pictures; capitals and braces stand for any name.
PICTURE = re.compile(r"/api/v1/pictures/[a-z0-9-]+/[^\s/`\"'?<>{}()]+\.[a-z]+(?:\?[^\s`\"'<>)]*)?")
WITH_PICTURES = [*DOCUMENTS, *sorted(REPOSITORY.glob("examples/*")), REPOSITORY / "docs/openapi.json"]
PICTURES = sorted({address for path in WITH_PICTURES for address in PICTURE.findall(path.read_text())})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the file that the commands send."""
    folder = tmp_path_factory.mktemp("docs")
    picture = REPOSITORY / "weights/fashion-mnist/classes/8.png"
    (folder / "picture.png").write_bytes(picture.read_bytes())
    mask = Image.new("L", (28, 28))
    mask.paste(255, (0, 0, 14, 28))
    mask.save(folder / "mask.png")
    return folder


def test_readme_and_api_have_commands() -> None:
    assert COMMAND.search((REPOSITORY / "README.md").read_text())
    assert len(COMMAND.findall((REPOSITORY / "docs/api.md").read_text())) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_command_succeeds(command: str, folder: Path, server: str) -> None:
    assert "localhost:3000" in command
    command = command.replace("localhost:3000", server.removeprefix("http://"))
    # $ID is the id of the first generation.
    id_file = folder / "id"
    environment = os.environ | {
        "LC_ALL": "C.UTF-8",
        "ID": id_file.read_text() if id_file.exists() else "",
        "SECRET": "a-secret-of-the-tests",
    }
    # With --fail a status of 400 or more is an error.
    command = command.replace("curl ", "curl --fail-with-body ", 1)
    run = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=600, env=environment)
    assert run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
    output = re.search(r"(?:-o|--output|>) *(\S+)", command)
    if output:
        file = (folder / output[1]).read_bytes()
        assert file.startswith(SIGNATURES[Path(output[1]).suffix]), command
    elif "/events" in command:
        assert "event: completed" in run.stdout
    elif not command.startswith("curl --fail-with-body -X DELETE"):
        response = json.loads(run.stdout)
        # It may be queued, running or completed by now.
        if {"id", "status", "links"} <= response.keys() and not id_file.exists():
            id_file.write_text(response["id"])


def test_api_document_has_addresses_of_pictures() -> None:
    assert PICTURE.search((REPOSITORY / "docs/api.md").read_text())


@pytest.mark.parametrize("address", PICTURES)
def test_address_of_picture_leads_to_it(address: str, server: str) -> None:
    with urllib.request.urlopen(server + address, timeout=600) as response:
        suffix = Path(urllib.parse.urlsplit(address).path).suffix
        assert response.read().startswith(SIGNATURES[suffix])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_to_files_and_headings(document: Path) -> None:
    links = re.findall(r"\]\((?![a-z]+:)([^)\s#]*)(?:#([^)\s]+))?\)", document.read_text())
    for path, heading in links:
        target = document.parent / path if path else document
        assert target.exists(), f"{path} does not exist"
        if heading:
            assert heading in headings(target), f"{path} has no heading {heading}"


def headings(document: Path) -> set[str]:
    """The fragments by which a document's headings are linked."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_named_paths_exist(document: Path) -> None:
    # Paths in code marks that begin with a folder of the repository. Capitals, like NAME, stand for any name.
    folders = "src|static|templates|tests|benches|training|weights|docs|deploy|scripts|examples|clients"
    for path in re.findall(rf"`((?:{folders})/[\w./*-]*)`", document.read_text()):
        # The changelog names paths of older versions; runs and virtual environments are not part of the repository.
        if document.name == "CHANGELOG.md" or path.startswith("training/runs"):
            continue
        pattern = re.sub(r"\b[A-Z]+\b", "*", path.removesuffix("/"))
        found = any(list(folder.glob(pattern)) for folder in (REPOSITORY, document.parent))
        assert found, f"{path} does not exist"
