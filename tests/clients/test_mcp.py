"""The tools for assistants, used by the official Python library of the Model Context Protocol."""

import asyncio
import base64
import io
import json
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import httpx2
import numpy as np
import pytest
from conftest import PROGRAM, REPOSITORY, serve
from mcp import Client, ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult
from PIL import Image

WEIGHTS = str(REPOSITORY / "weights")


@asynccontextmanager
async def over_http(server: str, **headers: str) -> AsyncIterator[ClientSession]:
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120) as client,
        streamable_http_client(f"{server}/mcp", http_client=client) as streams,
        ClientSession(*streams[:2]) as session,
    ):
        yield session


@asynccontextmanager
async def over_stdio(_: str) -> AsyncIterator[ClientSession]:
    program = StdioServerParameters(
        command=str(PROGRAM), args=["mcp", "--weights", WEIGHTS, "--device", "cpu"], env=dict(os.environ)
    )
    async with stdio_client(program) as streams, ClientSession(*streams[:2]) as session:
        yield session


Action = Callable[[ClientSession], Awaitable[None]]


@pytest.fixture(params=[over_http, over_stdio], ids=["http", "stdio"])
def with_session(request: pytest.FixtureRequest, server: str) -> Callable[[Action], None]:
    """Runs an action with a session that is initialized."""

    def run(action: Action) -> None:
        async def main() -> None:
            async with request.param(server) as session:
                initialized = await session.initialize()
                assert initialized.server_info.name == "rdpm"
                await action(session)

        asyncio.run(asyncio.wait_for(main(), 120))

    return run


def picture(content: object) -> Image.Image:
    assert content.type == "image" and content.mime_type == "image/png"
    return Image.open(io.BytesIO(base64.b64decode(content.data)))


def files(result: CallToolResult) -> list[str]:
    """The pictures of a result, in base64."""
    assert not result.is_error, result.content
    return [content.data for content in result.content if content.type == "image"]


def links(result: CallToolResult) -> list[str]:
    return [content.uri for content in result.content if content.type == "resource_link"]


def test_tools_are_listed_with_their_schemas(with_session) -> None:
    async def action(session: ClientSession) -> None:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert sorted(tools) == ["caption", "draw", "edit", "list_models", "list_styles", "tokenize"]
        schema = tools["draw"].input_schema
        assert {"class", "prompt", "style", "seed", "count", "guidance"} <= set(schema["properties"])
        assert schema["properties"]["count"]["maximum"] == 16
        schema = tools["edit"].input_schema
        assert {"image", "mask", "cells", "from_step", "class"} <= set(schema["properties"])
        assert schema["required"] == ["image"] and tools["caption"].input_schema["required"] == ["image"]
        # An assistant can't resolve references into another document.
        assert "$ref" not in json.dumps([tool.input_schema for tool in tools.values()])
        await session.send_ping()

    with_session(action)


def test_draw_returns_pictures_and_progress(with_session) -> None:
    async def action(session: ClientSession) -> None:
        seen: list[tuple[float, float | None]] = []

        async def progress(done: float, total: float | None, message: str | None) -> None:
            seen.append((done, total))
            assert message is not None and message.startswith("step ")

        arguments = {"class": "Sneaker", "model": "fashion-mnist", "seed": 7, "count": 2}
        result = await session.call_tool("draw", arguments, progress_callback=progress)
        assert not result.is_error, result.content
        first, second = (picture(content) for content in result.content[1:3])
        assert first.size == second.size == (280, 280) and first.tobytes() != second.tobytes()
        assert result.structured_content["seed"] == 7
        assert seen == sorted(seen) and seen[-1] == (20, 20)
        # Without progress, the same.
        assert files(await session.call_tool("draw", arguments)) == files(result)

    with_session(action)


