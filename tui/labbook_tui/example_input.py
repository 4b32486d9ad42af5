"""The input of an example, drawn: a picture, a text, or numbers as bars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labbook_tui.heatmap import draw_image
from labbook_tui.lines import Line
from labbook_tui.models import Example
from labbook_tui.palette import Ink, seg
from labbook_tui.raster import BRAILLE, PLAIN, dots, pack
from labbook_tui.text import cut, number

__all__ = ["input_lines", "text_lines", "vector_lines"]

BARS_FROM = 5
"""Fewer numbers are better read than drawn."""


def input_lines(example: Example, width: int, height: int, ink: Ink) -> list[Line]:
    """At most `height` lines; none when no input was stored or there is no room."""
    if example.image is not None and ink.images == "off":
        size = "×".join(str(pixels) for pixels in example.image.shape[:2])
        words = f"picture of {size} pixels, not drawn: --images off"
        return [[seg(cut(words, width), ink.of("dim"))]][: max(0, height)]
    if example.image is not None and height >= 3:
        caption = [[seg(cut(example.text, width), ink.of("dim"))]] if example.text else []
        return [*draw_image(example.image, width, height - len(caption), ink), *caption]
    if example.text:
        return text_lines(example.text, width, min(height, 8), ink)
    if example.vector is not None and len(example.vector):
        return vector_lines(example.vector, width, height, ink)
    return []


def text_lines(text: str, width: int, height: int, ink: Ink) -> list[Line]:
    """A text as it stands, its own line ends kept, cut where there is no more room."""
    if height < 1:
        return []
    parts: list[str] = []
    for line in text.split("\n"):
        parts += [line[at : at + width] for at in range(0, max(1, len(line)), width)]
        if len(parts) > height:
            break
    shown = parts[:height]
    if len(parts) > height:
        shown[-1] = cut(shown[-1][: width - 1] + "…", width)
    return [[seg(part, ink.of("text"))] for part in shown]


def vector_lines(vector: NDArray[np.float64], width: int, height: int, ink: Ink) -> list[Line]:
    """Numbers as bars from zero, the greatest of those that share a column; few as numbers."""
    if height < 1:
        return []
    few = " ".join(number(float(v), 3) for v in vector[:BARS_FROM])
    if (len(vector) < BARS_FROM and len(few) <= width) or height < 3:
        return [[seg(cut(few, width), ink.of("text"))]]
    rows = min(4, height - 1)
    columns = _columns(vector, width)
    known = columns[np.isfinite(columns)]
    low, high = (
        (min(0.0, float(known.min())), max(0.0, float(known.max()))) if len(known) else (0.0, 1.0)
    )
    marker = BRAILLE if ink.glyphs.braille else PLAIN
    known = np.repeat(columns, marker.columns)
    known = np.where(np.isfinite(known), known, np.nan)
    nothing = np.zeros(len(known)) + 0 * known  # NaN stays a gap
    bottom, top = np.minimum(known, nothing), np.maximum(known, nothing)
    mask = dots(bottom, top, low, high, rows * marker.rows)
    lines: list[Line] = [
        [seg("".join(chr(code) if code else " " for code in row), ink.of("accent"))]
        for row in pack(mask, marker).tolist()
    ]
    told = f"{len(vector)} values, {number(low, 3)} to {number(high, 3)}"
    return [*lines, [seg(cut(told, width), ink.of("dim"))]]


def _columns(vector: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """At most `width` values: of those that share a column the one farthest from zero."""
    if len(vector) <= width:
        return np.repeat(vector, max(1, min(3, width // len(vector))))
    chunk = -(-len(vector) // width)
    padded = np.full(-(-len(vector) // chunk) * chunk, np.nan)
    padded[: len(vector)] = vector
    parts = padded.reshape(-1, chunk)
    sizes = np.where(np.isfinite(parts), np.abs(parts), -1.0)
    return np.asarray(parts[np.arange(len(parts)), sizes.argmax(axis=1)])
