"""Curves as an SVG picture: axes with ticks, a legend, hues colour-blind readers tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

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

__all__ = ["as_svg"]

INK = Ink(dark=False)


def as_svg(shown: Shown) -> str:
    """A picture on white, 800 pixels wide; a curve is broken where a value is missing."""
    curves = [curve for curve in shown.curves if len(curve.x)]
    axis_x, axis_y = axis_of(curves, "x", 8), axis_of(curves, "y", 6)
    height = HEIGHT + ROW * len(curves)
    text, line = f"#{INK.table['text']}", f"#{INK.table['faint']}"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="12" fill="{text}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{_words(shown.title or shown.name)}</text>',
    ]
    out += _grid(axis_x, axis_y, line, shown.x_name)
    for index, curve in enumerate(curves):
        hue = f"#{INK.hues[index % len(INK.hues)]}"
        out += _drawn(curve, axis_x, axis_y, hue)
        at = HEIGHT + ROW * index
        out.append(f'<rect x="{LEFT}" y="{at}" width="16" height="4" fill="{hue}"/>')
        out.append(f'<text x="{LEFT + 24}" y="{at + 7}">{_words(curve.name)}</text>')
    return "\n".join([*out, "</svg>", ""])


def _words(text: str) -> str:
    from labbook.book.text import clean

    return escape(clean(text))


def _grid(axis_x: Axis, axis_y: Axis, line: str, x_name: str) -> Iterator[str]:
    floor, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value, label in axis_y.ticks:
        y = y_at(value, axis_y)
        yield f'<path d="M{LEFT} {y:.1f}H{right}" stroke="{line}" stroke-width="0.5"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>'
    for value, label in axis_x.ticks:
        x = x_at(value, axis_x)
        yield f'<path d="M{x:.1f} {floor}v5" stroke="{line}"/>'
        yield f'<text x="{x:.1f}" y="{floor + 18}" text-anchor="middle">{escape(label)}</text>'
    yield f'<path d="M{LEFT} {TOP}V{floor}H{right}" fill="none" stroke="{line}"/>'
    yield f'<text x="{right}" y="{floor + 34}" text-anchor="end">{_words(x_name)}</text>'


def _drawn(curve: Curve, axis_x: Axis, axis_y: Axis, hue: str) -> Iterator[str]:
    """The line of a curve, and dots where values stand alone or are exact."""
    for xs, ys in pieces_of(curve):
        points = [
            f"{x_at(float(x), axis_x):.1f} {y_at(float(y), axis_y):.1f}"
            for x, y in zip(xs, ys, strict=True)
        ]
        if len(points) > 1:
            yield f'<path d="M{"L".join(points)}" fill="none" stroke="{hue}" stroke-width="1.5"/>'
        if curve.points or len(points) == 1:
            for point in points:
                x, y = point.split()
                yield f'<circle cx="{x}" cy="{y}" r="3" fill="{hue}"/>'
