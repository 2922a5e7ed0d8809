"""The requests that other people's front ends send to an images API of OpenAI, replayed.

The bodies are those that their code builds, with the values of their settings. docs/clients.md says what to type into
each.
"""

import base64
import io
from typing import Any

import pytest
import requests
from PIL import Image

PARAGRAPH = (
    "A single white sneaker on a wooden table, in warm evening light, with soft shadows, blurred background."
    " The composition is centred, highly detailed, 35 mm, shallow depth of field."
)
JSON = {"Content-Type": "application/json"}
BEARER = {"Authorization": "Bearer none"}
FRONT_ENDS = {
    # backend/open_webui/routers/images.py: `response_format` except for models that answer with addresses.
    "Open WebUI": (
        "/v1/images/generations",
        JSON | BEARER,
        {"model": "fashion-mnist", "prompt": PARAGRAPH, "n": 1, "size": "512x512", "response_format": "b64_json"},
    ),
    "Open WebUI, gpt-image-1, API version": (
        "/openai/v1/images/generations?api-version=2024-02-01",
        JSON | BEARER,
        {"model": "gpt-image-1", "prompt": PARAGRAPH, "n": 1, "size": "auto"},
    ),
    # api/app/clients/tools/structured/DALLE3.js reads `url`, though it doesn't ask for it.
    "LibreChat, DALL·E 3": (
        "/v1/images/generations",
        JSON | BEARER,
        {
            "model": "dall-e-3",
            "quality": "standard",
            "style": "vivid",
            "size": "1024x1024",
            "prompt": PARAGRAPH,
            "n": 1,
        },
    ),
    # api/app/clients/tools/structured/OpenAIImageTools.js
    "LibreChat, image tools": (
        "/v1/images/generations",
        JSON | BEARER,
        {
            "model": "gpt-image-1",
            "prompt": PARAGRAPH,
            "n": 1,
            "background": "transparent",
            "output_format": "webp",
            "output_compression": 80,
            "quality": "auto",
            "size": "1536x1024",
        },
    ),
    "LibreChat, Azure": (
        "/openai/deployments/dall-e-3/images/generations?api-version=2024-02-01",
        JSON | {"api-key": "none"},
        {"model": "dall-e-3", "quality": "hd", "style": "natural", "size": "1792x1024", "prompt": PARAGRAPH, "n": 1},
    ),
    # packages/model-runtime/src/core/openaiCompatibleFactory/createImage.ts
    "LobeChat": (
        "/v1/images/generations",
        JSON | BEARER,
        {"model": "dall-e-3", "n": 1, "response_format": "b64_json", "prompt": PARAGRAPH, "size": "1024x1792"},
    ),
    # litellm/llms/openai/openai.py: the parameters that are set, through OpenAI's client.
    "LiteLLM": (
        "/images/generations",
        JSON | BEARER,
        {
            "prompt": PARAGRAPH,
            "model": "fashion-mnist",
            "n": 2,
            "quality": "hd",
            "size": "1024x1024",
            "user": "default_user_id",
        },
    ),
    # DallEAPIWrapper; Flowise and others build on it.
    "LangChain": (
        "/v1/images/generations",
        JSON | BEARER,
        {
            "model": "dall-e-3",
            "prompt": PARAGRAPH,
            "n": 1,
            "size": "1024x1024",
            "response_format": "url",
            "style": "vivid",
            "quality": "standard",
        },
    ),
}


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_request_is_answered(name: str, server: str) -> None:
    path, headers, body = FRONT_ENDS[name]
    response = requests.post(server + path, json=body, headers=headers, timeout=300)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert len(answer["data"]) == body["n"]
    # Where they look for it: DALL·E's default is an address.
    expected = body.get("response_format") or ("url" if body["model"].startswith("dall-e") else "b64_json")
    for image in answer["data"]:
        assert image["revised_prompt"] == "Sneaker"
        assert set(image) == {expected, "revised_prompt"}
        picture = fetch(image)
        asked = body.get("size", "auto")
        assert asked == "auto" or picture.size == tuple(map(int, asked.split("x")))
        assert picture.format == body.get("output_format", "png").upper()


def fetch(image: dict[str, Any]) -> Image.Image:
    if "url" in image:
        # Without the key, as a browser fetches it.
        response = requests.get(image["url"], timeout=300)
        assert response.status_code == 200, response.text
        return Image.open(io.BytesIO(response.content))
    return Image.open(io.BytesIO(base64.b64decode(image["b64_json"])))
