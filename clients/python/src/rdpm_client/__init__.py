"""Draws pictures with an RDPM server, and follows the steps in which they are drawn."""

from ._async_client import AsyncClient, AsyncStream
from ._client import Client, Stream
from ._errors import FieldError, GenerationError, ProblemError, RdpmError, RequestError
from ._events import Event, Queued, Started, Step, StepImage
from ._results import Completions, Generation, Image, Model, Tokenization, TokenizationStep
from ._settings import End, ImageInput, InterpolationSettings, Settings
from ._version import __version__
from .notebook import show_steps

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "Client",
    "Completions",
    "End",
    "Event",
    "FieldError",
    "Generation",
    "GenerationError",
    "Image",
    "ImageInput",
    "InterpolationSettings",
    "Model",
    "ProblemError",
    "Queued",
    "RdpmError",
    "RequestError",
    "Settings",
    "Started",
    "Step",
    "StepImage",
    "Stream",
    "Tokenization",
    "TokenizationStep",
    "__version__",
    "show_steps",
]
