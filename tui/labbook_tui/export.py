"""Writes what a page shows to files: its table as CSV, its chart as SVG."""

from __future__ import annotations

import csv
import math
import re
from itertools import pairwise
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from labbook_tui.curve import Curve
from labbook_tui.palette import LETTERS, Ink
from labbook_tui.scale import Axis, linear_axis
from labbook_tui.shown import Shown
from labbook_tui.text import cut

__all__ = ["export", "svg"]

WIDTH, HEIGHT = 800, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 24, 40, 44
_MOST_POINTS = 2_000

Floats = NDArray[np.float64]


def export(shown: Shown, folder: Path) -> list[Path]:
    """Write `NAME.csv`, and `NAME.svg` where there are curves; never over a file that is there.

    Raises `OSError` where the folder cannot be written.
    """
    stem = re.sub(r"[^\w.-]+", "-", shown.name).strip("-.") or "labbook"
    written = []
    with _fresh(folder, stem, ".csv") as file:
        writer = csv.writer(file)
        writer.writerow(shown.columns)
        writer.writerows(["" if value is None else value for value in row] for row in shown.rows)
        written.append(Path(file.name))
    if any(len(curve.x) for curve in shown.curves):
        with _fresh(folder, stem, ".svg") as file:
            file.write(svg(shown))
            written.append(Path(file.name))
    return written


def _fresh(folder: Path, stem: str, ending: str) -> IO[str]:
    """A new file: `stem.csv`, else `stem-2.csv` and so on."""
    for number in range(1, 10_000):
        name = f"{stem}{'' if number == 1 else f'-{number}'}{ending}"
        try:
            return open(folder / name, "x", encoding="utf-8", newline="")
        except FileExistsError:
            continue
    raise FileExistsError(f"{folder} has 10,000 files named {stem}")


def svg(shown: Shown) -> str:
    """A line chart: (curves) over one axis, ticks at round numbers, a legend on top."""
    curves = [curve for curve in shown.curves if np.isfinite(curve.y).any()]
    ink = Ink(dark=False)
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    xs = np.concatenate([curve.x for curve in curves]) if curves else np.array([0.0, 1.0])
    ys = np.concatenate([curve.y[np.isfinite(curve.y)] for curve in curves]) if curves else xs
    axis_x = linear_axis(float(xs.min()), float(xs.max()), 8)
    axis_y = linear_axis(float(ys.min()), float(ys.max()), 6)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for value, label in axis_y.ticks:
        y = _TOP + height * (1 - axis_y.part(value))
        parts.append(f'<path d="M{_LEFT} {y:.1f}h{width}" stroke="#e3e6ea"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for value, label in axis_x.ticks:
        x = _LEFT + width * axis_x.part(value)
        parts.append(f'<path d="M{x:.1f} {_TOP + height}v5" stroke="#656d76"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{_TOP + height + 18}" text-anchor="middle">{label}</text>'
        )
    parts.append(
        f'<text x="{_LEFT + width / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(shown.x_name)}</text>"
    )
    left = _LEFT
    for place, curve in enumerate(curves):
        colour = f"#{ink.hues[place % len(ink.hues)]}"
        points = _points(curve, axis_x, axis_y, width, height)
        parts.append(f'<path d="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        name = escape(cut(curve.name, 28)) if len(curves) > 1 else escape(shown.title)
        letter = f"{LETTERS[place % 26]} " if len(curves) > 1 else ""
        parts.append(f'<text x="{left}" y="22" fill="{colour}">{letter}{name}</text>')
        left += 16 + 7 * (len(name) + len(letter))
    return "\n".join([*parts, "</svg>", ""])


def _points(curve: Curve, axis_x: Axis, axis_y: Axis, width: int, height: int) -> str:
    """A path that breaks where a value is not finite; long curves keep each stretch's extremes."""
    x, y = _thinned(curve.x, curve.y)
    words, is_open = [], False
    for at, value in zip(x.tolist(), y.tolist(), strict=True):
        if not math.isfinite(value):
            is_open = False
            continue
        px = _LEFT + width * axis_x.part(at)
        py = _TOP + height * (1 - axis_y.part(value))
        words.append(f"{'L' if is_open else 'M'}{px:.1f} {py:.1f}")
        is_open = True
    return "".join(words)


def _thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    if len(x) <= _MOST_POINTS:
        return x, y
    edges = np.linspace(0, len(x), _MOST_POINTS // 2 + 1).astype(int)
    keep = []
    for first, last in pairwise(edges.tolist()):
        part = y[first:last]
        if np.isfinite(part).any():
            keep += sorted({first + int(np.nanargmin(part)), first + int(np.nanargmax(part))})
        else:
            keep.append(first)
    return x[keep], y[keep]
