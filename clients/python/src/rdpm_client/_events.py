"""The events of a stream, as objects."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from . import schema
from ._html import image_tag, row, token_table
from ._results import Generation, data_url
from ._sse import Message


@dataclass(frozen=True)
class Queued:
    """The generation waits."""

    id: str
    position: int
    """1 is next."""
    eta_seconds: float
    """Estimated seconds until its first image begins."""


@dataclass(frozen=True)
class Started:
    """The first image has begun."""

    id: str


@dataclass(frozen=True)
class StepImage:
    """What a step did to an image. Grids are rows of numbers."""

    index: int
    tokens: list[list[int]]
    """The codes drawn."""
    entropy: list[list[float]] = field(repr=False)
    """Entropy in bits of the distribution that each code was drawn from."""
    probability: list[list[float]] = field(repr=False)
    """Probability of the code that was drawn."""
    noisy: bytes | None = field(default=None, repr=False)
    """The running latent, decoded: a PNG file. `None` without previews."""
    clean: bytes | None = field(default=None, repr=False)
    """The same less its noise."""
    alternatives: schema.Alternative | None = field(default=None, repr=False)
    """The most probable codes, if they were asked for."""
    given: list[list[bool]] | None = field(default=None, repr=False)
    """Whether each code was given instead of drawn; `None` if none was."""

    @classmethod
    def of(cls, json: schema.StepOfImage) -> StepImage:
        noisy, clean = json.get("noisy"), json.get("clean")
        return cls(
            index=json["index"],
            tokens=json["tokens"],
            entropy=json["entropy"],
            probability=json["probability"],
            noisy=data_url(noisy) if noisy else None,
            clean=data_url(clean) if clean else None,
            alternatives=json.get("alternatives"),
            given=json.get("given"),
        )

    def html(self, colors: list[str] | None = None) -> str:
        """The preview and the token grid, with the codebook's colours (`Model.colors`) if given."""
        pictures = [image_tag(png, name) for png, name in [(self.clean, "clean"), (self.noisy, "noisy")] if png]
        return row([*pictures, token_table(self.tokens, colors)])


@dataclass(frozen=True)
class Step:
    """The images that took this step. Images of a generation may be at different steps."""

    step: int
    """1 to `steps`."""
    steps: int
    images: list[StepImage]

    def _repr_html_(self) -> str:
        return f"<small>step {self.step} of {self.steps}</small>{''.join(image.html() for image in self.images)}"


Event = Queued | Started | Step | Generation
"""An event of a stream. The last one is the ended generation."""


def read_event(message: Message) -> Event | None:
    """`None` for an event that this version doesn't know."""
    data = json.loads(message.data)
    match message.event:
        case "queued":
            return Queued(data["id"], data["position"], data["eta_seconds"])
        case "started":
            return Started(data["id"])
        case "step":
            return Step(data["step"], data["steps"], [StepImage.of(image) for image in data["images"]])
        case "completed" | "failed" | "canceled":
            return Generation.of(data)
    return None
