"""The tools for assistants, used by the official Python library of the Model Context Protocol."""

import asyncio
import base64
import io
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from conftest import PROGRAM, REPOSITORY, serve
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

WEIGHTS = str(REPOSITORY / "weights")


@asynccontextmanager
async def over_http(server: str) -> AsyncIterator[ClientSession]:
    async with streamable_http_client(f"{server}/mcp") as streams, ClientSession(*streams[:2]) as session:
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


def test_tools_are_listed_with_their_schemas(with_session) -> None:
    async def action(session: ClientSession) -> None:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert sorted(tools) == ["draw", "list_models", "list_styles", "tokenize"]
        schema = tools["draw"].input_schema
        assert {"class", "prompt", "style", "seed", "count", "guidance"} <= set(schema["properties"])
        assert schema["properties"]["count"]["maximum"] == 16
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
        first, second = (picture(content) for content in result.content[1:])
        assert first.size == second.size == (280, 280) and first.tobytes() != second.tobytes()
        assert result.structured_content["seed"] == 7
        assert seen == sorted(seen) and seen[-1] == (20, 20)
        # Without progress, the same.
        again = await session.call_tool("draw", arguments)
        assert [content.data for content in again.content[1:]] == [content.data for content in result.content[1:]]

    with_session(action)


def test_tokenize_returns_the_tokens_of_a_drawn_picture(with_session) -> None:
    async def action(session: ClientSession) -> None:
        arguments = {"class": "Bag", "model": "fashion-mnist", "seed": 1, "scale": 1}
        drawn = await session.call_tool("draw", arguments)
        image = drawn.content[1].data
        result = await session.call_tool("tokenize", {"image": image, "model": "fashion-mnist", "seed": 1})
        tokens = result.structured_content["tokens"]
        assert len(tokens) == 10 and len(tokens[0]) == len(tokens[0][0]) == result.structured_content["grid"]
        assert picture(result.content[1]).size == (28, 28)

    with_session(action)


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
            ({"class": "Unicorn", "model": "fashion-mnist"}, "Sneaker"),
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
