"""Curves of one run: its series, and the metrics of its evaluations as points among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labbook_tui.curve import Curve
from labbook_tui.models import CurvesModel, Want
from labbook_tui.read.arrays import curve_arrays, floats, milliseconds
from labbook_tui.series import group, is_progress, is_setting, ordered
from labbook_tui.smooth import heard, prepared

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["axes_of", "build", "build_preview", "result_curves", "series_curve"]

Floats = NDArray[np.float64]

FIRST_NAMES = 12
TIMES = ("time", "clock")
"""Axes of seconds: since the start, and since 1970."""


def axes_of(reader: RunReader) -> tuple[str, ...]:
    """What x can be: the series the run named as its axis first, then steps, times, others."""
    names = reader.names()
    told = next((r.get("name") for r in reversed([*reader.facts.facts("axis")])), None)
    first = [told] if isinstance(told, str) and told in names else []
    others = [name for name in names if is_progress(name) and name not in first]
    return (*first, "step", *TIMES, *(name for name in others if name not in {"step", *TIMES}))


def series_curve(
    reader: RunReader, name: str, x: str = "step", smooth: float | None = None
) -> Curve:
    """One series over an axis of `axes_of`, smoothed: `time` is seconds since the run began,
    `clock` since 1970; a series is one value of x for each step, in a straight line between its own
    steps."""
    table = reader.series(name)
    across = floats(table.column("step"))
    if x in TIMES:
        across = milliseconds(table.column("time")) / 1e3 - _origin(reader, x)
    elif x != "step":
        across = _interpolated(across, *_points(reader, x))
    places, values = curve_arrays(across, floats(table.column("value")))
    return prepared(Curve(name, places, values, points=is_setting(name)), smooth)


def _origin(reader: RunReader, x: str) -> float:
    return (reader.summary().created_ns or 0) / 1e9 if x == "time" else 0.0


def _points(reader: RunReader, name: str) -> tuple[Floats, Floats]:
    """Steps and values of a series where both are known, one a step."""
    table = reader.series(name)
    steps, values = floats(table.column("step")), floats(table.column("value"))
    known = np.isfinite(steps) & np.isfinite(values)
    kept, first = np.unique(steps[known], return_index=True)
    return kept, values[known][first]


def _interpolated(steps: Floats, known: Floats, values: Floats) -> Floats:
    """x at steps; none (NaN, left out) beyond the known ones."""
    if not len(known):
        return np.full(len(steps), np.nan)
    return np.interp(steps, known, values, left=np.nan, right=np.nan)


def _results_over(reader: RunReader, results: dict[str, Curve], x: str) -> dict[str, Curve]:
    """Results over another axis: the x at which their checkpoint's step was logged."""
    if x in TIMES:
        stats = reader.stats()
        longest = max(stats, key=lambda name: stats[name].count, default=None)
        if longest is None:
            return {}
        table = reader.series(longest)
        known, first = np.unique(floats(table.column("step")), return_index=True)
        values = milliseconds(table.column("time"))[first] / 1e3 - _origin(reader, x)
        known, values = known[np.isfinite(known)], values[np.isfinite(known)]
    else:
        known, values = _points(reader, x)
    moved = {name: _interpolated(curve.x, known, values) for name, curve in results.items()}
    return {
        name: Curve(name, *curve_arrays(moved[name], curve.y), points=True)
        for name, curve in results.items()
        if np.isfinite(moved[name]).any()
    }


def result_curves(reader: RunReader) -> dict[str, Curve]:
    """Each metric of each evaluation by the checkpoint's step, full results before mini ones."""
    points: dict[str, dict[int, float]] = {}
    for result in sorted(reader.results(strict=False), key=lambda r: r.subset == "full"):
        if result.step is not None:
            for metric, value in result.metrics.items():
                points.setdefault(f"{result.evaluation}/{metric}", {})[result.step] = value
    return {
        name: Curve(
            name,
            np.array(sorted(found), np.float64),
            np.array([found[step] for step in sorted(found)], np.float64),
            points=True,
        )
        for name, found in points.items()
    }


def build(reader: RunReader, want: Want) -> CurvesModel:
    """`want.detail` is the axis, "" for the run's own, then how it is smoothed, then the names;
    else the first dozen."""
    asked, smooth, *names = want.detail or ("", "")
    axes = axes_of(reader)
    axis = asked if asked in axes else axes[0]
    results = result_curves(reader)
    known = reader.names()
    everything = ordered({*known, *results})
    if axis != "step":
        results = _results_over(reader, results, axis)
    if not names:
        names = everything[:FIRST_NAMES]
    curves = {
        name: results.get(name) or series_curve(reader, name, axis, heard(smooth))
        for name in names
        if name in results or name in known
    }
    return CurvesModel(reader.summary(), tuple(everything), curves, axis, axes)


def build_preview(reader: RunReader, want: Want) -> CurvesModel:
    """The run's most telling chart: its loss, of training, validation and evaluations."""
    results = result_curves(reader)
    names = ordered({*reader.names(), *results})
    charts = group(names)
    shown = charts[0][1][:4] if charts else []
    curves = {name: results.get(name) or series_curve(reader, name) for name in shown}
    return CurvesModel(reader.summary(), tuple(names), curves)
