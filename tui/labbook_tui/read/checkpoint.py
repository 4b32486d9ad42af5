"""One checkpoint's result by example, and another one over the same examples beside it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labbook.book.text import clean
from labbook.compare.gaps import Gap, gap_between
from labbook.errors import StoreError
from labbook_tui.models import CheckpointModel, Example, ResultRows, Want
from labbook_tui.read.arrays import floats
from labbook_tui.read.chosen_inputs import Examples

if TYPE_CHECKING:
    from labbook.book.results import Result
    from labbook.book.runreader import RunReader

__all__ = ["build"]

_TARGETS = ("target", "label", "labels", "targets")
_PREDICTIONS = ("prediction", "predicted", "pred")
_CORRECT = ("correct", "accuracy", "is_right", "exact_match")
_OUTPUTS = ("logits", "output", "outputs")


def build(reader: RunReader, want: Want) -> CheckpointModel:
    """`want.detail`: evaluation, key and, to compare with, another key."""
    evaluation, key, other_key = (*want.detail, "", "", "")[:3]
    found = {r.key: r for r in reader.results(strict=False) if clean(r.evaluation) == evaluation}
    result = found.get(key)
    if result is None:
        raise StoreError("this result is not there any more")
    rows = _rows(result)
    examples = _inputs(reader, result)
    rows = _with_targets(rows, examples)
    other = found.get(other_key)
    if other is None:
        note = "the other result is not there any more" if other_key else ""
        return CheckpointModel(reader.summary(), rows, None, {}, examples, note)
    if other.meta.get("data_digest") != result.meta.get("data_digest"):
        note = "not compared: the two were computed over different data"
        return CheckpointModel(reader.summary(), rows, None, {}, examples, note)
    gaps: dict[str, Gap] = {}
    for metric in result.metrics:
        gap = gap_between(result, other, metric)[0] if metric in other.metrics else None
        if gap is not None:
            gaps[clean(metric)] = gap
    return CheckpointModel(reader.summary(), rows, _aligned(_rows(other), rows), gaps, examples)


def _rows(result: Result) -> ResultRows:
    """Columns of one number or one text an example; of scores only the highest class is kept."""
    import pyarrow as pa

    table = result.rows()
    ids = floats(table.column("example")).astype(np.int64)
    columns: dict[str, NDArray[Any]] = {}
    prediction = None
    for name in table.column_names:
        column, kind = table.column(name), table.schema.field(name).type
        if name == "example":
            continue
        if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
            columns[clean(name)] = floats(column)
        elif pa.types.is_string(kind):
            texts = [None if text is None else clean(text) for text in column.to_pylist()]
            columns[clean(name)] = np.array(texts, object)
        elif name in _OUTPUTS and pa.types.is_fixed_size_list(kind) and not column.null_count:
            scores = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
            prediction = scores.reshape(len(ids), -1).argmax(1).astype(np.float64)
    target = _first(columns, _TARGETS)
    told = _first(columns, _PREDICTIONS)
    prediction = told if told is not None else prediction
    correct = _correctness(columns, target, prediction)
    name = clean(os.path.basename(str(result.checkpoint.get("file") or result.key)))
    return ResultRows(result.step, name, ids, columns, correct, target, prediction)


def _first(columns: dict[str, NDArray[Any]], names: tuple[str, ...]) -> NDArray[Any] | None:
    return next((columns[name] for name in names if name in columns), None)


def _correctness(
    columns: dict[str, NDArray[Any]],
    target: NDArray[Any] | None,
    prediction: NDArray[Any] | None,
) -> NDArray[np.float64] | None:
    """A column of zeros and ones that says it; else whether prediction and target are equal."""
    for name in _CORRECT:
        values = columns.get(name)
        if values is not None and values.dtype == np.float64:
            known = values[np.isfinite(values)]
            if np.isin(known, (0.0, 1.0)).all():
                return values
    if target is None or prediction is None or target.dtype != prediction.dtype:
        return None
    return np.asarray(target == prediction, np.float64)


def _aligned(other: ResultRows, to: ResultRows) -> ResultRows:
    """The other's rows in the order of `to`; what it does not have is not known."""
    order = np.argsort(other.ids, kind="stable")
    if not len(order):
        order = np.zeros(1, np.intp)
    place = order[np.searchsorted(other.ids, to.ids, sorter=order).clip(max=len(order) - 1)]
    has = other.ids[place] == to.ids if len(other.ids) else np.zeros(len(to.ids), bool)

    def moved(values: NDArray[Any] | None) -> Any:
        if values is None or not len(values):
            return None
        return np.where(has, values[place], None if values.dtype == object else np.nan)

    columns = {name: moved(values) for name, values in other.columns.items()}
    parts = (moved(other.correct), moved(other.target), moved(other.prediction))
    kept = {name: values for name, values in columns.items() if values is not None}
    return ResultRows(other.step, other.file, to.ids, kept, *parts)


def _inputs(reader: RunReader, result: Result) -> dict[int, Example]:
    """Inputs from a chosen set that was found to be of the same data, by their place in it."""

    about = result.meta.get("chosen")
    found: dict[int, Example] = {}
    for name, said in about.items() if isinstance(about, dict) else ():
        if not isinstance(said, dict) or said.get("same") is not True:
            continue
        try:
            table = reader.examples(name)
        except StoreError:
            continue
        columns = table.column_names
        if "index" not in columns or not table.num_rows:
            continue
        ids = floats(table.column("index")).astype(np.int64)
        for example in Examples(ids, np.arange(len(ids)), table):
            found[example.id] = example
    return found


def _with_targets(rows: ResultRows, examples: dict[int, Example]) -> ResultRows:
    """Targets that a chosen set knows, where the result has none."""
    labels = {i: e.label for i, e in examples.items() if e.label is not None}
    if rows.target is not None or not labels:
        return rows
    target = np.array([labels.get(int(i), np.nan) for i in rows.ids], np.float64)
    parts = (rows.step, rows.file, rows.ids, rows.columns, rows.correct, target, rows.prediction)
    return ResultRows(*parts)
