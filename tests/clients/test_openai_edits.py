"""Edits and variations by OpenAI's own clients, unchanged."""

import base64
import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy
import openai
import pytest
from PIL import Image

HERE = Path(__file__).parent


@pytest.fixture
def client(server: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def pixels(b64: str) -> numpy.ndarray:
    return numpy.asarray(Image.open(io.BytesIO(base64.b64decode(b64))).convert("L"), dtype=float)


@pytest.fixture
def picture(client: openai.OpenAI) -> bytes:
    return base64.b64decode(client.images.generate(prompt="coat", extra_body={"seed": 3}).data[0].b64_json)


@pytest.fixture
def mask() -> bytes:
    """Transparent, that is to be drawn again, in the lower half."""
    image = Image.new("RGBA", (28, 28), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 16, 28, 28))
    return png(image)


def test_an_edit_changes_the_masked_part(client: openai.OpenAI, picture: bytes, mask: bytes) -> None:
    images = client.images.edit(
        image=("a.png", picture), mask=("m.png", mask), prompt="a dress", n=2, extra_body={"seed": 4}
    )
    before = numpy.asarray(Image.open(io.BytesIO(picture)).convert("L"), dtype=float)
    assert len(images.data) == 2
    for image in images.data:
        after = pixels(image.b64_json)
        assert image.revised_prompt == "Dress"
        kept, drawn = abs(after - before)[:12].mean(), abs(after - before)[18:].mean()
        assert kept < 12 < drawn, (kept, drawn)
    again = client.images.edit(image=picture, mask=mask, prompt="a dress", n=2, extra_body={"seed": 4})
    assert again.data == images.data


def test_the_transparent_part_of_an_image_is_its_mask(client: openai.OpenAI, picture: bytes, mask: bytes) -> None:
    image = Image.open(io.BytesIO(picture)).convert("RGBA")
    image.putalpha(Image.open(io.BytesIO(mask)).getchannel("A"))
    edited = client.images.edit(image=png(image), prompt="a dress", extra_body={"seed": 4})
    assert edited.data[0].b64_json


def test_an_edit_streams_previews(client: openai.OpenAI, picture: bytes, mask: bytes) -> None:
    stream = client.images.edit(
        image=picture, mask=mask, prompt="a dress", stream=True, partial_images=2, extra_body={"seed": 4}
    )
    events = list(stream)
    assert [event.type for event in events] == ["image_edit.partial_image"] * 2 + ["image_edit.completed"]
    plain = client.images.edit(image=picture, mask=mask, prompt="a dress", extra_body={"seed": 4})
    assert events[-1].b64_json == plain.data[0].b64_json


def test_variations_are_near_their_image(client: openai.OpenAI, picture: bytes) -> None:
    before = numpy.asarray(Image.open(io.BytesIO(picture)).convert("L"), dtype=float)

    def distance(step: int) -> float:
        images = client.images.create_variation(image=picture, n=3, extra_body={"from_step": step, "seed": 1})
        return numpy.mean([abs(pixels(image.b64_json) - before).mean() for image in images.data])

    assert distance(8) < distance(2)
    sized = client.images.create_variation(image=picture, size="512x512", response_format="b64_json")
    assert pixels(sized.data[0].b64_json).shape == (512, 512)


def test_errors_name_the_part(client: openai.OpenAI, picture: bytes) -> None:
    def refused(param: str, **parts: object) -> str:
        with pytest.raises(openai.BadRequestError) as error:
            client.images.edit(**({"image": picture, "prompt": "a dress"} | parts))
        assert error.value.param == param
        return str(error.value)

    assert "one image" in refused("image", image=[picture, picture])
    refused("prompt", prompt="a teapot")
    refused("image", image=b"no image")
    refused("mask", mask=png(Image.new("L", (28, 28), 0)))
    refused("from_step", extra_body={"from_step": 10})


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_node_client(server: str, picture: bytes, mask: bytes, tmp_path: Path, client: openai.OpenAI) -> None:
    (tmp_path / "image.png").write_bytes(picture)
    (tmp_path / "mask.png").write_bytes(mask)
    command = ["node", HERE / "openai_edits.mjs", f"{server}/v1", tmp_path]
    said = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    edited = client.images.edit(image=picture, mask=mask, prompt="a dress", extra_body={"seed": 4})
    assert said["edit"] == said["streamed"] == edited.data[0].b64_json
    assert said["events"] == ["image_edit.partial_image", "image_edit.completed"]
    assert said["variations"] == 2
    assert said["error"] == {"status": 400, "param": "image"}
