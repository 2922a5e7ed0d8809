"""Our Python client, `clients/python`, against a real server; and against one that breaks, where that matters."""

import asyncio
import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import nbclient
import nbformat
import pytest
import rdpm_client
from conftest import REPOSITORY, serve
from rdpm_client import (
    AsyncClient,
    Client,
    Generation,
    GenerationError,
    ProblemError,
    Queued,
    RequestError,
    Started,
    Step,
    StepImage,
    show_steps,
)
from rdpm_client._sse import Message, Parser

PACKAGE = REPOSITORY / "clients/python"
DOCUMENT = json.loads((REPOSITORY / "docs/openapi.json").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    with Client(server) as client:
        yield client


def run(*command: str | Path, **kwargs: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Drawing


def test_generate(client: Client, tmp_path: Path) -> None:
    generation = client.generate("red heart", model="emoji", style="noto", seed=7)
    assert (generation.status, generation.model, generation.class_) == ("completed", "emoji", "Heart")
    assert (generation.seed, generation.prompt, generation.style) == (7, "red heart", "noto")
    (image,) = generation.images
    assert image.save(tmp_path / "heart.png").read_bytes() == image.png
    assert image.pil().size == (128, 128)
    again = client.generate(prompt="red heart", model="emoji", style="noto", seed=7)
    assert again.images == generation.images and again.id != generation.id


def test_a_class_alone_has_subjects_and_styles(client: Client) -> None:
    generation = client.generate(class_="Heart", model="emoji", count=3)
    assert len(generation.images) == len(generation.subjects) == len(generation.styles) == 3
    assert [image.label for image in generation.images] == generation.subjects
    unknown = client.generate("red heart qwertz", model="emoji")
    assert unknown.unknown_words == ["qwertz"]


def test_stream(client: Client) -> None:
    stream = client.stream(class_="Sneaker", seed=7, count=2, alternatives=True)
    assert stream.accepted is None
    steps = list(stream)
    assert [step.step for step in steps] == list(range(1, 11)) and steps[0].steps == 10
    for step in steps:
        for image in step.images:
            assert [len(row) for row in image.tokens] == [7] * 7
            assert image.noisy.startswith(PNG) and image.clean.startswith(PNG)
            assert image.alternatives["codes"][0][0]
    assert stream.generation.seed == stream.accepted["seed"] == 7
    assert stream.generation.images == client.generate(class_="Sneaker", seed=7, count=2).images
    assert stream.wait() == stream.generation


def test_stream_has_events(client: Client) -> None:
    events = list(client.stream(class_="Bag", previews=False).events())
    assert isinstance(events[0], Queued) and events[0].position == 1
    assert isinstance(events[1], Started) and isinstance(events[-1], Generation)
    steps = [event for event in events if isinstance(event, Step)]
    assert len(steps) == 10 and steps[0].images[0].clean is None


def test_cancel(client: Client, server: str) -> None:
    stream = client.stream(class_="Bag", count=16)
    for _ in stream:
        with Client(server) as other, pytest.raises(ProblemError) as refused:
            other.cancel(stream.accepted["id"])
        assert refused.value.status == 403
        stream.cancel()
    assert stream.generation.status == "canceled"
    assert client.get(stream.generation).status == "canceled"
    with pytest.raises(GenerationError, match="canceled") as error:
        stream.wait()
    assert error.value.generation == stream.generation


def test_leaving_the_iteration_closes_the_stream(client: Client) -> None:
    stream = client.stream(class_="Bag", count=16)
    for _ in stream:
        break
    assert list(stream) == [] and stream.generation is None
    with pytest.raises(RequestError, match="closed"):
        stream.wait()
    assert client.get(stream.accepted["id"]).json["cancel_on_disconnect"]
    client.cancel(stream.accepted["id"])


def test_models_and_words(client: Client) -> None:
    fashion, emoji = client.models()
    assert (fashion.name, fashion.size, fashion.channels, fashion.words) == ("fashion-mnist", 28, 1, 0)
    assert "noto" in emoji.styles and "Heart" in emoji.classes and emoji.words > 1000
    assert re.fullmatch("#[0-9a-f]{6}", emoji.colors[0])
    assert "blue heart" in client.words("blue he").subjects
    assert len(client.words("h", model="emoji", limit=3).words) == 3


def test_pictures_and_tokens(client: Client, tmp_path: Path) -> None:
    generation = client.generate(class_="Dress", seed=1, count=2)
    assert client.image(generation, 1)[:8] == generation.images[1].png[:8]
    assert client.image(generation, scale=8, format="webp")[:4] == b"RIFF"
    assert client.sheet(generation.id, format="jpeg")[:2] == b"\xff\xd8"
    assert client.animation(generation, which="tokens", scale=4, index=0)[:4] == b"GIF8"
    image = generation.images[0]
    tokenization = client.tokenize(image)
    assert len(tokenization.steps) == 10 and tokenization.reconstruction.png.startswith(PNG)
    # The same picture in each way to give one.
    path = image.save(tmp_path / "dress.png")
    for same in (image.png, path, str(path), image.pil()):
        assert client.tokenize(same).steps == tokenization.steps
    varied = client.generate(class_="Dress", image=image, from_step=8, seed=2)
    assert varied.json["from_step"] == 8


def test_interpolation(server: str) -> None:
    with Client(server) as client:
        first, last = (client.generate(class_="Dress", seed=seed).images[0] for seed in (1, 2))
        between = client.interpolate(1, {"seed": 2}, class_="Dress", frames=4)
        assert [image.index for image in between.images] == [0, 1, 2, 3]
        pixels = [image.pil().tobytes() for image in between.images]
        assert (pixels[0], pixels[3]) == (first.pil().tobytes(), last.pil().tobytes())
        assert client.animation(between, which="images", back_and_forth=True)[:4] == b"GIF8"
        encoded = client.interpolate(first, last.png, kind="latent", frames=2, seed=5)
        assert encoded.seed == 5
        with pytest.raises(TypeError, match="count"):
            client.interpolate(1, 2, count=3)
        with pytest.raises(ProblemError, match="a.seed"):
            client.interpolate(-1, 2)


async def asynchronous(server: str) -> None:
    async with AsyncClient(server) as client:
        generations = await asyncio.gather(*(client.generate(class_="Coat", seed=seed) for seed in range(4)))
        assert [generation.seed for generation in generations] == [0, 1, 2, 3]
        stream = client.stream(class_="Coat", seed=3)
        assert [step.step async for step in stream] == list(range(1, 11))
        assert stream.generation.images == generations[3].images
        assert len(await client.models()) == 2
        assert (await client.words("bl")).words
        assert (await client.tokenize(generations[0].images[0])).seed == 0
        assert (await client.image(generations[0], scale=2)).startswith(PNG)
        between = await client.interpolate(0, 3, class_="Coat", frames=2)
        ends = [generations[0].images[0], generations[3].images[0]]
        assert [image.pil().tobytes() for image in between.images] == [image.pil().tobytes() for image in ends]
        with pytest.raises(ProblemError):
            await client.generate(class_="hat")
        async for _ in (canceled := client.stream(class_="Coat", count=16)):
            await canceled.cancel()
        assert canceled.generation.status == "canceled"


def test_asynchronous_client(server: str) -> None:
    asyncio.run(asynchronous(server))


def test_both_clients_have_the_same_methods() -> None:
    def signatures(kind: type) -> dict[str, str]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {
            name: re.sub("Async|Generator|Iterator", "", str(inspect.signature(method)))
            for name, method in methods
            if not name.startswith("__") or name == "__init__"
        }

    assert signatures(Client) == signatures(AsyncClient)
    assert signatures(rdpm_client.Stream) == signatures(rdpm_client.AsyncStream)


# Errors, retries, lost connections


def test_problem(client: Client) -> None:
    with pytest.raises(ProblemError) as refused:
        client.generate(class_="hat", seed=-5)
    problem = refused.value
    assert (problem.status, problem.title, problem.retry_after) == (422, "Invalid fields", None)
    assert [(field.field, field.value) for field in problem.fields] == [("class", "hat"), ("seed", -5)]
    assert "Sneaker" in problem.fields[0].allowed and "hat" in str(problem)
    with pytest.raises(ProblemError) as missing:
        client.get("../models")
    assert missing.value.status == 404
    with pytest.raises(TypeError, match="unknown setting: sed"):
        client.generate(class_="Bag", sed=1)


def scripted(*answers: httpx.Response | httpx.TransportError, **options: Any) -> tuple[Client, list[httpx.Request]]:
    """A client whose requests get these answers, and its requests."""
    requests: list[httpx.Request] = []
    rest = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        given = next(rest)
        if isinstance(given, httpx.TransportError):
            raise given
        return given

    return Client("http://server/below", transport=httpx.MockTransport(answer), **options), requests


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Times that a client waits for, in seconds, without waiting."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


OVERLOADED = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "Overloaded."}
MODELS = httpx.Response(200, json={"models": []})


def test_retries_after_the_time_that_the_server_names(waits: list[float]) -> None:
    busy = httpx.Response(429, headers={"Retry-After": "7"}, json=OVERLOADED | {"status": 429})
    client, requests = scripted(busy, httpx.Response(503, json=OVERLOADED), httpx.ConnectError("refused"), MODELS)
    assert client.models() == [] and len(requests) == 4
    assert waits[0] == 7 and 0.25 <= waits[1] <= 1 and 1 <= waits[2] <= 2
    assert str(requests[0].url) == "http://server/below/api/v1/models"


def test_retries_are_bounded(waits: list[float]) -> None:
    client, requests = scripted(*[httpx.Response(503, json=OVERLOADED)] * 3, max_retries=2)
    with pytest.raises(ProblemError, match="503 Service Unavailable: Overloaded."):
        client.models()
    assert len(requests) == 3
    late = httpx.Response(503, headers={"Retry-After": "3600"}, json=OVERLOADED)
    client, requests = scripted(late)
    with pytest.raises(ProblemError) as error:
        client.models()
    assert error.value.retry_after == 3600 and len(requests) == 1
    client, requests = scripted(*[httpx.ConnectError("refused")] * 4)
    with pytest.raises(RequestError, match="refused"):
        client.models()
    assert len(requests) == 4


def test_other_errors_are_not_retried(waits: list[float]) -> None:
    client, _ = scripted(httpx.Response(502, text="<html>Bad gateway"))
    with pytest.raises(ProblemError, match="502 Bad Gateway: <html>"):
        client.models()
    client, _ = scripted(httpx.Response(200, text="<html>Welcome"))
    with pytest.raises(RequestError, match="not the address of an RDPM server"):
        client.models()
    assert waits == []


@pytest.mark.parametrize("value", ["Wed, 21 Oct 2015 07:28:00 GMT", "soon", "-1"])
def test_retry_after_may_be_a_date_or_nonsense(value: str, waits: list[float]) -> None:
    client, _ = scripted(httpx.Response(503, headers={"Retry-After": value}, json=OVERLOADED), MODELS)
    assert client.models() == [] and waits[0] < 1


def test_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RDPM_API_KEY", raising=False)
    client, requests = scripted(MODELS, MODELS)
    client.models()
    assert "authorization" not in requests[0].headers
    monkeypatch.setenv("RDPM_API_KEY", "secret")
    client, requests = scripted(MODELS)
    client.models()
    assert requests[0].headers["authorization"] == "Bearer secret"
    client, requests = scripted(MODELS, api_key="other")
    client.models()
    assert requests[0].headers["authorization"] == "Bearer other"


def test_server_with_keys_and_a_rate_limit() -> None:
    limits = ("--rate-limit", "60", "--rate-burst", "1")
    with serve(*limits, RDPM_API_KEYS="alice:the-secret-of-alice") as address:
        with Client(address) as client, pytest.raises(ProblemError) as refused:
            client.models()
        assert refused.value.status == 401
        with Client(address, api_key="the-secret-of-alice", max_retries=0) as client:
            client.generate(class_="Bag")
            with pytest.raises(ProblemError) as limited:
                client.generate(class_="Bag")
            assert limited.value.status == 429 and limited.value.retry_after == 1
        # The same with patience.
        with Client(address, api_key="the-secret-of-alice") as client:
            assert client.generate(class_="Bag").status == "completed"


class Breaking(httpx.SyncByteStream):
    """The first bytes of a stream, then a lost connection."""

    def __init__(self, stream: httpx.Response, count: int) -> None:
        self.stream, self.count = stream, count

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.stream.stream:
            yield chunk[: self.count]
            self.count -= len(chunk)
            if self.count <= 0:
                raise httpx.ReadError("connection reset")

    def close(self) -> None:
        self.stream.close()


class Unreliable(httpx.BaseTransport):
    """Loses the connection of each stream after some bytes, and first answers of posts."""

    def __init__(self, after: int) -> None:
        self.transport, self.after = httpx.HTTPTransport(), after
        self.last_event_ids: list[str | None] = []
        self.posts: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self.transport.handle_request(request)
        if request.url.path.endswith("/events"):
            self.last_event_ids.append(request.headers.get("last-event-id"))
            return httpx.Response(response.status_code, headers=response.headers, stream=Breaking(response, self.after))
        if request.method == "POST":
            self.posts.append(json.loads(response.read())["id"])
            if len(self.posts) == 1:
                raise httpx.ReadError("connection reset")
        return response


def test_stream_goes_on_after_a_lost_connection(server: str, client: Client, waits: list[float]) -> None:
    transport = Unreliable(after=15_000)
    with Client(server, transport=transport) as unreliable:
        stream = unreliable.stream(class_="Sneaker", seed=7, count=2)
        events = list(stream.events())
    # The request was sent twice, and one generation was made.
    assert len(transport.posts) == 2 and len(set(transport.posts)) == 1
    assert transport.last_event_ids[0] is None and len(transport.last_event_ids) > 2
    numbers = [int(number) for number in transport.last_event_ids[1:]]
    assert numbers == sorted(set(numbers))
    # No event is missing or comes twice.
    expected = list(client.stream(class_="Sneaker", seed=7, count=2))
    assert [event for event in events if isinstance(event, Step)] == expected
    assert stream.generation.status == "completed"


class AsyncBreaking(httpx.AsyncByteStream):
    """`Breaking` for the asynchronous client."""

    def __init__(self, stream: httpx.AsyncByteStream, count: int) -> None:
        self.stream, self.count = stream, count

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.stream:
            yield chunk[: self.count]
            self.count -= len(chunk)
            if self.count <= 0:
                raise httpx.ReadError("connection reset")

    async def aclose(self) -> None:
        await self.stream.aclose()


class AsyncUnreliable(httpx.AsyncBaseTransport):
    """Loses the connection of each stream after some bytes."""

    def __init__(self, after: int) -> None:
        self.transport, self.after = httpx.AsyncHTTPTransport(), after
        self.last_event_ids: list[str | None] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self.transport.handle_async_request(request)
        if request.url.path.endswith("/events"):
            self.last_event_ids.append(request.headers.get("last-event-id"))
            stream = AsyncBreaking(response.stream, self.after)
            return httpx.Response(response.status_code, headers=response.headers, stream=stream)
        return response


async def interrupted(server: str, transport: AsyncUnreliable) -> list[Step]:
    async with AsyncClient(server, transport=transport) as client:
        return [step async for step in client.stream(class_="Sneaker", seed=7, count=2)]


def test_asynchronous_stream_goes_on_after_a_lost_connection(server: str, client: Client) -> None:
    transport = AsyncUnreliable(after=15_000)
    steps = asyncio.run(interrupted(server, transport))
    assert transport.last_event_ids[0] is None and len(transport.last_event_ids) > 2
    assert steps == list(client.stream(class_="Sneaker", seed=7, count=2))


def test_stream_gives_up_without_progress(server: str, waits: list[float]) -> None:
    with Client(server, transport=Unreliable(after=10)) as client, pytest.raises(RequestError, match="reset"):
        client.generate(class_="Bag")
    assert len(waits) == 1 + 3


def test_parser_of_streams() -> None:
    text = (
        "\ufeff: comment\n\nid: 1\r\nevent: step\r\ndata: {\r\ndata:  ü}\r\n\r\nretry: 3\rdata\r\rid: 2\n\nevent: cut\n"
    )
    expected = [Message("step", "{\n ü}", "1"), Message("message", "", "1")]
    data = text.encode()
    for size in (1, 2, 3, 7, len(data)):
        parser = Parser()
        chunks = [data[at : at + size] for at in range(0, len(data), size)]
        assert [message for chunk in chunks for message in parser.feed(chunk)] == expected, size


# The document


def test_schema_is_up_to_date() -> None:
    made = run(sys.executable, PACKAGE / "generate_types.py", REPOSITORY / "docs/openapi.json")
    assert made == (PACKAGE / "src/rdpm_client/schema.py").read_text()


def test_settings_are_those_of_the_document() -> None:
    settings = {name.rstrip("_") for name in rdpm_client.Settings.__annotations__}
    # The pictures of a generation are fetched with their own format and scale.
    assert settings | {"prompt", "format", "scale"} == SCHEMAS["GenerationRequest"]["properties"].keys()


def test_events_have_the_fields_of_the_document() -> None:
    kinds = {"QueuedEvent": Queued, "StartedEvent": Started, "StepEvent": Step, "StepOfImage": StepImage}
    for name, kind in kinds.items():
        fields = {field.name for field in dataclasses.fields(kind)}
        assert fields | {"status"} == SCHEMAS[name]["properties"].keys() | {"status"}


# Notebooks


def test_html_is_escaped() -> None:
    image = rdpm_client.Image(0, PNG, '"><script>')
    assert "<script>" not in image._repr_html_() and "&lt;script&gt;" in image._repr_html_()


def test_display(client: Client) -> None:
    one, two = (client.generate(class_="Bag", count=count) for count in (1, 2))
    assert one._repr_png_() == one.images[0].png and two._repr_png_() is None
    assert two._repr_html_().count("<img") == 2
    step = next(iter(client.stream(class_="Bag")))
    assert step._repr_html_().count("<td") == 49


def test_show_steps(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, html: Any) -> None:
            shown.append(html.data)

    monkeypatch.setattr("IPython.display.display", lambda html, display_id: Handle())
    colors = client.models()[0].colors
    generation = show_steps(client.stream(class_="Bag", seed=1))
    steps = [html for html in shown if "step " in html]
    assert len(steps) == 10 and steps[0].count("<td") == 49 and steps[0].count("<img") == 2
    assert any(f"background:{color}" in steps[-1] for color in colors)
    assert generation.status == "completed" and "completed, seed 1" in shown[-1]


def test_notebook_runs(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RDPM_SERVER", server)
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE / "src"))
    # Nothing outside the repository is read or written, and the kernel is this interpreter.
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = nbformat.read(REPOSITORY / "examples/notebook.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "the notebook is committed without outputs"
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    html = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert any(text.count("<img") == 4 for text in html)
    assert any("completed, seed 7" in text and "<td" in text for text in html)
    assert any("blue heart" in output.get("data", {}).get("text/plain", "") for output in outputs)


# The package


def test_readme_runs(server: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (PACKAGE / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    program = "\n".join(blocks).replace("http://localhost:3000", server)
    wheel, _ = packages(tmp_path)
    # With what the package contains, not with the files of the repository.
    environment = os.environ | {"PYTHONPATH": str(wheel)}
    output = run(sys.executable, "-c", program, cwd=tmp_path, env=environment)
    assert "10 of 10" in output and "422" in output and "[0, 1, 2, 3]" in output
    assert (tmp_path / "heart.png").read_bytes().startswith(PNG)
    assert (tmp_path / "steps.gif").read_bytes().startswith(b"GIF8")


def packages(folder: Path) -> tuple[Path, Path]:
    """Wheel and source distribution."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", PACKAGE)
    (wheel,), (source,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    return wheel, source


def test_package_has_types_readme_and_licences(tmp_path: Path) -> None:
    wheel, source = packages(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert "rdpm_client/py.typed" in names and "rdpm_client/schema.py" in names
        assert sum("LICENSE" in name for name in names) == 2
        (metadata,) = [name for name in names if name.endswith("METADATA")]
        text = archive.read(metadata).decode()
    assert "Name: rdpm-client\n" in text and "License-Expression: MIT OR Apache-2.0" in text
    assert "Draw a picture" in text
    version = re.search(r'^version = "(.*)"$', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)
    assert f"Version: {version[1]}\n" in text and rdpm_client.__version__ == version[1]
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        assert (PACKAGE / name).read_text() == (REPOSITORY / name).read_text()


def test_package_is_typed() -> None:
    run(sys.executable, "-m", "mypy", "--cache-dir", os.devnull, cwd=PACKAGE)
