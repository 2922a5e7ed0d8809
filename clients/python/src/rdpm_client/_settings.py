"""What a request asks for."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict

from . import schema
from ._results import Image


class PillowImage(Protocol):
    """A `PIL.Image.Image`."""

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None: ...


ImageInput = Image | bytes | os.PathLike[str] | str | PillowImage
"""A picture: the bytes of a PNG, JPEG, WebP, GIF or BMP file, the path of one, an `Image`, or a Pillow image."""


class Settings(TypedDict, total=False):
    """What `generate` and `stream` accept beside the prompt. The server's documentation, `/docs`, has the ranges."""

    class_: str | int | None
    """A class of the model, by name or index. Required without a prompt."""
    model: str | None
    """The server's default if omitted."""
    style: str | None
    """A drawing style of the model. If omitted, each image has another one."""
    seed: int | None
    """Random if omitted; `Generation.seed` tells it. The same seed and settings give the same picture."""
    count: int
    """Number of images, 1 to 16."""
    guidance: float | None
    """How strongly the prompt or class is followed; 1 is no guidance."""
    guidance_steps: str | None
    """First and last step with guidance, as in "1-7"; all if omitted."""
    temperature: float | None
    """How freely codes are drawn; 0 takes the most probable."""
    top_k: int | None
    top_p: float | None
    image: ImageInput | None
    """A picture to vary, from its state after `from_step` steps."""
    from_step: int | None
    mask: ImageInput | None
    """What to draw again of `image`: where it is transparent or, if it is opaque, white."""
    cells: list[list[int]] | None
    """The cells to draw again instead of a mask: rows and columns of the token grid."""
    tokens: dict[str, Any] | list[list[list[int | None]]] | None
    """Codes that are given, `None` where the model draws; or a token file."""
    from_: dict[str, Any] | None
    """An image of an earlier generation to go on from: `generation`, `image`, `step`, `changes`."""
    index: int | None
    """Index of the first image of the seed; 0 if omitted."""
    previews: bool
    """Whether steps have preview pictures. True for `stream`, False for `generate` if omitted."""
    alternatives: bool
    """Whether steps have the most probable codes of each position."""
    cancel_on_disconnect: bool
    """Whether the server cancels the generation when nobody has followed it for some seconds. True if omitted."""
    webhook: str | None
    """A URL that is sent a signed message when the generation has ended, if the server's operator allows its host."""


End = int | ImageInput | schema.InterpolationEnd
"""A picture at an end of an interpolation: that of a seed, a picture, or what the API accepts."""


class InterpolationSettings(TypedDict, total=False):
    """What `interpolate` accepts beside the two pictures. The server's documentation, `/docs`, has the ranges."""

    kind: Literal["noise", "steps", "latent"] | None
    """What is interpolated: the noise, the state after `kept_steps` steps, or the finished pictures."""
    kept_steps: int | None
    """With the kind `steps`; half of the steps if omitted."""
    frames: int | None
    """Number of images, 2 to 16, both ends included; 9 if omitted."""
    class_: str | int | None
    """A class of the model, by name or index, where the pictures don't say it."""
    model: str | None
    style: str | None
    seed: int | None
    """Seed of the noise that uploaded pictures are encoded with."""
    guidance: float | None
    guidance_steps: str | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    previews: bool
    alternatives: bool
    cancel_on_disconnect: bool
    """Whether the server cancels the drawing when nobody has followed it for some seconds. True if omitted."""


def interpolation_body(a: End, b: End, prompt: str | None, settings: InterpolationSettings) -> dict[str, Any]:
    """The JSON of a request for pictures between two others."""
    known = InterpolationSettings.__annotations__.keys()
    return {"a": end(a), "b": end(b)} | _body({"previews": False, **settings, "prompt": prompt}, settings, known)


def end(picture: End) -> dict[str, Any]:
    if isinstance(picture, int):
        return {"seed": picture}
    if isinstance(picture, dict):
        return dict(picture)
    return {"image": image_base64(picture)}


def request_body(prompt: str | None, settings: Settings, **defaults: bool) -> dict[str, Any]:
    """The JSON of a request. Absent and `None` mean the same to the server."""
    values = _body({**defaults, **settings, "prompt": prompt}, settings, Settings.__annotations__.keys())
    return values | {name: image_base64(values[name]) for name in ("image", "mask") if name in values}


def _body(values: dict[str, Any], settings: Mapping[str, Any], known: Set[str]) -> dict[str, Any]:
    unknown = settings.keys() - known
    if unknown:
        raise TypeError(f"unknown setting: {', '.join(sorted(unknown))}")
    values = {"cancel_on_disconnect": True, **values}
    return {name.rstrip("_"): value for name, value in values.items() if value is not None}


def image_base64(image: ImageInput) -> str:
    return base64.b64encode(image_bytes(image)).decode()


def image_bytes(image: ImageInput) -> bytes:
    if isinstance(image, Image):
        return image.png
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        return Path(image).read_bytes()
    if not hasattr(image, "save"):
        raise TypeError(f"not a picture: {type(image).__name__}")
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()