def test_tokenize_returns_the_tokens_of_a_drawn_picture(with_session) -> None:
    async def action(session: ClientSession) -> None:
        arguments = {"class": "Bag", "model": "fashion-mnist", "seed": 1, "scale": 1}
        drawn = await session.call_tool("draw", arguments)
        (image,) = files(drawn)
        result = await session.call_tool("tokenize", {"image": image, "model": "fashion-mnist", "seed": 1})
        tokens = result.structured_content["tokens"]
        assert len(tokens) == 10 and len(tokens[0]) == len(tokens[0][0]) == result.structured_content["grid"]
        assert picture(result.content[1]).size == (28, 28)

    with_session(action)


def test_edit_keeps_the_rest_of_the_image(with_session) -> None:
    async def action(session: ClientSession) -> None:
        models = (await session.call_tool("list_models")).structured_content["models"]
        model = next(model for model in models if model["name"] == "fashion-mnist")
        grid, size = model["grid"], model["size"]
        common = {"model": model["name"], "scale": 1}
        drawn = await session.call_tool("draw", common | {"class": "Bag", "seed": 1})
        (image,) = files(drawn)
        first = grid // 2 + 1  # column of those that are drawn again
        cells = [[row, column] for row in range(grid) for column in range(first, grid)]
        edit = common | {"class": "Sneaker", "seed": 3}
        (edited,) = files(await session.call_tool("edit", edit | {"image": image, "cells": cells}))
        before, after = (
            np.asarray(Image.open(io.BytesIO(base64.b64decode(file))).convert("L"), float) for file in [image, edited]
        )
        difference = abs(before - after)
        # The decoder mixes neighbouring cells.
        kept, drawn_again = difference[:, : size // 3], difference[:, first * size // grid :]
        assert kept.mean() < 8 and drawn_again.mean() > 4 * kept.mean(), (kept.mean(), drawn_again.mean())

        # The same by a mask, and by the picture's address.
        mask = Image.new("L", (size, size))
        mask.paste(255, (first * size // grid, 0, size, size))
        file = io.BytesIO()
        mask.save(file, "png")
        mask = base64.b64encode(file.getvalue()).decode()
        (address,) = links(drawn)
        assert files(await session.call_tool("edit", edit | {"image": address, "mask": mask})) == [edited]
        # Late steps give a close variation.
        (close,) = files(await session.call_tool("edit", edit | {"image": address, "from_step": 9, "class": "Bag"}))
        assert close not in [image, edited]

        for arguments, expected in [
            ({"class": "Bag"}, "image is missing"),
            ({"class": "Bag", "image": image}, "from_step is missing"),
            (
                {"class": "Bag", "image": image, "cells": [[0, grid]]},
                f"cells is [[0,{grid}]]; allowed: a list of cells",
            ),
            ({"class": "Bag", "image": address.replace("/0.png", "/1.png"), "from_step": 3}, "image is rdpm://"),
        ]:
            result = await session.call_tool("edit", common | arguments)
            assert result.is_error and expected in result.content[0].text, result.content

    with_session(action)


def test_caption_names_what_a_picture_shows(with_session) -> None:
    async def action(session: ClientSession) -> None:
        arguments = {"prompt": "red heart", "style": "noto", "model": "emoji", "seed": 1}
        (image,) = files(await session.call_tool("draw", arguments))
        caption = (await session.call_tool("caption", {"image": image})).structured_content
        assert caption["model"] == "emoji" and "heart" in caption["names"][0]["text"], caption
        assert 0 < caption["names"][0]["probability"] <= 1
        tokens = (await session.call_tool("tokenize", {"image": image, "model": "emoji"})).structured_content
        assert tokens["caption"]["names"] == caption["names"]

    with_session(action)


def test_pictures_are_resources(with_session) -> None:
    async def action(session: ClientSession) -> None:
        (template,) = (await session.list_resource_templates()).resource_templates
        assert template.uri_template == "rdpm://generations/{generation}/images/{image}.png"
        result = await session.call_tool("draw", {"class": "Bag", "model": "fashion-mnist", "count": 2})
        generation = result.structured_content["generation"]
        assert links(result) == [f"rdpm://generations/{generation}/images/{index}.png" for index in range(2)]
        for address, file in zip(links(result), files(result), strict=True):
            (contents,) = (await session.read_resource(address)).contents
            assert (contents.uri, contents.mime_type, contents.blob) == (address, "image/png", file)
        for address in [
            links(result)[0].replace("/0.", "/2."),
            "rdpm://generations/x/images/0.png",
            "file:///etc/passwd",
        ]:
            with pytest.raises(MCPError, match="no picture"):
                await session.read_resource(address)

    with_session(action)


def test_resources_of_another_client_are_not_readable() -> None:
    keys = {"one": "one-0123456789abcdef", "two": "two-0123456789abcdef"}

    async def main(server: str) -> None:
        async with (
            over_http(server, authorization=f"Bearer {keys['one']}") as one,
            over_http(server, authorization=f"Bearer {keys['two']}") as two,
        ):
            await one.initialize()
            await two.initialize()
            result = await one.call_tool("draw", {"class": "Bag", "model": "fashion-mnist"})
            (address,) = links(result)
            assert [resource.uri for resource in (await one.list_resources()).resources] == [address]
            assert (await one.read_resource(address)).contents[0].blob == files(result)[0]
            assert (await two.list_resources()).resources == []
            with pytest.raises(MCPError, match="no picture"):
                await two.read_resource(address)
            result = await two.call_tool("caption", {"image": address})
            assert result.is_error and "image is rdpm://" in result.content[0].text

    with serve(RDPM_API_KEYS=",".join(f"{name}:{key}" for name, key in keys.items())) as server:
        asyncio.run(asyncio.wait_for(main(server), 120))


LONG = {"class": 0, "model": "emoji", "count": 16}
"""Arguments of a drawing that takes long enough to be canceled."""


async def cancel_after_the_first_step(call_tool: Callable[..., Awaitable[CallToolResult]]) -> None:
    has_begun = asyncio.Event()

    async def progress(*_: object) -> None:
        has_begun.set()

    call = asyncio.create_task(call_tool("draw", LONG, progress_callback=progress))
    await has_begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def wait_for_canceled_jobs(server: str, count: int) -> None:
    async with httpx.AsyncClient() as client:
        expected = f'rdpm_jobs_total{{model="emoji",status="canceled"}} {count}'
        while expected not in (metrics := (await client.get(f"{server}/metrics")).text):
            assert 'rdpm_jobs_total{model="emoji",status="completed"}' not in metrics, metrics
            await asyncio.sleep(0.1)


def test_canceled_call_cancels_its_job_over_http() -> None:
    async def main(server: str) -> None:
        # By a notification, in the versions of the protocol with an initialization.
        async with over_http(server) as session:
            await session.initialize()
            await cancel_after_the_first_step(session.call_tool)
            await wait_for_canceled_jobs(server, 1)
        # By closing the connection, in those without.
        async with Client(f"{server}/mcp") as client:
            assert client.protocol_version == "2026-07-28"
            await cancel_after_the_first_step(client.call_tool)
            await wait_for_canceled_jobs(server, 2)

    with serve() as server:
        asyncio.run(asyncio.wait_for(main(server), 120))


def test_another_session_cannot_cancel_a_call() -> None:
    async def main(server: str) -> None:
        own, other = ({"mcp-session-id": str(uuid.uuid4())} for _ in range(2))
        parameters = {"name": "draw", "arguments": LONG, "_meta": {"progressToken": "p"}}
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters}
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        async with (
            httpx.AsyncClient(timeout=120) as client,
            client.stream("POST", f"{server}/mcp", json=call, headers=own) as response,
        ):
            lines = response.aiter_lines()
            events = (json.loads(line.removeprefix("data:")) async for line in lines if line.startswith("data:"))
            await anext(events)
            assert (await client.post(f"{server}/mcp", json=cancel, headers=other)).status_code == 202
            for _ in range(5):
                assert (await anext(events))["method"] == "notifications/progress"
            assert (await client.post(f"{server}/mcp", json=cancel, headers=own)).status_code == 202
            *_, last = [event async for event in events]
            assert last["id"] == 1 and "canceled" in last["error"]["message"]
        await wait_for_canceled_jobs(server, 1)

    with serve() as server:
        asyncio.run(asyncio.wait_for(main(server), 120))


def test_canceled_call_cancels_its_job_over_stdio() -> None:
    async def main() -> None:
        async with over_stdio("") as session:
            await session.initialize()
            await cancel_after_the_first_step(session.call_tool)
            # It waits for the canceled job, if that goes on.
            result = await session.call_tool("draw", {"class": "Bag", "model": "fashion-mnist", "count": 2})
            assert [resource.uri for resource in (await session.list_resources()).resources] == links(result)

    asyncio.run(asyncio.wait_for(main(), 120))


def test_version_without_initialization_is_spoken(server: str) -> None:
    async def main() -> None:
        async with Client(f"{server}/mcp") as client:
            assert client.protocol_version == "2026-07-28"
            assert len((await client.list_tools()).tools) == 6
            seen = []

            async def progress(done: float, total: float | None, message: str | None) -> None:
                seen.append((done, total))

            arguments = {"class": "Bag", "model": "fashion-mnist"}
            result = await client.call_tool("draw", arguments, progress_callback=progress)
            assert seen[-1] == (10, 10)
            (contents,) = (await client.read_resource(links(result)[0])).contents
            assert [contents.blob] == files(result)

    asyncio.run(asyncio.wait_for(main(), 120))


def test_models_and_styles_are_listed(with_session) -> None:
    async def action(session: ClientSession) -> None:
        models = (await session.call_tool("list_models")).structured_content["models"]
        names = [model["name"] for model in models]
        assert "fashion-mnist" in names and "Sneaker" in models[names.index("fashion-mnist")]["classes"]
        styles = (await session.call_tool("list_styles")).structured_content["models"]
        assert [entry["model"] for entry in styles] == [model["name"] for model in models if model["styles"]]

    with_session(action)


def test_invalid_arguments_are_errors_that_say_what_is_allowed(with_session) -> None:
    async def action(session: ClientSession) -> None:
        for arguments, expected in [
            ({"class": "Unicorn", "model": "fashion-mnist"}, "class is Unicorn; allowed: T-shirt"),
            ({"class": "Bag", "model": "fashion-mnist", "count": 17, "temperature": -1}, "count"),
            ({"class": "Bag", "colour": "red"}, "the arguments"),
            ({"class": "Bag", "model": "none"}, "fashion-mnist"),
        ]:
            result = await session.call_tool("draw", arguments)
            assert result.is_error and expected in result.content[0].text, arguments
        result = await session.call_tool("tokenize", {"image": "bm90IGFuIGltYWdl"})
        assert result.is_error
        with pytest.raises(Exception, match="no tool"):
            await session.call_tool("paint", {})

    with_session(action)


def post(server: str, body: object, **headers: str) -> httpx.Response:
    accept = {"accept": "application/json, text/event-stream"}
    return httpx.post(f"{server}/mcp", json=body, headers=accept | headers)


def test_messages_that_are_none_are_refused(server: str) -> None:
    assert post(server, {"jsonrpc": "2.0", "method": "notifications/initialized"}).status_code == 202
    assert post(server, {"hello": 1}).json()["error"]["code"] == -32600
    assert post(server, {"jsonrpc": "2.0", "id": 1, "method": "x"}).json()["error"]["code"] == -32601
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "draw", "arguments": [1]}}
    assert post(server, call).json()["error"]["code"] == -32602
    assert httpx.post(f"{server}/mcp", content="{").status_code == 400
    assert httpx.get(f"{server}/mcp").status_code == 405
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert post(server, ping, **{"mcp-protocol-version": "1"}).status_code == 400
    # As everywhere, not from the page of another site.
    assert post(server, ping, origin="https://other.example").status_code == 403


def test_keys_and_limits_are_those_of_the_rest(server: str) -> None:
    key = "0123456789abcdef"
    with serve("--rate-limit", "1", "--rate-burst", "2", RDPM_API_KEYS=key) as address:
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        assert post(address, ping).status_code == 401
        answers = [post(address, ping, authorization=f"Bearer {key}").status_code for _ in range(3)]
        assert answers == [200, 200, 429]
