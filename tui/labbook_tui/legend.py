"""The title row of a chart: its name, each curve's letter and value, and how it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from labbook_tui.curve import Curve
from labbook_tui.lines import Line, fit, width_of
from labbook_tui.palette import Ink, seg
from labbook_tui.smooth import weight_for
from labbook_tui.text import cut, grouped, number

if TYPE_CHECKING:
    from labbook_tui.chart import ChartOptions

__all__ = ["last_words", "legend", "value_at", "weight_of"]


def weight_of(curve: Curve, options: ChartOptions) -> float:
    """The smoothing that a curve is drawn with: none before the average of a long one is there."""
    weight = weight_for(curve, options.smooth)
    return weight if curve.is_ready(weight) else 0.0


def last_words(curve: Curve, x_name: str = "step", short: bool = False) -> str:
    """The last value; of a curve that ends in NaN since when, and the last finite one."""
    if not len(curve.y):
        return "–"
    if np.isfinite(curve.y[-1]):
        return number(float(curve.y[-1]))
    known = np.flatnonzero(np.isfinite(curve.y))
    if not len(known):
        return "nan" if short else f"nan at all {grouped(len(curve.y))} points"
    kind = number(float(curve.y[-1]))
    if short:
        return f"{kind}, was {number(float(curve.y[known[-1]]))}"
    since = float(curve.x[known[-1] + 1])
    where = grouped(int(since)) if since.is_integer() else number(since)
    at = f"step {where}" if x_name == "step" else where
    return f"{kind} since {at}, last finite {number(float(curve.y[known[-1]]))}"


def value_at(curve: Curve, x: float, weight: float = 0.0) -> float | None:
    """The value logged nearest to `x`, or the smoothed one there; None for an empty curve."""
    if not len(curve.x):
        return None
    after = min(int(np.searchsorted(curve.x, x, "left")), len(curve.x) - 1)
    is_before = after > 0 and x - curve.x[after - 1] <= abs(curve.x[after] - x)
    values = curve.smoothed(weight) if weight > 0 else curve.y
    return float(values[after - 1 if is_before else after])


def legend(
    title: str, curves: list[Curve], width: int, ink: Ink, options: ChartOptions, *, left_out: str
) -> Line:
    """Title, then each curve's letter, name and value (at the cursor if there is one), if they fit.

    `left_out` says what is not drawn.
    """
    settings = _settings(curves, options, left_out)
    for short in (False, True):
        line = _values(title, curves, ink, options, short)
        if width_of(line) + (len(settings) + 2 if settings else 0) <= width:
            break
    if width_of(line) > width:
        line = [*fit(line, width - 1), seg("…" if ink.glyphs.braille else ">", ink.of("dim"))]
    kept = settings if width_of(line) + len(settings) + 2 <= width else left_out
    if kept and width_of(line) + len(kept) + 2 <= width:
        style = ink.of("warn" if left_out else "dim")
        line = [*fit(line, width - len(kept)), seg(kept, style)]
    return line


def _values(title: str, curves: list[Curve], ink: Ink, options: ChartOptions, short: bool) -> Line:
    line: Line = [seg(title, ink.of("text", "b"))]
    single = len(curves) == 1
    for index, curve in enumerate(curves):
        letter = "" if single or not options.letters else ink.letter(index) + " "
        name = "" if single and curve.name == title else curve.name + " "
        if short and letter:
            name = cut(name.rpartition("/")[0] or name, 12).strip() + " "
        if options.cursor is None:
            words = last_words(curve, options.x_name, short)
            is_bad = bool(len(curve.y)) and not np.isfinite(curve.y[-1])
        else:
            words, is_bad = number(value_at(curve, options.cursor)), False
        line += [
            seg("  "),
            seg(letter + name, ink.series(index, "b" if letter else "")),
            seg(words, ink.of("warn" if is_bad else "text")),
        ]
    return line


def _settings(curves: list[Curve], options: ChartOptions, left_out: str) -> str:
    weight = max((weight_of(curve, options) for curve in curves), default=0.0)
    words = [left_out] if left_out else []
    if weight > 0:
        words.append(f"ema {weight:g}")
    if options.log_x or options.log_y:
        words.append("log " + "x" * options.log_x + "y" * options.log_y)
    return "  ".join(words)
