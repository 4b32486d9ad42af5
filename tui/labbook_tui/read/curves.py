"""Curves of one run: its series, and the metrics of its evaluations as points among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from labbook_tui.curve import Curve
from labbook_tui.models import CurvesModel, Want
from labbook_tui.read.arrays import curve_arrays, floats, milliseconds
from labbook_tui.series import group, is_setting, ordered

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["build", "build_preview", "result_curves", "series_curve"]

FIRST_NAMES = 12


def series_curve(reader: RunReader, name: str, x: str = "step") -> Curve:
    """One series over `step`, or over hours since the run began (`hours`)."""
    table = reader.series(name)
    across = floats(table.column("step"))
    if x == "hours":
        across = (
            milliseconds(table.column("time")) - (reader.summary().created_ns or 0) / 1e6
        ) / 3.6e6
    steps, values = curve_arrays(across, floats(table.column("value")))
    return Curve(name, steps, values, points=is_setting(name))


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
    """`want.detail` is the axis, then the names; without names the first dozen is read."""
    axis, *names = want.detail or ("step",)
    results = result_curves(reader) if axis == "step" else {}
    known = reader.names()
    everything = ordered({*known, *results})
    if not names:
        names = everything[:FIRST_NAMES]
    curves = {
        name: results.get(name) or series_curve(reader, name, axis)
        for name in names
        if name in results or name in known
    }
    return CurvesModel(reader.summary(), tuple(everything), curves)


def build_preview(reader: RunReader, want: Want) -> CurvesModel:
    """The run's most telling chart: its loss, of training, validation and evaluations."""
    results = result_curves(reader)
    names = ordered({*reader.names(), *results})
    charts = group(names)
    shown = charts[0][1][:4] if charts else []
    curves = {name: results.get(name) or series_curve(reader, name) for name in shown}
    return CurvesModel(reader.summary(), tuple(names), curves)
