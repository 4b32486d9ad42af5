"""Curves as an SVG picture: axes with ticks, a legend, hues colour-blind readers tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from labbook_tui.curve import Curve
from labbook_tui.palette import Ink
from labbook_tui.scale import Axis, linear_axis
from labbook_tui.shown import Shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["as_svg"]

WIDTH, HEIGHT = 800, 450
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 50
ROW = 18
"""Pixels for a line of the legend, which stands below the axis."""
INK = Ink(dark=False)


def as_svg(shown: Shown) -> str:
    """A picture on white, 800 pixels wide; a curve is broken where a value is missing."""
    curves = [curve for curve in shown.curves if len(curve.x)]
    axis_x, axis_y = _axis(curves, "x", 8), _axis(curves, "y", 6)
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


def _axis(curves: list[Curve], which: str, count: int) -> Axis:
    import numpy as np

    found = [np.asarray(getattr(curve, which), np.float64) for curve in curves]
    values = [part[np.isfinite(part)] for part in found]
    lows = [float(part.min()) for part in values if len(part)]
    highs = [float(part.max()) for part in values if len(part)]
    return linear_axis(min(lows, default=0.0), max(highs, default=1.0), count)


def _x(value: float, axis: Axis) -> float:
    return LEFT + (value - axis.low) / (axis.high - axis.low) * (WIDTH - LEFT - RIGHT)


def _y(value: float, axis: Axis) -> float:
    floor = HEIGHT - BOTTOM
    return floor - (value - axis.low) / (axis.high - axis.low) * (floor - TOP)


def _grid(axis_x: Axis, axis_y: Axis, line: str, x_name: str) -> Iterator[str]:
    floor, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value, label in axis_y.ticks:
        y = _y(value, axis_y)
        yield f'<path d="M{LEFT} {y:.1f}H{right}" stroke="{line}" stroke-width="0.5"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>'
    for value, label in axis_x.ticks:
        x = _x(value, axis_x)
        yield f'<path d="M{x:.1f} {floor}v5" stroke="{line}"/>'
        yield f'<text x="{x:.1f}" y="{floor + 18}" text-anchor="middle">{escape(label)}</text>'
    yield f'<path d="M{LEFT} {TOP}V{floor}H{right}" fill="none" stroke="{line}"/>'
    yield f'<text x="{right}" y="{floor + 34}" text-anchor="end">{_words(x_name)}</text>'


def _drawn(curve: Curve, axis_x: Axis, axis_y: Axis, hue: str) -> Iterator[str]:
    """The line of a curve, and dots where values stand alone or are exact."""
    for xs, ys in _pieces(curve):
        points = [
            f"{_x(float(x), axis_x):.1f} {_y(float(y), axis_y):.1f}"
            for x, y in zip(xs, ys, strict=True)
        ]
        if len(points) > 1:
            yield f'<path d="M{"L".join(points)}" fill="none" stroke="{hue}" stroke-width="1.5"/>'
        if curve.points or len(points) == 1:
            for point in points:
                x, y = point.split()
                yield f'<circle cx="{x}" cy="{y}" r="3" fill="{hue}"/>'


def _pieces(curve: Curve) -> Iterator[tuple[Floats, Floats]]:
    """Runs of finite values; of a long one the least and greatest of each half pixel."""
    import numpy as np

    x, y = np.asarray(curve.x, np.float64), np.asarray(curve.y, np.float64)
    is_good = np.isfinite(x) & np.isfinite(y)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], is_good, [False])).astype(np.int8)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        xs, ys = x[start:end], y[start:end]
        if len(xs) > 4 * WIDTH:
            size = -(-len(xs) // (2 * WIDTH))
            chunks = range(0, len(xs), size)
            lows = [at + int(np.argmin(ys[at : at + size])) for at in chunks]
            highs = [at + int(np.argmax(ys[at : at + size])) for at in chunks]
            kept = sorted({0, len(xs) - 1, *lows, *highs})
            xs, ys = xs[kept], ys[kept]
        yield xs, ys
