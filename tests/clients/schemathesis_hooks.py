"""What a schema can't say: which texts are images, which prompts name a class, what fits which model, which fields go
together, and that a key is used once."""

import base64
import json
import uuid
from typing import Any

import schemathesis
from conftest import REPOSITORY

FILE = (REPOSITORY / "weights/fashion-mnist/classes/8.png").read_bytes()
PICTURE = base64.b64encode(FILE).decode()
DEFAULT = "fashion-mnist"
ANIMATION_SCALE_MAX = 20
TOKENS = {"format": "rdpm-tokens/1", "model": DEFAULT, "seed": 1, "tokens": [[[0] * 7] * 7] * 10}
MODELS = {path.parent.name: json.loads(path.read_text()) for path in REPOSITORY.glob("weights/*/config.json")}


def fit(body: dict[str, Any], model: dict[str, Any]) -> None:
    """Keeps to what one model takes: the document says what any of them does."""
    limits = {"top_k": model["trajectory"]["codes"], "from_step": len(model["trajectory"]["schedule"]) - 2}
    for field, most in limits.items():
        if body.get(field) is not None:
            body[field] = min(body[field], most)
    if body.get("prompt") is not None:
        body["prompt"] = "red heart" if "styles" in model else None
    if body.get("style") not in model.get("styles", []):
        body["style"] = None
    if body.get("guidance_steps") is not None:
        body["guidance_steps"] = "1-7"


def fit_a1111(case: Any) -> None:
    """Names of models are texts, and so are images; other texts say what to draw."""
    body = case.body
    if case.path == "/sdapi/v1/options":
        body["sd_model_checkpoint"] = DEFAULT
    elif case.path == "/sdapi/v1/png-info":
        body["image"] = PICTURE
    else:
        # Any other field is ignored, but for these.
        for name in ("override_settings", "script_name"):
            body.pop(name, None)
        body["prompt"] = "a picture of a bag"
        limits = {"batch_size": 2, "n_iter": 1, "width": 64, "height": 64}
        limits["top_k"] = MODELS[DEFAULT]["trajectory"]["codes"]
        body |= {
            name: min(body[name], most) for name, most in limits.items() if isinstance(body.get(name), (int, float))
        }
    if case.path == "/sdapi/v1/img2img":
        body["init_images"] = [PICTURE]
        body.pop("mask", None)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Makes requests that fit the schema such that they should be accepted."""
    if not case.meta or not case.meta.generation.mode.is_positive:
        return
    if case.headers and "Idempotency-Key" in case.headers:
        # Each stands for one body.
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if case.path.endswith("/animation.{format}") and isinstance((case.query or {}).get("scale"), int):
        # Ten frames of a larger one are too many pixels.
        case.query["scale"] = min(case.query["scale"], ANIMATION_SCALE_MAX)
    if case.path.endswith("/animation.{format}") and (case.query or {}).get("which") == "images":
        # It shows all images.
        case.query.pop("index", None)
    if case.path == "/api/v1/pictures/{model}/{file}":
        case.path_parameters = {"model": DEFAULT, "file": "Bag.gif"}
        case.query = {name: value for name, value in (case.query or {}).items() if name not in ("prompt", "style")}
        limits = {"top_k": MODELS[DEFAULT]["trajectory"]["codes"], "scale": ANIMATION_SCALE_MAX}
        case.query |= {name: min(int(case.query[name]), most) for name, most in limits.items() if name in case.query}
        if "guidance_steps" in case.query:
            case.query["guidance_steps"] = "1-7"
    if case.path.startswith("/api/v1/gallery"):
        # A gallery belongs to a client; a time is more than a text.
        case.headers = dict(case.headers or {}) | {"Rdpm-Client": "a-client-of-the-tests"}
        query = dict(case.query or {})
        query |= {name: "2026-01-01T00:00:00Z" for name in ("after", "before") if name in query}
        case.query = query | {
            name: str(query[name])[:200] for name in ("model", "class", "style", "search") if name in query
        }
    if case.path == "/api/v1/gallery/download":
        case.body = {"pictures": [{"generation": str(uuid.uuid4()), "index": 0}]}
        return
    if case.path == "/api/v1/decode":
        case.body = TOKENS if case.media_type == "application/json" else json.dumps(TOKENS).encode()
        if (case.query or {}).get("format") not in (None, "png", "webp", "jpeg"):
            case.query["format"] = "webp"
        return
    if case.path == "/api/v1/interpolations":
        # Where schemathesis finds no body that fits, it sends one that doesn't.
        body = case.body if isinstance(case.body, dict) else {}
        # They depend on each other, on the ends, and on earlier generations.
        for name in ("kind", "kept_steps", "model", "prompt", "style"):
            body.pop(name, None)
        fit(body, MODELS[DEFAULT])
        # Two images show as much as sixteen.
        case.body = body | {"a": {"seed": 1}, "b": {"seed": 7}, "class": 0, "frames": 2}
        return
    if not isinstance(case.body, dict):
        return
    if case.path.startswith("/sdapi/v1/"):
        fit_a1111(case)
        return
    if case.path in ("/v1/images/edits", "/v1/images/variations"):
        # Texts are names, sizes and formats of this API; a mask is an image.
        case.body = {"image": FILE, "n": 1 if case.body.get("n") is None else min(case.body["n"], 2)}
        if case.path.endswith("edits"):
            case.body["prompt"] = "a bag"
        return
    body = case.body
    if case.path == "/v1/images/generations":
        # Any text is allowed, but only these are names of models.
        body["model"] = body.get("model") if body.get("model") in MODELS else DEFAULT
    model = MODELS[body.get("model") or DEFAULT]
    if case.path == "/api/v1/generations":
        fit(body, model)
        # They depend on each other, on earlier generations and on the operator.
        for name in ("mask", "cells", "tokens", "from", "webhook"):
            body.pop(name, None)
        if not (REPOSITORY / "weights" / model["name"] / "vocabulary.json").exists():
            body["prompt"] = None
        if body.get("style") not in model.get("styles", []):
            body["style"] = None
        if body.get("class") not in [*model["classes"], *range(len(model["classes"]))]:
            body["class"] = 0
        if body.get("image") is None or body.get("from_step") is None:
            body.pop("image", None)
            body.pop("from_step", None)
        else:
            body["image"] = PICTURE
        # One image shows as much as sixteen.
        body["count"] = None if body.get("count") is None else min(body["count"], 2)
    elif case.path == "/api/v1/tokenizations":
        body["image"] = PICTURE if case.media_type == "application/json" else FILE
    elif case.path == "/v1/images/generations":
        fit(body, model)
        body["prompt"] = f"a picture of a {model['classes'][-1]}"
        body["n"] = None if body.get("n") is None else min(body["n"], 2)
        if body.get("stream"):
            body |= {"n": 1, "response_format": None}
        else:
            body["partial_images"] = 0
