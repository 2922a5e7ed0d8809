"""The asynchronous client: `_client.py` with `async` and `await`."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Self, Unpack

import httpx

from . import _http, schema
from ._client import lost, parse
from ._errors import GenerationError, ProblemError, RequestError
from ._events import Event, Step, read_event
from ._http import Call, RetryPolicy
from ._results import Completions, Generation, Model, Tokenization
from ._settings import (
    End,
    ImageInput,
    InterpolationSettings,
    Settings,
    image_base64,
    interpolation_body,
    request_body,
)
from ._sse import Parser


class AsyncClient:
    """A client of one server. Close it, or use it in an `async with` statement.

    `api_key` is that of the environment variable `RDPM_API_KEY` if omitted. After a lost connection or an answer 429 or
    503, a request is sent again up to `max_retries` times. If the server names a time to wait for (`Retry-After`) of
    more than `max_retry_wait` seconds, the error is raised at once.
    """

    def __init__(
        self,
        base_url: str = "http://localhost:3000",
        *,
        api_key: str | None = None,
        timeout: float = _http.TIMEOUT,
        max_retries: int = 3,
        max_retry_wait: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._retries = RetryPolicy(max_retries, max_retry_wait)
        arguments = _http.client_arguments(base_url, api_key, timeout)
        self._http = httpx.AsyncClient(**arguments, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def models(self) -> list[Model]:
        """The models that the server offers, the default first."""
        return [Model.of(model) for model in (await self._json(_http.models()))["models"]]

    async def words(self, prefix: str = "", *, model: str | None = None, limit: int | None = None) -> Completions:
        """What completes a prompt."""
        return Completions.of(await self._json(_http.words(prefix, model, limit)))

    async def generate(self, prompt: str | None = None, **settings: Unpack[Settings]) -> Generation:
        """Draws images and waits for them. See `Settings` for what can be set; `class_` is required without a prompt.

        Raises `ProblemError` where the request is refused, `GenerationError` where the generation fails or is canceled.
        """
        return await AsyncStream(self, request_body(prompt, settings, previews=False)).wait()

    def stream(self, prompt: str | None = None, **settings: Unpack[Settings]) -> AsyncStream:
        """Draws images and returns their steps, as an iterator. See `Settings` for what can be set."""
        return AsyncStream(self, request_body(prompt, settings, previews=True))

    async def interpolate(
        self, a: End, b: End, prompt: str | None = None, **settings: Unpack[InterpolationSettings]
    ) -> Generation:
        """Draws images from the picture `a` to the picture `b` and waits for them. Each is a seed, a picture, or what
        the API accepts, such as `{"tokens": …}` or `{"from": {"generation": id, "image": 0}}`. The first image is `a`,
        the last is `b`; `animation(generation, which="images")` is their film."""
        body = interpolation_body(a, b, prompt, settings)
        return await AsyncStream(self, body, _http.INTERPOLATIONS).wait()

    async def get(self, generation: Generation | str) -> Generation:
        """A generation as it is now, by its id."""
        return Generation.of(await self._json(Call("GET", _http.generation_path(generation))))

    async def cancel(self, generation: Generation | str) -> Generation:
        """Cancels a generation of this client. Finished images are kept."""
        return Generation.of(await self._json(Call("DELETE", _http.generation_path(generation))))

    async def image(
        self, generation: Generation | str, index: int = 0, *, format: str = "png", scale: int = 1
    ) -> bytes:
        """A finished image as a file: `png`, `webp` or `jpeg`, enlarged `scale` times."""
        return (await self._send(_http.image(generation, index, format, scale))).content

    async def sheet(self, generation: Generation | str, *, format: str = "png", scale: int = 1) -> bytes:
        """All images of a completed generation as one file: `png`, `webp` or `jpeg`."""
        return (await self._send(_http.sheet(generation, format, scale))).content

    async def animation(self, generation: Generation | str, *, format: str = "gif", **options: Any) -> bytes:
        """The steps as a file: `gif`, `png` or `webp`. Options: `which` ("clean", "noisy", "tokens"), `index`, `scale`,
        `delay` in milliseconds, `back_and_forth`. With `which="images"` the frames are the images, in their order."""
        return (await self._send(_http.animation(generation, format, options))).content

    async def tokenize(self, image: ImageInput, *, model: str | None = None, seed: int | None = None) -> Tokenization:
        """The token grids of a picture, and what they decode to."""
        return Tokenization.of(await self._json(_http.tokenize(image_base64(image), model, seed)))

    async def _json(self, call: Call) -> Any:
        return parse(await self._send(call))

    async def _send(self, call: Call) -> httpx.Response:
        for retries in itertools.count():
            error: ProblemError | RequestError
            try:
                response = await self._http.request(**call.arguments())
            except httpx.TransportError as cause:
                error = lost(cause)
                wait = self._retries.after_lost_connection(retries)
            else:
                if response.is_success:
                    return response
                error = ProblemError.of(response)
                wait = self._retries.after_problem(retries, error)
            if wait is None:
                raise error
            await asyncio.sleep(wait)
        raise AssertionError


class AsyncStream:
    """The steps of a new generation: iterate over it. The request is sent when the iteration begins.

    If the connection is lost, the stream goes on after the last event that was received. When the iteration is left
    early, or at the end of an `async with` statement, the connection is closed. Some seconds later the server cancels
    the generation, unless it was made with `cancel_on_disconnect=False`.
    """

    def __init__(self, client: AsyncClient, body: dict[str, Any], path: str = _http.GENERATIONS) -> None:
        self._client = client
        self._events = self._follow(_http.create(body, path))
        self.accepted: schema.Accepted | None = None
        """The server's first answer, with id and seed; `None` until the iteration begins."""
        self.generation: Generation | None = None
        """The generation after it has ended; `None` before."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Step]:
        """The steps. Raises `GenerationError` if the generation fails; ends early if it is canceled."""
        return (event async for event in self.events() if isinstance(event, Step))

    async def events(self) -> AsyncIterator[Event]:
        """All events: `Queued`, `Started`, `Step`, at last the ended `Generation`."""
        try:
            async for event in self._events:
                yield event
                if isinstance(event, Generation) and event.status == "failed":
                    raise GenerationError(event)
        finally:
            await self.close()

    async def wait(self) -> Generation:
        """Waits for the end; returns the completed generation. Raises `GenerationError` if it fails or is canceled."""
        async for _ in self.events():
            pass
        if self.generation is None:
            raise RequestError("the stream was closed before the generation ended")
        if self.generation.status != "completed":
            raise GenerationError(self.generation)
        return self.generation

    async def colors(self) -> list[str]:
        """The colour of each code of the generation's model; empty until the iteration begins."""
        name = self.accepted["model"] if self.accepted else None
        return next((model.colors for model in await self._client.models() if model.name == name), [])

    async def cancel(self) -> None:
        """Cancels the generation. The iteration then ends."""
        if self.accepted is not None:
            await self._client.cancel(self.accepted["id"])

    async def close(self) -> None:
        """Stops following the generation."""
        await self._events.aclose()

    async def _follow(self, create: Call) -> AsyncGenerator[Event]:
        accepted: schema.Accepted = await self._client._json(create)
        self.accepted = accepted
        last_event_id, retries = "", 0
        while True:
            error: ProblemError | RequestError
            try:
                call = _http.events(accepted["id"], last_event_id)
                async with self._client._http.stream(**call.arguments()) as response:
                    if response.status_code == 204:
                        # Nothing follows: the last event was sent, but not received.
                        self.generation = await self._client.get(accepted["id"])
                        yield self.generation
                        return
                    if response.is_success:
                        parser = Parser()
                        async for chunk in response.aiter_bytes():
                            for message in parser.feed(chunk):
                                last_event_id, retries = message.id, 0
                                event = read_event(message)
                                if isinstance(event, Generation):
                                    self.generation = event
                                if event is not None:
                                    yield event
                                if self.generation is not None:
                                    return
                        error = RequestError("the stream ended early")
                        wait = self._client._retries.after_lost_connection(retries)
                    else:
                        await response.aread()
                        error = ProblemError.of(response)
                        wait = self._client._retries.after_problem(retries, error)
            except httpx.TransportError as cause:
                error = lost(cause)
                wait = self._client._retries.after_lost_connection(retries)
            if wait is None:
                raise error
            retries += 1
            await asyncio.sleep(wait)
