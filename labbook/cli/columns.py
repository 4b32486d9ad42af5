"""The columns of the run table: which are shown, and what their cells say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from labbook.book.fields import Field, Fields, seconds_taken
from labbook.book.text import clean
from labbook.cli.tables import Column
from labbook.cli.wording import number_text, seconds_text, state_paint, value_text

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

__all__ = ["named_column", "usual_columns"]

_MORE_IS_BETTER = re.compile(
    r"acc|auc|f1|precision|recall|bleu|rouge|reward|score|iou|psnr|ssim|r2"
)


def named_column(field: Field, runs: Sequence[RunSummary], ids: list[str]) -> Column:
    """Return one field as a column; `ids` are the runs' ids as they are to be shown."""
    if field.name == "id":
        return Column("id", ids)
    values = [field.get(run) for run in runs]
    if field.is_seconds:
        return Column(field.name, [seconds_text(value) for value in values], is_number=True)
    are_numbers = all(value is None or isinstance(value, int | float) for value in values)
    if are_numbers and not any(isinstance(value, bool) for value in values):
        return Column(field.name, [number_text(value) for value in values], is_number=True)
    texts = [" ".join(v) if isinstance(v, tuple) else value_text(v) for v in values]
    return Column(field.name, texts, can_shrink=True)


def usual_columns(fields: Fields, runs: Sequence[RunSummary], ids: list[str]) -> list[Column]:
    """Return what `ls` shows when --columns does not say, ranked for narrow terminals."""
    states = {clean(run.state): state_paint(run.state) for run in runs}
    marks = ["?" if run.dirty is None else "*" if run.dirty else "" for run in runs]
    columns = [
        Column("id", ids),
        Column(
            "state",
            [run.state for run in runs],
            paint=lambda text: states.get(text.strip(), str)(text),
        ),
        Column("name", [run.name for run in runs], rank=4, can_shrink=True),
        named_column(fields["age"], runs, ids),
        Column("took", [seconds_text(seconds_taken(run)) for run in runs], rank=7, is_number=True),
        Column("dirty", marks, rank=3),
    ]
    columns[3].rank = 6
    return columns + _argument_columns(fields, runs) + _series_columns(fields, runs)


def _argument_columns(fields: Fields, runs: Sequence[RunSummary]) -> list[Column]:
    """Return the arguments in which the runs differ; all of them for a single run."""
    columns = []
    for field in fields.arguments.values():
        texts = [value_text(field.get(run)) for run in runs]
        if len(runs) == 1 or len(set(texts)) > 1:
            are_numbers = all(isinstance(field.get(run), int | float | None) for run in runs)
            columns.append(
                Column(field.name, texts, rank=5, is_number=are_numbers, can_shrink=not are_numbers)
            )
    return columns


def _series_columns(fields: Fields, runs: Sequence[RunSummary]) -> list[Column]:
    """Return the last and best value of the main series, and the newest results."""
    columns = []
    if main := _main_series(fields, runs):
        best = "max" if _MORE_IS_BETTER.search(main.lower()) else "min"
        for rank, stat in ((1, "last"), (2, best)):
            texts = [number_text(fields.series[main][stat].get(run)) for run in runs]
            is_clear = stat == "last" and main not in fields.arguments
            title = main if is_clear else f"{stat} {main}"
            columns.append(Column(title, texts, rank=rank, is_number=True))
    taken = [*fields.series, *fields.arguments, *map(_last_part, fields.metrics)]
    for field in fields.metrics.values():
        is_score = bool(_MORE_IS_BETTER.search(field.name.lower()))
        texts = [number_text(field.get(run)) for run in runs]
        short = _last_part(field.name)
        title = short if taken.count(short) == 1 else field.name
        columns.append(Column(title, texts, rank=1 if is_score else 9, is_number=True))
    return columns


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]


def _main_series(fields: Fields, runs: Sequence[RunSummary]) -> str | None:
    """`loss`, else a series with loss in its name, else the one most runs have."""

    def preference(name: str) -> tuple[bool, bool, int, str]:
        n_runs = sum(name in run.stats for run in runs)
        return (name != "loss", "loss" not in name.lower(), -n_runs, name)

    return min(fields.series, key=preference, default=None)
