"""OpenAI's own clients, unchanged, against the server."""

import base64
import json
import shutil
import struct
import subprocess
from pathlib import Path

import openai
import pytest
from conftest import TOOLS

HERE = Path(__file__).parent
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def client(server: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0)


def size(png: str) -> tuple[int, int]:
    """Width and height of a PNG file in base64."""
    file = base64.b64decode(png)
    assert file.startswith(PNG)
    return struct.unpack(">II", file[16:24])


def test_models(client: openai.OpenAI) -> None:
    model = client.models.list().data[0]
    assert (model.id, model.object, model.owned_by) == ("fashion-mnist", "model", "rdpm")
    assert client.models.retrieve("fashion-mnist") == model


def test_images(client: openai.OpenAI) -> None:
    images = client.images.generate(model="fashion-mnist", prompt="a photo of a sneaker", n=2, size="224x224")
    assert [size(image.b64_json) for image in images.data] == [(224, 224), (224, 224)]
    assert [image.revised_prompt for image in images.data] == ["Sneaker", "Sneaker"]
    assert (images.background, images.output_format, images.quality, images.size) == (
        "opaque",
        "png",
        "high",
        "224x224",
    )
    # 7 × 7 codes in each of ten steps of two images.
    assert (images.usage.output_tokens, images.usage.total_tokens) == (980, 981)


def test_a_seed_gives_the_same_image(client: openai.OpenAI) -> None:
    settings = {"seed": 7, "guidance": 2.5, "temperature": 0.9, "top_k": 100, "top_p": 0.99}
    first, second = (client.images.generate(prompt="bags", extra_body=settings) for _ in range(2))
    assert first.seed == 7
    assert first.data == second.data
    told = client.images.generate(prompt="bag")
    again = client.images.generate(prompt="bag", extra_body={"seed": told.seed})
    assert told.data == again.data


def test_every_field_of_theirs(client: openai.OpenAI) -> None:
    images = client.images.generate(
        prompt="T-shirts",
        model="fashion-mnist",
        n=1,
        size="auto",
        quality="high",
        output_format="webp",
        output_compression=100,
        background="opaque",
        moderation="low",
        user="somebody",
        safety_identifier="somebody",
    )
    file = base64.b64decode(images.data[0].b64_json)
    assert file[:4] == b"RIFF" and file[8:12] == b"WEBP"
    assert images.data[0].revised_prompt == "T-shirt/top"
    url = client.images.generate(prompt="T-shirts", response_format="url").data[0].url
    assert client._client.get(url).content.startswith(PNG)


@pytest.mark.parametrize("partial_images", range(4))
def test_stream(client: openai.OpenAI, partial_images: int) -> None:
    stream = client.images.generate(
        prompt="ankle boots", stream=True, partial_images=partial_images, size="56x56", extra_body={"seed": 3}
    )
    *partial, completed = list(stream)
    assert [event.type for event in partial] == ["image_generation.partial_image"] * partial_images
    assert [event.partial_image_index for event in partial] == list(range(partial_images))
    assert completed.type == "image_generation.completed"
    for event in [*partial, completed]:
        assert size(event.b64_json) == (56, 56)
        assert (event.size, event.quality, event.output_format, event.background) == ("56x56", "high", "png", "opaque")
        assert event.created_at > 1_700_000_000
    assert (completed.usage.output_tokens, completed.usage.input_tokens_details.text_tokens) == (490, 1)
    plain = client.images.generate(prompt="ankle boots", size="56x56", extra_body={"seed": 3})
    assert completed.b64_json == plain.data[0].b64_json


def test_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as unknown:
        client.images.generate(prompt="a cat")
    assert unknown.value.param == "prompt" and unknown.value.type == "invalid_request_error"
    assert "T-shirt/top, Trouser, Pullover" in unknown.value.message
    with pytest.raises(openai.BadRequestError, match="ambiguous: it names Coat and Bag"):
        client.images.generate(prompt="a coat with a bag", stream=True)
    with pytest.raises(openai.NotFoundError) as model:
        client.images.generate(prompt="a coat", model="gpt-image-2")
    assert model.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="transparent|opaque"):
        client.images.generate(prompt="a coat", background="transparent")


async def asynchronous(server: str) -> list[str]:
    async with openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="none") as client:
        stream = await client.images.generate(prompt="dress", stream=True, partial_images=1)
        return [event.type async for event in stream]


def test_asynchronous_client(server: str) -> None:
    import asyncio

    assert asyncio.run(asynchronous(server)) == ["image_generation.partial_image", "image_generation.completed"]


def test_node_client(server: str) -> None:
    """`npm ci` in this folder has installed theirs."""
    node = shutil.which("node", path=TOOLS) or "node"
    run = subprocess.run([node, "openai.mjs", f"{server}/v1"], cwd=HERE, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert seen["models"][0] == "fashion-mnist"
    assert seen["events"] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert size(seen["plain"]) == (112, 112)
    assert seen["plain"] == seen["streamed"]
    assert (seen["error"]["status"], seen["error"]["param"]) == (400, "prompt")
