"""A chosen set over the run: what `labbook.dynamics` measures of it, ready to be drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from labbook.dynamics import Observed, examples, notes, read, steps
from labbook.dynamics.columns import Numbers, sequences
from labbook.dynamics.grid import Grid
from labbook.dynamics.learning import changes, learning
from labbook_tui.models import ChosenModel, Counts, Want
from labbook_tui.read.chosen_inputs import Examples
from labbook_tui.recorded import Recorded

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["build"]

Floats = NDArray[np.float64]

BINS = 16
"""Bins of real-valued outputs."""

_KEPT: WeakKeyDictionary[RunReader, tuple[Any, Observed, ChosenModel]] = WeakKeyDictionary()
"""The last set of each reader: another page of it needs no new reading. Reader thread only."""


def build(reader: RunReader, want: Want) -> ChosenModel:
    """`want.detail` is (set, page); without a set that exists the first one."""
    sets = tuple(reader.chosen_sets())
    name, page = (*want.detail, "", "")[:2]
    name = name if name in sets else (sets[0] if sets else "")
    summary = reader.summary()
    if not name:
        return ChosenModel(summary, sets, "", np.zeros(0, np.int64), np.zeros(0), ())
    seen, model = _measured(reader, sets, name)
    return replace(
        model,
        summary=summary,
        sets=sets,
        per_step=_per_step(seen, model) if page == "summary" else None,
        counts=_counts(seen) if page == "histogram" else None,
        read_for=page,
    )


def _measured(reader: RunReader, sets: tuple[str, ...], name: str) -> tuple[Observed, ChosenModel]:
    tables = reader.chosen(name), reader.examples(name)
    kept = _KEPT.get(reader)
    if kept is not None and all(a is b for a, b in zip(kept[0], tables, strict=True)):
        return kept[1], kept[2]
    seen = read(reader, name)
    events = None if seen.correct is None else learning(seen.correct)
    model = ChosenModel(
        reader.summary(),
        sets,
        name,
        seen.example,
        seen.step.astype(np.float64),
        Examples(seen.example, seen.input_row, seen.inputs),
        _grids(seen),
        examples(seen),
        Recorded(seen),
        _changed(seen),
        None if events is None else events.is_learned,
        None if events is None else events.is_forgotten,
        tuple(notes(seen)),
    )
    _KEPT[reader] = (tables, seen, model)
    return seen, model


def _per_step(seen: Observed, model: ChosenModel) -> pa.Table:
    """`labbook.dynamics.steps`, and the shares of examples ever right and ever forgotten."""
    table = steps(seen)
    for name, events in (("share_learned", model.learned), ("share_forgotten", model.forgotten)):
        share = np.full(len(seen.step), np.nan)
        if events is not None and seen.correct is not None and seen.correct.has_any.any():
            ever = np.logical_or.accumulate(events[seen.correct.has_any], axis=1)
            share = ever.mean(axis=0)
        table = table.append_column(name, pa.array(share, from_pandas=True))
    return table


def _grids(seen: Observed) -> dict[str, Floats]:
    """What can be shown as a map, in the order in which `t` goes through them."""
    apart = seen.residuals
    found = {
        "loss": seen.loss,
        "confidence": seen.confidence,
        "error": None if apart is None else seen.grid(apart.error),
        "correct": seen.correct,
    }
    return {
        name: np.where(grid.known, grid.values.astype(np.float64), np.nan)
        for name, grid in found.items()
        if grid is not None
    }


def _changed(seen: Observed) -> NDArray[np.bool_] | None:
    """Where an output is another than before: the prediction, else texts and tokens, or values."""
    if seen.prediction is not None:
        return changes(seen.prediction)[0]
    grids = [_codes(seen, name) for name in seen.rows.column_names]
    found = [changes(grid)[0] for grid in grids if grid is not None]
    if found:
        return np.asarray(np.logical_or.reduce(found))
    if seen.spread is None:
        return None
    moved = seen.grid(seen.spread.change)
    return np.asarray(moved.known & (moved.values > 0))


def _codes(seen: Observed, name: str) -> Grid | None:
    """A column of texts or of lists of whole numbers as numbers, equal ones alike."""
    if pa.types.is_string(seen.rows.schema.field(name).type):
        column = seen.rows.column(name).combine_chunks()
        known = column.is_valid().to_numpy(zero_copy_only=False)
        codes = column.dictionary_encode().indices.fill_null(0).to_numpy()
        return seen.grid(Numbers(codes.astype(np.int64), known))
    found = sequences(seen.rows, name)
    return None if found is None else seen.grid(found)


def _counts(seen: Observed) -> Counts | None:
    """Predictions by class and observation, or outputs by value; None where there are neither."""
    if seen.prediction is not None and seen.has_classes:
        return _class_counts(seen.prediction, seen.label)
    return _value_counts(seen)


def _class_counts(prediction: Grid, label: NDArray[np.int64] | None) -> Counts:
    wanted = np.zeros(0, np.int64) if label is None else label[label >= 0]
    classes = np.unique(np.concatenate([prediction.values[prediction.known], wanted]))
    n_steps = prediction.known.shape[1]
    cells = np.searchsorted(classes, prediction.values).clip(0, max(0, len(classes) - 1)) * n_steps
    cells = (cells + np.arange(n_steps))[prediction.known]
    counts = np.bincount(cells, minlength=len(classes) * n_steps).reshape(-1, n_steps)
    target = None
    if label is not None:
        target = np.bincount(np.searchsorted(classes, wanted), minlength=len(classes))
    return Counts(tuple(str(c) for c in classes.tolist()), counts, target)


def _value_counts(seen: Observed) -> Counts | None:
    """Single outputs in equal bins over all that was put out and wanted."""
    columns = [seen.output_at(at) for at in range(len(seen.step))]
    values = [_flat(column) for column in columns if column is not None]
    target = None if seen.target is None else seen.target[np.isfinite(seen.target)]
    known = [part for part in (*values, *(() if target is None else (target,))) if len(part)]
    if not values or not known or seen.scores is not None:
        return None
    low, high = min(float(v.min()) for v in known), max(float(v.max()) for v in known)
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    counts = np.stack([np.histogram(part, edges)[0] for part in values], axis=1)
    wanted = None if target is None else np.histogram(target, edges)[0]
    return Counts((), counts, wanted, edges)


def _flat(column: Any) -> Floats:
    flat = column.flatten() if pa.types.is_nested(column.type) else column
    if not (pa.types.is_floating(flat.type) or pa.types.is_integer(flat.type)):
        return np.zeros(0)
    values = flat.drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
    return np.asarray(values[np.isfinite(values)])
