"""Reads `text/event-stream`, as the HTML standard defines it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class Message:
    event: str
    data: str
    id: str
    """The last id that was sent; empty if there was none."""


class Parser:
    """Bytes in, messages out. A message that is not complete when the bytes end is dropped."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._event = ""
        self._data: list[str] = []
        self._id = ""

    def feed(self, chunk: bytes) -> Iterator[Message]:
        text = self._rest + self._decoder.decode(chunk)
        # What follows a last carriage return may be its line feed.
        end = len(text) - 1 if text.endswith("\r") else len(text)
        start = 0
        for match in LINE_END.finditer(text, 0, end):
            message = self._line(text[start : match.start()])
            start = match.end()
            if message:
                yield message
        self._rest = text[start:]

    def _line(self, line: str) -> Message | None:
        if not line:
            message = Message(self._event or "message", "\n".join(self._data), self._id) if self._data else None
            self._event, self._data = "", []
            return message
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        # A line without a name is a comment, the server's heartbeat.
        return None
