"""What came out: last and best of each series, metrics, and paired differences.

Only the same examples are paired: those of a chosen set with one digest in both runs, and rows of
evaluations over data with one fingerprint. What cannot be paired is named, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.compare.paired import Interval, paired_interval
from labbook.errors import StoreError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from labbook.book.results import Result
    from labbook.book.runreader import RunReader
    from labbook.book.stats import Stat

__all__ = [
    "MetricPair",
    "Paired",
    "Results",
    "SeriesPair",
    "chosen_data",
    "compare_results",
    "examples_of",
]


@dataclass(frozen=True)
class SeriesPair:
    """One series in both runs; None where a run has none."""

    name: str
    a: Stat | None
    b: Stat | None


@dataclass(frozen=True)
class MetricPair:
    """One metric of the newest result of an evaluation, over the full set where there is one."""

    evaluation: str
    metric: str
    a: float | None
    b: float | None
    step_a: int | None
    step_b: int | None
    subset_a: str | None
    subset_b: str | None


@dataclass(frozen=True)
class Paired:
    """One column over the examples that both runs have.

    `kind` is "chosen" (observed at `step_a` = `step_b`) or "evaluation"; `caveat` says what speaks
    against the comparison, None where nothing does.
    """

    kind: str
    name: str
    column: str
    step_a: int | None
    step_b: int | None
    interval: Interval
    caveat: str | None = None


@dataclass(frozen=True)
class Results:
    """Everything that came out of two runs, side by side; `notes` say what is missing and why."""

    series: tuple[SeriesPair, ...]
    metrics: tuple[MetricPair, ...]
    paired: tuple[Paired, ...]
    notes: tuple[str, ...]


def compare_results(a: RunReader, b: RunReader) -> Results:
    """Compare what two runs logged; what cannot be read is a note."""
    notes: list[str] = []
    series: list[SeriesPair] = []
    try:
        left, right = a.stats(), b.stats()
        names = sorted({*left, *right})
        series = [SeriesPair(name, left.get(name), right.get(name)) for name in names]
    except StoreError as error:
        notes.append(f"series cannot be read: {error}")
    paired = list(_chosen(a, b, notes))
    metrics: list[MetricPair] = []
    for name, result_a, result_b in _evaluations(a, b):
        metrics += _metrics(name, result_a, result_b)
        if result_a is not None and result_b is not None:
            paired += _rows(name, result_a, result_b, notes)
    notes += [f"{name}: {line}" for name, run in (("A", a), ("B", b)) for line in run.damage]
    return Results(tuple(series), tuple(metrics), tuple(paired), tuple(notes))


def examples_of(
    a: RunReader, b: RunReader, pair: Paired
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (examples, values in A, values in B) behind a pair, each (examples,), null as NaN.

    Raises `StoreError` when they cannot be read, or are no longer there.
    """
    if pair.kind == "chosen":
        left, right = (
            _at(run.chosen(pair.name), step)
            for run, step in ((a, pair.step_a), (b, pair.step_b))
            if step is not None
        )
    else:
        newest = [_newest(run.results(strict=False), pair.name) for run in (a, b)]
        if None in newest:
            raise StoreError(f"{pair.name} has no result in both runs any more")
        left, right = (result.rows() for result in newest if result is not None)
    ids, rows_a, rows_b = _matched(left, right)
    one, other = _numbers(left.column(pair.column)), _numbers(right.column(pair.column))
    return ids, one[rows_a], other[rows_b]


# ---------------------------------------------------------------------- chosen sets


