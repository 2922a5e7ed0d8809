"""HTML for notebooks. Everything that comes from the server is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape

SIDE = 224


def image_tag(png: bytes, label: str, side: int = SIDE) -> str:
    """A picture with hard edges, whatever its own size."""
    source = base64.b64encode(png).decode()
    text = escape(label, quote=True)
    style = f"width:{side}px;height:{side}px;image-rendering:pixelated"
    return f'<img src="data:image/png;base64,{source}" alt="{text}" title="{text}" style="{style}">'


def row(items: Iterable[str]) -> str:
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px">{"".join(items)}</div>'


def token_table(tokens: list[list[int]], colors: list[str] | None = None, side: int = SIDE) -> str:
    """A grid of codes, each with its colour."""

    def color(code: int) -> str:
        # Without the codebook, neighbouring codes get different hues.
        return escape(colors[code]) if colors and code < len(colors) else f"hsl({code * 137 % 360} 55% 60%)"

    def cell(code: int) -> str:
        style = f"background:{color(code)};color:#000;padding:0;text-align:center;font-size:10px"
        return f'<td style="{style}"><span style="background:#fffb;border-radius:3px">{code}</span></td>'

    rows = "".join(f"<tr>{''.join(cell(code) for code in line)}</tr>" for line in tokens)
    style = f"width:{side}px;height:{side}px;table-layout:fixed;border-collapse:collapse;margin:0"
    return f'<table style="{style}"><tbody>{rows}</tbody></table>'
