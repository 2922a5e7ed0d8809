"""Requests, and when they are sent again: what the two clients have in common."""

from __future__ import annotations

import os
import random
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ._errors import ProblemError
from ._results import Generation
from ._version import __version__

GENERATIONS = "api/v1/generations"
INTERPOLATIONS = "api/v1/interpolations"
RETRIED = {429, 503}
# The server sends a heartbeat every 15 seconds: a stream without one for this time is broken.
TIMEOUT = 60.0


@dataclass(frozen=True)
class Call:
    """A request to the server."""

    method: str
    path: str
    json: Any = None
    params: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        params = {name: value for name, value in (self.params or {}).items() if value is not None}
        return {
            "method": self.method,
            "url": self.path,
            "json": self.json,
            "params": params or None,
            "headers": self.headers,
        }


@dataclass(frozen=True)
class RetryPolicy:
    """How often and when a request is sent again."""

    max_retries: int
    max_wait: float
    """Seconds. If the server names a later time, the error is raised at once."""

    def after_problem(self, retries: int, problem: ProblemError) -> float | None:
        """Seconds to wait after the answer to the request, which was sent again `retries` times; `None`: don't."""
        if problem.status not in RETRIED or retries >= self.max_retries:
            return None
        if problem.retry_after is None:
            return self.backoff(retries)
        return problem.retry_after if problem.retry_after <= self.max_wait else None

    def after_lost_connection(self, retries: int) -> float | None:
        return self.backoff(retries) if retries < self.max_retries else None

    def backoff(self, retries: int) -> float:
        # Random, so that clients of a server that restarts don't all come at the same time.
        return min(self.max_wait, 0.5 * 2.0**retries) * random.uniform(0.5, 1.0)


def client_arguments(base_url: str, api_key: str | None, timeout: float) -> dict[str, Any]:
    """Arguments of `httpx.Client` and `httpx.AsyncClient`."""
    # With a secret of its own, nobody else can cancel what the client creates.
    headers = {"User-Agent": f"rdpm-client-python/{__version__}", "Rdpm-Client": secrets.token_urlsafe(24)}
    api_key = api_key or os.environ.get("RDPM_API_KEY")
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    return {"base_url": base_url, "headers": headers, "timeout": timeout}


def create(body: dict[str, Any], path: str = GENERATIONS) -> Call:
    # With the key, a request whose answer was lost can be sent again without drawing twice.
    return Call("POST", path, json=body, headers={"Idempotency-Key": secrets.token_urlsafe(24)})


def generation_path(generation: Generation | str, rest: str = "") -> str:
    name = generation if isinstance(generation, str) else generation.id
    return f"{GENERATIONS}/{quote(name, safe='')}{rest}"


def events(generation: str, last_event_id: str) -> Call:
    headers = {"Accept": "text/event-stream"}
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    return Call("GET", generation_path(generation, "/events"), headers=headers)


def image(generation: Generation | str, index: int, format: str, scale: int) -> Call:
    return Call("GET", generation_path(generation, f"/images/{index}.{format}"), params={"scale": scale})


def sheet(generation: Generation | str, format: str, scale: int) -> Call:
    return Call("GET", generation_path(generation, f"/sheet.{format}"), params={"scale": scale})


def animation(generation: Generation | str, format: str, options: dict[str, Any]) -> Call:
    return Call("GET", generation_path(generation, f"/animation.{format}"), params=options)


def words(prefix: str, model: str | None, limit: int | None) -> Call:
    return Call("GET", "api/v1/words", params={"prefix": prefix, "model": model, "limit": limit})


def models() -> Call:
    return Call("GET", "api/v1/models")


def tokenize(image: str, model: str | None, seed: int | None) -> Call:
    body = {"image": image, "model": model, "seed": seed}
    return Call("POST", "api/v1/tokenizations", json={name: value for name, value in body.items() if value is not None})
