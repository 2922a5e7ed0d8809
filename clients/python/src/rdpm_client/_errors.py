"""What can go wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from ._results import Generation


class RdpmError(Exception):
    """Every error of this package."""


class RequestError(RdpmError):
    """The server can't be reached, or the connection was lost and could not be made again."""


class GenerationError(RdpmError):
    """The generation failed or was canceled."""

    def __init__(self, generation: Generation) -> None:
        why = f": {generation.detail}" if generation.detail else ""
        super().__init__(f"generation {generation.id} is {generation.status}{why}")
        self.generation = generation


@dataclass(frozen=True)
class FieldError:
    """A field of the request with an invalid value."""

    field: str
    value: Any
    allowed: str
    """The allowed values, for people."""


class ProblemError(RdpmError):
    """The server's answer is an error (RFC 9457)."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        type: str = "about:blank",
        fields: tuple[FieldError, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        invalid = "".join(f"\n{field.field}: {field.value!r} is not {field.allowed}" for field in fields)
        super().__init__(f"{status} {title}: {detail}{invalid}")
        self.status = status
        self.title = title
        self.detail = detail
        self.type = type
        self.fields = fields
        """The fields with invalid values."""
        self.retry_after = retry_after
        """Seconds after which the same request may succeed, if the server said so."""

    @classmethod
    def of(cls, response: httpx.Response) -> ProblemError:
        """The error in a response whose body has been read."""
        retry_after = seconds(response.headers.get("retry-after"))
        try:
            problem = response.json()
            fields = tuple(
                FieldError(error["field"], error.get("value"), error["allowed"]) for error in problem.get("errors", ())
            )
            return cls(
                response.status_code,
                problem["title"],
                problem["detail"],
                type=problem.get("type", "about:blank"),
                fields=fields,
                retry_after=retry_after,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            # Not the server's: a proxy's, for example.
            return cls(response.status_code, response.reason_phrase, response.text[:500], retry_after=retry_after)


def seconds(retry_after: str | None) -> float | None:
    """The time that a `Retry-After` header names: seconds or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
