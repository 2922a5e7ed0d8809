"""What a request asks for."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any, Protocol, TypedDict

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


def request_body(prompt: str | None, settings: Settings, **defaults: bool) -> dict[str, Any]:
    """The JSON of a request. Absent and `None` mean the same to the server."""
    unknown = settings.keys() - Settings.__annotations__.keys()
    if unknown:
        raise TypeError(f"unknown setting: {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {"cancel_on_disconnect": True, **defaults, **settings, "prompt": prompt}
    for name in ("image", "mask"):
        if values.get(name) is not None:
            values[name] = image_base64(values[name])
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
