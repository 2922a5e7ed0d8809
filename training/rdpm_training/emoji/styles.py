"""Icon sets from the npm registry: fetched at a pinned version, verified, and rendered.

Two layouts are supported: an Iconify collection (`icons.json` with SVG bodies, `info.json` with the licence) and a
folder `assets/` of WebP files named by code points.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from ..config import Package
from ..dataset import DataError
from . import unicode

Renderer = Callable[[], Image.Image]


def fetch(package: Package, cache: Path) -> Path:
    """Path of the package's archive; npm downloads it if it is not in `cache`. Its SHA-256 must be as configured."""
    stem = package.package.removeprefix("@").replace("/", "-")
    path = cache / f"{stem}-{package.version}.tgz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", "--pack-destination", cache, f"{package.package}@{package.version}"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise DataError("npm is missing; install it with `apt-get install npm`") from error
        except subprocess.CalledProcessError as error:
            raise DataError(
                f"npm could not fetch {package.package}@{package.version}: {error.stderr.strip()}"
            ) from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != package.sha256:
        raise DataError(f"{path} has SHA-256 {digest}, but the configuration says {package.sha256}")
    return path


def renderers(archive: Path, license: str, emoji: list[unicode.Emoji]) -> dict[str, Renderer]:
    """Emoji key -> a function that renders it (RGBA), for all emoji in the icon set.

    Raises DataError if the package states another licence than the configuration.
    """
    with tarfile.open(archive) as tar:
        files = {member.name.removeprefix("package/"): member for member in tar if member.isfile()}

        def load(name: str) -> Any:
            return json.loads(_read_member(tar, files[name]))

        iconify = "icons.json" in files
        stated = load("info.json")["license"]["spdx"] if iconify else load("package.json")["license"]
        if stated != license:
            raise DataError(f"{archive} is under {stated}, but the configuration says {license}")
        if iconify:
            return _iconify_renderers(load("icons.json"), load("chars.json"), emoji)
        images = {Path(name): _read_member(tar, member) for name, member in files.items() if name.endswith(".webp")}
    return {unicode.key(path.stem.split("-")): _webp_renderer(content) for path, content in images.items()}


def _read_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None  # only regular files are read
    return file.read()


def _webp_renderer(content: bytes) -> Renderer:
    return lambda: Image.open(io.BytesIO(content)).convert("RGBA")


def normalized_name(name: str) -> str:
    """A name in a form that can be compared: Unicode's `flag: Côte d’Ivoire` and an icon's `flag-for-cote-divoire`."""
    ascii_only = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    ascii_only = re.sub(r"^flag-for-(flag-)?", "flag-", ascii_only)
    return re.sub(r"[^a-z0-9]", "", ascii_only)


def _iconify_renderers(
    collection: dict[str, Any], chars: dict[str, str], emoji: list[unicode.Emoji]
) -> dict[str, Renderer]:
    """Finds icons by code points if the collection lists them (`chars`), otherwise by name."""
    icons = {name: icon for name, icon in collection["icons"].items()}
    for name, alias in collection.get("aliases", {}).items():
        if alias.keys() == {"parent"} and alias["parent"] in icons:
            icons[name] = icons[alias["parent"]]
    by_key = {unicode.key(points.split("-")): name for points, name in chars.items()}
    by_name = {normalized_name(name): name for name in icons}
    found = {}
    for item in emoji:
        normalized = normalized_name(item.name)
        name = by_key.get(item.key) or by_name.get(normalized) or by_name.get(normalized + "face")
        if name in icons:
            found[item.key] = _svg_renderer(_svg(icons[name], collection))
    return found


def _svg(icon: dict[str, Any], collection: dict[str, Any]) -> str:
    left, top, width, height = (
        icon.get(name, collection.get(name, default))
        for name, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
    )
    namespaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {namespaces} viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'


def _svg_renderer(svg: str, side: int = 256) -> Renderer:
    def render() -> Image.Image:
        import resvg_py  # needed by stage `data` only

        png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side, skip_system_fonts=True))
        return Image.open(io.BytesIO(png)).convert("RGBA")

    return render
