"""The runs of a book, which of their fields are worth a column, and a glance at those on screen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pyarrow as pa

from labbook.book.fields import Fields
from labbook.book.runreader import RunReader
from labbook.errors import LabbookError
from labbook_tui.models import Glance, GlancesModel, RunsModel, Want
from labbook_tui.pauses import settle
from labbook_tui.read.survey import Survey

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook.book.summary import RunSummary

__all__ = ["RunTable", "glance"]


READ_S = 0.25
"""A turn of reading runs for the first time: then those read so far are shown."""
SURVEY_S = 0.15
"""A turn of looking into them."""
MANY = 500
"""So many runs are worth keeping out of garbage collections."""
GLANCE_S = 0.25
"""After so long, glances at further runs wait for the next turn."""
POINTS = 8


class RunTable:
    """The run table and the glances, with what is known of either from the last reading."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._survey = Survey()
        self._runs: dict[str, RunSummary] = {}
        self._model: RunsModel | None = None
        self._glances: dict[str, tuple[tuple[object, ...], Glance]] = {}

    def build(self, want: Want, before: object) -> RunsModel:
        """The model; the one before when no run changed. Of thousands of runs what a turn gives."""
        known, survey = self._model, self._survey
        found, n_left = self._book.summaries_within(READ_S)
        rows = tuple(found)
        if known is not None and known.is_whole and known.rows == rows:
            return known
        is_whole = survey.update(rows, SURVEY_S) and not n_left
        if is_whole and len(rows) >= MANY and (known is None or not known.is_whole):
            pa.default_memory_pool().release_unused()
            settle()
        self._runs = {run.id: run for run in rows}
        series, metrics = tuple(survey.series), tuple(survey.metrics)
        fields = Fields.named(survey.arguments, series, metrics, survey.texts)
        self._model = RunsModel(
            rows,
            tuple(survey.differing),
            series,
            metrics,
            fields,
            survey.fold_keys,
            survey.n_dirty if is_whole else None,
            is_whole,
            n_left,
        )
        return self._model

    def glances(self, want: Want, before: object) -> GlancesModel:
        """A glance at each run of `want.detail`, which begins with the series of the sparkline.

        A run that cannot be read has none; one that has barely grown is not read again.
        """
        series, *ids = want.detail
        until = time.monotonic() + GLANCE_S
        found: dict[str, Glance] = {}
        for run_id in ids:
            run = self._runs.get(run_id)
            if run is None:
                continue
            mark = (series, *_mark(run, series))
            known = self._glances.get(run_id)
            if (known is None or known[0] != mark) and time.monotonic() < until:
                try:
                    one = glance(RunReader(self._book.paths.run(run_id)), series)
                except (LabbookError, OSError):
                    one = Glance()
                known = self._glances[run_id] = (mark, one)
            if known is not None:
                found[run_id] = known[1]
        if isinstance(before, GlancesModel) and before.rows == found:
            return before
        return GlancesModel(found)


def _mark(run: RunSummary, series: str) -> tuple[object, ...]:
    """Another one when a glance would show something else: not for each new point."""
    stat = run.stats.get(series)
    points = int(stat.count).bit_length() * 8 + _eighths(stat.count) if stat else 0
    beat = time.monotonic() // 5 if run.state == "running" else 0  # its gauges
    return (run.state, points, run.n_checkpoints, run.n_results, beat)


def _eighths(count: int) -> int:
    """The next three bits after the first: changes when the count grew by an eighth or less."""
    return (count >> max(0, count.bit_length() - 4)) & 7


def glance(reader: RunReader, series: str) -> Glance:
    """What the table shows of a run beyond its summary."""
    import numpy as np

    from labbook_tui.read.curves import series_curve

    spark: tuple[float, ...] = ()
    if series in reader.names():
        values = series_curve(reader, series, smooth=0.0).y
        values = values[np.isfinite(values)]
        parts = np.array_split(values, min(POINTS, len(values))) if len(values) else []
        spark = tuple(float(part.mean()) for part in parts)
    steps = [point.step for point in reader.checkpoints() if point.step is not None]
    done = [result.step for result in reader.results(strict=False) if result.step is not None]
    lag = max(0, max(steps) - max(done)) if steps and done else None
    waiting = sum(step > max(done, default=-1) for step in steps) if steps else None
    gpu = _gpu(reader) if reader.state.name == "running" else None
    return Glance(spark, lag, waiting, gpu)


def _gpu(reader: RunReader) -> float | None:
    """Per cent, the mean over its GPUs, as last sampled."""
    values = [
        value
        for names, (_, value) in reader.last_gauges().items()
        if value is not None and any(_is_gpu_use(name) for name in names)
    ]
    return sum(values) / len(values) if values else None


def _is_gpu_use(name: str) -> bool:
    return name.startswith("gpu.") and name.endswith(".util_percent")
