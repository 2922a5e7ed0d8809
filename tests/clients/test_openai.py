"""OpenAI's own clients, unchanged, against the server."""

import base64
import io
import json
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path

import numpy
import openai
import pytest
from conftest import TOOLS
from PIL import Image

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
    with pytest.raises(openai.NotFoundError) as model:
        client.images.generate(prompt="a coat", model="fashion-mnits")
    assert model.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="size is invalid"):
        client.images.generate(prompt="a coat", size="4096x4096")


SIZES = ["256x256", "512x512", "1024x1024", "1536x1024", "1024x1536", "1792x1024", "1024x1792", "512X512", "896x896"]


@pytest.mark.parametrize("model", ["fashion-mnist", "emoji"])
@pytest.mark.parametrize("asked", SIZES)
def test_size(client: openai.OpenAI, model: str, asked: str) -> None:
    prompt = {"fashion-mnist": "a sneaker", "emoji": "a heart"}[model]
    seed = {"seed": 5}
    own = pixels(client.images.generate(model=model, prompt=prompt, extra_body=seed))
    images = client.images.generate(model=model, prompt=prompt, size=asked, extra_body=seed)
    picture = pixels(images)
    width, height = map(int, asked.lower().split("x"))
    assert picture.size == (width, height)
    assert images.size == f"{width}x{height}"
    # The picture is in the middle, as large as fits.
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    middle = picture.crop((left, top, left + side, top + side))
    if side % own.width == 0 and own.width <= 64:
        assert middle.tobytes() == own.resize((side, side), Image.Resampling.NEAREST).tobytes()
    else:
        expected = own.resize((side, side), Image.Resampling.BICUBIC)
        difference = numpy.abs(numpy.asarray(middle, float) - numpy.asarray(expected, float))
        assert difference.mean() < 1.5
    # The rest has the most frequent colour of the edge.
    edge = [own.getpixel((x, y)) for x in range(own.width) for y in range(own.height) if {x, y} & {0, own.width - 1}]
    background = Counter(edge).most_common(1)[0][1]
    bars = [picture.getpixel((x, y)) for x in (0, width - 1) for y in (0, height - 1)]
    if width != height:
        assert edge.count(bars[0]) == background and len(set(bars)) == 1


def pixels(images: openai.types.ImagesResponse) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(images.data[0].b64_json))).convert("RGB")


@pytest.mark.parametrize("model", ["dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-2", ""])
def test_models_of_theirs(client: openai.OpenAI, model: str) -> None:
    response = client.images.with_raw_response.generate(
        prompt="a sneaker", model=model, size="1024x1024", style="vivid", quality="hd", n=1, user="someone"
    )
    images = response.parse()
    # As OpenAI does: links for DALL·E, files for the others.
    if model.startswith("dall-e"):
        picture = client._client.get(images.data[0].url).content
    else:
        picture = base64.b64decode(images.data[0].b64_json)
    assert Image.open(io.BytesIO(picture)).size == (1024, 1024)
    expected = [f"There is no model {model} here. fashion-mnist was used."] if model else []
    expected += [
        "quality hd is ignored: there is one quality, high.",
        "style vivid is ignored: the model has no styles.",
        "user is ignored.",
    ]
    assert sorted(images.warnings) == sorted(expected)
    assert response.headers.get_list("rdpm-warning") == images.warnings


def test_ten_images(client: openai.OpenAI) -> None:
    images = client.images.generate(prompt="bags", n=10)
    assert len({image.b64_json for image in images.data}) == 10


def test_several_classes(client: openai.OpenAI) -> None:
    images = client.images.generate(prompt="A coat hangs beside a bag.\n\nBehind them stands a sandal.")
    assert images.data[0].revised_prompt == "Coat"
    assert images.warnings == ["The prompt names several classes. Coat was drawn, and not Bag, Sandal."]


def test_words(client: openai.OpenAI) -> None:
    paragraph = "Please draw a panda 🐼.\n\nIt should sit next to xyzzy."
    images = client.images.generate(
        model="emoji", prompt=paragraph, n=2, extra_body={"style": "twemoji", "seed": 3, "guidance": 3}
    )
    for image in images.data:
        assert "panda" in image.revised_prompt and image.revised_prompt.endswith(", twemoji style")
    [warning] = images.warnings
    assert warning.startswith("Unknown words have no effect: ") and "xyzzy" in warning
    # Without a style, each image has another one; theirs are ignored.
    images = client.images.generate(model="emoji", prompt="red heart", n=8, style="natural")
    told = [image.revised_prompt.removeprefix("red heart, ") for image in images.data]
    assert len(set(told)) == 8 and all(style.endswith(" style") for style in told)
    assert images.warnings[0].startswith("style natural is ignored: the model's styles are noto, ")
    with pytest.raises(openai.BadRequestError, match="such as .*hamburger") as unknown:
        client.images.generate(model="emoji", prompt="hamberger")
    assert unknown.value.param == "prompt"


def test_azure_client(server: str) -> None:
    client = openai.AzureOpenAI(azure_endpoint=server, api_key="none", api_version="2024-02-01", max_retries=0)
    images = client.images.generate(model="emoji", prompt="red heart", size="512x512")
    assert size(images.data[0].b64_json) == (512, 512)
    assert images.data[0].revised_prompt.startswith("red heart, ")
    with pytest.raises(openai.NotFoundError) as unknown:
        client.images.generate(model="unknown", prompt="a heart")
    assert unknown.value.code == "model_not_found"


@pytest.mark.parametrize("base", ["", "/v1/", "/openai/v1", "/openai/v1/"])
def test_base_urls(server: str, base: str) -> None:
    client = openai.OpenAI(base_url=server + base, api_key="none", max_retries=0)
    assert client.models.list().data[0].id == "fashion-mnist"
    assert client.images.generate(prompt="a dress").data[0].revised_prompt == "Dress"


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
    assert seen["words"] == "a red heart, fluent-3d style"
    assert (seen["error"]["status"], seen["error"]["param"]) == (400, "prompt")
