"""Curves as a PNG picture, drawn with Pillow where that is installed: twice the SVG's pixels."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from labbook.book.text import clean
from labbook_tui.chart_picture import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    ROW,
    TOP,
    WIDTH,
    axis_of,
    pieces_of,
    x_at,
    y_at,
)  # fmt: skip
from labbook_tui.curve import Curve
from labbook_tui.palette import Ink
from labbook_tui.scale import Axis
from labbook_tui.shown import Shown
from labbook_tui.text import cut

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

__all__ = ["as_png"]

SCALE, FINE = 2, 2
"""Pixels of the picture for one of the SVG; how much finer it is drawn, to smooth its edges."""
INK = Ink(dark=False)
MOST_WORDS = 100


def as_png(shown: Shown) -> bytes:
    """A picture on white, 1600 pixels wide. Raises ImportError without Pillow."""
    from PIL import Image, ImageDraw

    curves = [curve for curve in shown.curves if len(curve.x)]
    height = HEIGHT + ROW * len(curves)
    factor = SCALE * FINE
    image = Image.new("RGB", (WIDTH * factor, height * factor), "white")
    pen = _Pen(ImageDraw.Draw(image), factor)
    axis_x, axis_y = axis_of(curves, "x", 8), axis_of(curves, "y", 6)
    pen.words((LEFT, 24), shown.title or shown.name, size=15)
    pen.grid(axis_x, axis_y, shown.x_name)
    for index, curve in enumerate(curves):
        hue, at = f"#{INK.hues[index % len(INK.hues)]}", HEIGHT + ROW * index
        pen.curve(curve, axis_x, axis_y, hue)
        pen.box((LEFT, at, LEFT + 16, at + 4), hue)
        pen.words((LEFT + 24, at + 7), curve.name)
    out = io.BytesIO()
    image.reduce(FINE).save(out, "PNG", optimize=True)
    return out.getvalue()


class _Pen:
    """Draws in the SVG's pixels."""

    def __init__(self, draw: ImageDraw, factor: int) -> None:
        self._draw, self._factor = draw, factor

    def _at(self, *places: float) -> list[float]:
        return [place * self._factor for place in places]

    def line(self, points: list[tuple[float, float]], colour: str, width: float = 1.0) -> None:
        places = [place for point in points for place in self._at(*point)]
        self._draw.line(places, colour, max(1, round(width * self._factor)), "curve")

    def box(self, places: tuple[float, float, float, float], colour: str) -> None:
        self._draw.rectangle(self._at(*places), colour)

    def words(self, at: tuple[float, float], text: str, anchor: str = "ls", size: int = 12) -> None:
        """Text whose base line stands there; without FreeType, Pillow knows one small size."""
        from PIL import ImageFont

        font = ImageFont.load_default(size * self._factor)
        has_anchors = isinstance(font, ImageFont.FreeTypeFont)
        x, y = self._at(*at)
        colour = f"#{INK.table['text']}"
        kept = {"anchor": anchor} if has_anchors else {}
        self._draw.text((x, y), cut(clean(text), MOST_WORDS), colour, font, **kept)  # type: ignore[arg-type]

    def grid(self, axis_x: Axis, axis_y: Axis, x_name: str) -> None:
        """Axes with ticks, and a line across at each of y."""
        faint = f"#{INK.table['faint']}"
        floor, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        for value, label in axis_y.ticks:
            y = y_at(value, axis_y)
            self.line([(LEFT, y), (right, y)], faint, 0.5)
            self.words((LEFT - 8, y + 4), label, "rs")
        for value, label in axis_x.ticks:
            x = x_at(value, axis_x)
            self.line([(x, floor), (x, floor + 5)], faint)
            self.words((x, floor + 18), label, "ms")
        self.line([(LEFT, TOP), (LEFT, floor), (right, floor)], faint)
        self.words((right, floor + 34), x_name, "rs")

    def curve(self, curve: Curve, axis_x: Axis, axis_y: Axis, hue: str) -> None:
        """The line of a curve, and dots where values stand alone or are exact."""
        for xs, ys in pieces_of(curve):
            points = [
                (x_at(float(x), axis_x), y_at(float(y), axis_y))
                for x, y in zip(xs, ys, strict=True)
            ]
            if len(points) > 1:
                self.line(points, hue, 1.5)
            for x, y in points if curve.points or len(points) == 1 else ():
                self._draw.ellipse(self._at(x - 3, y - 3, x + 3, y + 3), hue)
