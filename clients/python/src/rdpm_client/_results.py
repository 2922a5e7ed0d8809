"""What the server answers, as objects."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import schema
from ._html import image_tag, row


@dataclass(frozen=True)
class Image:
    """A picture."""

    index: int
    png: bytes = field(repr=False)
    """A PNG file of the model's own size; it contains the settings that made it."""
    label: str = ""
    """What it shows."""

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the PNG file; returns its path."""
        path = Path(path)
        path.write_bytes(self.png)
        return path

    def pil(self) -> Any:
        """A `PIL.Image.Image`; needs Pillow (`pip install rdpm-client[pil]`)."""
        import io

        import PIL.Image

        return PIL.Image.open(io.BytesIO(self.png))

    def _repr_png_(self) -> bytes:
        return self.png

    def _repr_html_(self) -> str:
        return image_tag(self.png, self.label)


@dataclass(frozen=True)
class Generation:
    """A generation: its settings, state, and finished images."""

    id: str
    status: schema.Status
    model: str
    class_: str
    seed: int
    count: int
    prompt: str | None
    style: str | None
    styles: list[str]
    """Without a style: that of each image. Empty if the model has none."""
    subjects: list[str]
    """Without a prompt: what each image shows. Empty if the model knows no words."""
    unknown_words: list[str]
    """Words of the prompt that the model doesn't know. They have no effect."""
    images: list[Image]
    detail: str | None
    """Why it failed."""
    json: schema.Generation = field(repr=False)
    """All that the server answered."""

    @classmethod
    def of(cls, json: schema.Generation) -> Generation:
        subjects = json.get("subjects") or []

        def label(index: int) -> str:
            return subjects[index] if index < len(subjects) else json.get("prompt") or json["class"]

        return cls(
            id=json["id"],
            status=json["status"],
            model=json["model"],
            class_=json["class"],
            seed=json["seed"],
            count=json["count"],
            prompt=json.get("prompt"),
            style=json.get("style"),
            styles=json.get("styles") or [],
            subjects=subjects,
            unknown_words=json.get("unknown_words") or [],
            images=[
                Image(image["index"], base64.b64decode(image["png_base64"]), label(image["index"]))
                for image in json["images"]
            ],
            detail=json.get("detail"),
            json=json,
        )

    def _repr_png_(self) -> bytes | None:
        # Several pictures are shown as HTML only.
        return self.images[0].png if len(self.images) == 1 else None

    def _repr_html_(self) -> str:
        pictures = row([image._repr_html_() for image in self.images])
        return f"{pictures}<small>{self.model}, seed {self.seed}, {self.status}</small>"


@dataclass(frozen=True)
class Model:
    """A model that the server offers."""

    name: str
    title: str
    classes: list[str]
    styles: list[str]
    words: int
    """Number of words that it knows."""
    steps: int
    """Timesteps of a generation."""
    grid: int
    """The token grid's width and height."""
    size: int
    """Width and height of its pictures in pixels."""
    channels: int
    """1: grey, 3: RGB."""
    colors: list[str]
    """A colour `#rrggbb` for each code; similar codes have similar colours."""
    json: schema.Model = field(repr=False)
    """All that the server answered: defaults, limits, device."""

    @classmethod
    def of(cls, json: schema.Model) -> Model:
        return cls(
            name=json["name"],
            title=json["title"],
            classes=json["classes"],
            styles=json["styles"],
            words=json["words"],
            steps=json["steps"],
            grid=json["grid"],
            size=json["image"]["size"],
            channels=json["image"]["channels"],
            colors=json["codebook"]["colors"],
            json=json,
        )


@dataclass(frozen=True)
class Completions:
    """What completes a prompt."""

    model: str
    words: list[str]
    """Words that begin with the last word of the text, the shortest first."""
    subjects: list[str]
    """Subjects that have all words of the text, the shortest first."""

    @classmethod
    def of(cls, json: schema.Completions) -> Completions:
        return cls(json["model"], json["words"], json["subjects"])


@dataclass(frozen=True)
class TokenizationStep:
    """One step of the recurrence."""

    step: int
    """1 to T."""
    tokens: list[list[int]]
    """Rows of codes."""
    noisy: bytes = field(repr=False)
    """The running latent, decoded: a PNG file."""
    clean: bytes = field(repr=False)
    """The same less its noise."""


@dataclass(frozen=True)
class Tokenization:
    """A picture's token grids, and what they decode to."""

    model: str
    seed: int
    steps: list[TokenizationStep]
    input: Image
    """The picture in the model's size."""
    reconstruction: Image
    json: schema.Tokenization = field(repr=False)
    """All that the server answered."""

    @classmethod
    def of(cls, json: schema.Tokenization) -> Tokenization:
        steps = [
            TokenizationStep(step["step"], step["tokens"], data_url(step["noisy"]), data_url(step["clean"]))
            for step in json["steps"]
        ]
        picture = Image(0, base64.b64decode(json["input"]["png_base64"]), "input")
        reconstruction = Image(1, base64.b64decode(json["reconstruction"]["png_base64"]), "reconstruction")
        return cls(json["model"], json["seed"], steps, picture, reconstruction, json)

    def _repr_html_(self) -> str:
        return row([self.input._repr_html_(), self.reconstruction._repr_html_()])


def data_url(url: str) -> bytes:
    """The file in a `data:` URL with base64."""
    return base64.b64decode(url.partition(",")[2])