def chosen_data(a: RunReader, b: RunReader) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the chosen sets of both runs say about the data, as fingerprints by name.

    A set chosen in the same way (seed, size, order) from data of another length or content tells
    that the data differ; sets chosen differently say nothing.
    """
    left, right = _chosen_headers(a), _chosen_headers(b)
    found: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for name in sorted(left.keys() & right.keys()):
        one, other = left[name], right[name]
        if any(one.get(key) != other.get(key) for key in ("seed", "by", "n")):
            continue
        for key in ("length", "digest"):
            if one.get(key) is not None and other.get(key) is not None:
                label = f"chosen set {name}" + (" (length of the data)" if key == "length" else "")
                found[0][label], found[1][label] = one[key], other[key]
    return found


def _chosen_headers(run: RunReader) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    try:
        for name in run.chosen_sets():
            found[name] = _header(run, name)
    except StoreError:
        pass  # a note of `compare_results`
    return found


def _header(run: RunReader, name: str) -> dict[str, Any]:
    table = run.examples(name)
    try:
        header = json.loads((table.schema.metadata or {}).get(b"labbook") or b"{}")
    except (ValueError, RecursionError):
        header = {}
    return {**header, "n": table.num_rows} if isinstance(header, dict) else {"n": table.num_rows}


def _chosen(a: RunReader, b: RunReader, notes: list[str]) -> Iterator[Paired]:
    try:
        sets = {*a.chosen_sets()}, {*b.chosen_sets()}
        notes += [f"chosen set {name} is only in A" for name in sorted(sets[0] - sets[1])]
        notes += [f"chosen set {name} is only in B" for name in sorted(sets[1] - sets[0])]
        for name in sorted(sets[0] & sets[1]):
            why = _not_the_same(a, b, name)
            if why:
                notes.append(f"chosen set {name} is not paired: {why}")
                continue
            left, right = a.chosen(name), b.chosen(name)
            step = _last_common(left, right)
            if step is None:
                notes.append(f"chosen set {name} is not paired: no step was observed in both runs")
                continue
            one, other = _at(left, step), _at(right, step)
            for column, interval in _intervals(one, other):
                yield Paired("chosen", name, column, step, step, interval)
    except StoreError as error:
        notes.append(f"a chosen set cannot be read: {error}")


def _not_the_same(a: RunReader, b: RunReader, name: str) -> str | None:
    """Why two sets of a name cannot be compared; None when they hold the same examples."""
    left, right = _header(a, name), _header(b, name)
    if left.get("digest") is None or right.get("digest") is None:
        return "whether the examples are the same is not known"
    if left["digest"] == right["digest"]:
        return None
    how = [
        f"{key} {left.get(key)} and {right.get(key)}"
        for key in ("by", "seed", "n", "length")
        if left.get(key) != right.get(key)
    ]
    if how:
        return f"the examples differ: {', '.join(how)}"
    n = _n_differing(a.examples(name), b.examples(name))
    return "the examples differ" if n is None else f"{n} of its {left['n']} examples differ"


def _n_differing(a: pa.Table, b: pa.Table) -> int | None:
    """How many examples differ in content; None when that was not recorded of each."""
    import numpy as np

    if "digest" not in a.column_names or "digest" not in b.column_names:
        return None
    return int(np.sum(a.column("digest").to_numpy() != b.column("digest").to_numpy()))


def _last_common(a: pa.Table, b: pa.Table) -> int | None:
    import pyarrow.compute as pc

    steps = [set(pc.unique(table.column("step")).to_pylist()) - {None} for table in (a, b)]
    return max(steps[0] & steps[1], default=None)


def _at(table: pa.Table, step: int) -> pa.Table:
    """The observation at a step; of several the last."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = table.filter(pc.equal(table.column("step"), step)).sort_by(
        [("example", "ascending"), ("time", "ascending")]
    )
    last = rows.append_column("row", pa.array(range(rows.num_rows), pa.int64())).group_by("example")
    keep = last.aggregate([("row", "max")]).column("row_max")
    return rows.take(keep)


# ---------------------------------------------------------------------- evaluations


def _evaluations(a: RunReader, b: RunReader) -> Iterator[tuple[str, Result | None, Result | None]]:
    left, right = a.results(strict=False), b.results(strict=False)
    for name in sorted({result.evaluation for result in [*left, *right]}):
        yield name, _newest(left, name), _newest(right, name)


def _newest(results: list[Result], evaluation: str) -> Result | None:
    """The result of the greatest step, over the full set where there is one."""
    found = [result for result in results if result.evaluation == evaluation]
    full = [result for result in found if result.subset == "full"]
    with_step = [result for result in full or found if result.step is not None]
    return next(reversed(with_step or full or found), None)


def _metrics(name: str, a: Result | None, b: Result | None) -> Iterator[MetricPair]:
    left, right = (a.metrics if a else {}), (b.metrics if b else {})
    steps = a.step if a else None, b.step if b else None
    subsets = a.subset if a else None, b.subset if b else None
    for metric in {**left, **right}:
        yield MetricPair(name, metric, left.get(metric), right.get(metric), *steps, *subsets)


def _rows(name: str, a: Result, b: Result, notes: list[str]) -> Iterator[Paired]:
    digests = a.meta.get("data_digest"), b.meta.get("data_digest")
    if None not in digests and digests[0] != digests[1]:
        notes.append(f"{name} is not paired: it was computed over other data")
        return
    caveats = []
    if None in digests:
        caveats.append("whether the data are the same is not known")
    if _evaluation_code(a) != _evaluation_code(b):
        caveats.append("the evaluation's code differs")
    try:
        for column, interval in _intervals(a.rows(), b.rows()):
            caveat = "; ".join(caveats) or None
            yield Paired("evaluation", name, column, a.step, b.step, interval, caveat)
    except (StoreError, ValueError) as error:
        notes.append(f"{name} is not paired: {error}")


def _evaluation_code(result: Result) -> Any:
    code = result.meta.get("code")
    return code.get("digest") if isinstance(code, dict) else None


# ---------------------------------------------------------------------- pairs


def _intervals(a: pa.Table, b: pa.Table) -> Iterator[tuple[str, Interval]]:
    """Pair two tables by `example` and yield an interval a numeric column they share.

    Raises `ValueError` when an example stands in one of them twice.
    """
    _, left, right = _matched(a, b)
    for name in a.column_names:
        # the numbers of classes have no mean
        if name in {"example", "step", "time", "prediction"} or name not in b.column_names:
            continue
        one, other = _numbers(a.column(name)), _numbers(b.column(name))
        if one is not None and other is not None:
            yield name, paired_interval(one[left], other[right])


def _matched(a: pa.Table, b: pa.Table) -> Any:
    """(examples in both, their rows in `a`, their rows in `b`)."""
    import numpy as np

    ids_a, ids_b = a.column("example").to_numpy(), b.column("example").to_numpy()
    if any(len(np.unique(ids)) != len(ids) for ids in (ids_a, ids_b)):
        raise ValueError("an example appears twice")
    return np.intersect1d(ids_a, ids_b, assume_unique=True, return_indices=True)


def _numbers(column: pa.ChunkedArray) -> Any:
    """(rows,) float64, null as NaN; None for what is not one number an example."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    return column.cast(pa.float64(), safe=False).to_numpy()
