"""Runs that differ in nothing but the seed, folded into one row: mean ± standard deviation.

The standard deviation is that of a sample (n - 1), over the runs of a group that have the value;
it is null for a single one. Nothing is averaged twice: each run gives one number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from labbook.errors import MisuseError

__all__ = ["COUNT", "MEAN", "STD", "fold", "group"]

COUNT: Final = "runs"
MEAN: Final = ".mean"
STD: Final = ".std"
_METRIC: Final = re.compile(r"(last|result)\.")
_LESS_IS_BETTER: Final = re.compile(r"loss|err|nll|perplexity|ppl|mse|mae|rmse|bpc", re.IGNORECASE)
_MORE_IS_BETTER: Final = re.compile(
    r"acc|f1|auc|precision|recall|score|bleu|rouge|iou|map\b|reward|r2", re.IGNORECASE
)


def group(runs: pa.Table, by: Sequence[str], metrics: Sequence[str] = ()) -> pa.Table:
    """Fold the run table by the fields `by`.

    A field is a column of the run table or the last part of an argument's name. Columns: those
    fields, `runs` (how many), and `<metric>.mean` and `<metric>.std` of each metric (default: the
    last values and results). Raises `MisuseError` for an unknown field.
    """
    keys = [_column(runs, name) for name in by]
    chosen = list(dict.fromkeys(_column(runs, name) for name in metrics)) or [
        name
        for name in runs.column_names
        if _METRIC.match(name) and pa.types.is_floating(runs.schema.field(name).type)
    ]
    spread = pc.VarianceOptions(ddof=1)
    folded = (
        runs.select(dict.fromkeys([*keys, *chosen, "id"]))
        .group_by(keys, use_threads=False)
        .aggregate(
            [("id", "count")]
            + [(name, "mean") for name in chosen]
            + [(name, "stddev", spread) for name in chosen]
        )
        .sort_by([(key, "ascending") for key in keys])
    )
    columns = {key: folded.column(key) for key in keys} | {COUNT: folded.column("id_count")}
    for name in chosen:
        columns[name + MEAN] = folded.column(f"{name}_mean")
        columns[name + STD] = folded.column(f"{name}_stddev")
    return pa.table(columns)


def fold(grouped: pa.Table) -> tuple[list[str], list[list[str]], list[int | None]]:
    """Titles, rows of text with `mean ± std`, and for each column the row of its best mean.

    Best is least for names that sound like a loss, greatest for those like an accuracy, and
    unknown (None) for others.
    """
    titles = _titles([n.removesuffix(MEAN) for n in grouped.column_names if not n.endswith(STD)])
    columns: list[list[str]] = []
    best: list[int | None] = []
    for name in grouped.column_names:
        if name.endswith(STD):
            continue
        values = grouped.column(name).to_pylist()
        if name.endswith(MEAN):
            metric = name.removesuffix(MEAN)
            spreads = grouped.column(metric + STD).to_pylist()
            columns.append([_spread(m, s) for m, s in zip(values, spreads, strict=True)])
            best.append(_best(metric, values))
        else:
            columns.append([_text(value) for value in values])
            best.append(None)
    return titles, [list(row) for row in zip(*columns, strict=True)], best


def _column(runs: pa.Table, name: str) -> str:
    names: list[str] = runs.column_names
    for candidate in (name, f"args.{name}", f"result.{name}", f"last.{name}"):
        if candidate in names:
            return candidate
    ends = [full for full in names if full.startswith("args.") and full.endswith(f".{name}")]
    if len(ends) == 1:
        return ends[0]
    known = ", ".join(full.removeprefix("args.") for full in names if full.startswith("args."))
    raise MisuseError(f"no run has a field {name!r} to group by; arguments: {known or 'none'}")


def _best(metric: str, means: list[float | None]) -> int | None:
    numbers = [(mean, i) for i, mean in enumerate(means) if mean is not None and mean == mean]  # noqa: PLR0124
    less, more = _LESS_IS_BETTER.search(metric), _MORE_IS_BETTER.search(metric)
    if not numbers or bool(less) == bool(more):
        return None
    pick = min if less else max
    return pick(numbers, key=lambda number: number[0])[1]


def _spread(mean: float | None, std: float | None) -> str:
    if mean is None:
        return ""
    if std is None or math.isnan(std):
        return f"{mean:.4g}"
    if std == 0:
        return f"{mean:.4g} ± 0"
    digits = max(0, 1 - math.floor(math.log10(std)))  # two digits of the spread
    return f"{mean:.{digits}f} ± {std:.{digits}f}" if digits < 9 else f"{mean:.4g} ± {std:.1e}"


def _titles(names: list[str]) -> list[str]:
    """Names without what they are of, unless two would be the same then (an argument, a series)."""
    short = [_short(name) for name in names]
    return [
        name if short.count(title) > 1 else title for name, title in zip(names, short, strict=True)
    ]


def _short(name: str) -> str:
    return re.sub(r"^(args|last|result)\.", "", name)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
