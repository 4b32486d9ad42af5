"""The examples of a result in an order, filtered, and beside another result: pure functions."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labbook_tui.models import CheckpointModel, ResultRows

__all__ = ["changes", "filtered", "loss_of", "orders", "ranked", "verdicts"]

Floats = NDArray[np.float64]


def loss_of(rows: ResultRows) -> tuple[str, Floats] | None:
    """The column by which an example is bad: `loss`, else one whose name says so."""
    numbers = [name for name, values in rows.columns.items() if values.dtype == np.float64]
    named = [name for name in numbers if re.search(r"loss|nll|err|perplexity", name.lower())]
    name = "loss" if "loss" in numbers else named[0] if named else ""
    return (name, rows.columns[name]) if name else None


def changes(model: CheckpointModel) -> Floats | None:
    """(n,) how much worse each example is than in the other: its loss minus the other's."""
    found = loss_of(model.rows)
    if model.other is None or found is None:
        return None
    before = model.other.columns.get(found[0])
    return None if before is None else found[1] - before


def verdicts(model: CheckpointModel) -> Floats | None:
    """(n,) 1 newly right, -1 newly wrong, 0 the same, NaN where one of the two is not known."""
    if model.other is None or model.rows.correct is None or model.other.correct is None:
        return None
    return model.rows.correct - model.other.correct


def orders(model: CheckpointModel) -> list[str]:
    """Names of the orders there are, the first is taken at the start."""
    if model.other is not None:
        return ["got worse", "got better", "id"]
    return ["worst first", "best first", "id"]


def ranked(model: CheckpointModel, order: str) -> NDArray[np.intp]:
    """Rows in an order; those of which it is not known come last."""
    rows = model.rows
    if order == "id":
        return np.argsort(rows.ids, kind="stable")
    key: Floats | None
    if model.other is not None:
        key = changes(model)
        if key is None:
            verdict = verdicts(model)
            key = None if verdict is None else -verdict
    else:
        found = loss_of(rows)
        key = found[1] if found else None if rows.correct is None else -rows.correct
    if key is None:
        return np.argsort(rows.ids, kind="stable")
    signed = key if order in {"got better", "best first"} else -key
    return np.argsort(np.where(np.isnan(key), np.inf, signed), kind="stable")


def filtered(model: CheckpointModel, order: NDArray[np.intp], text: str) -> NDArray[np.intp]:
    """Of `order` what matches all words: an id, `wrong`, `right`, `new`, `class:3`, or a text."""
    for word in text.lower().split():
        order = order[_matches(model, word)[order]]
    return order


def _matches(model: CheckpointModel, word: str) -> NDArray[np.bool_]:
    rows = model.rows
    none = np.zeros(len(rows.ids), bool)
    if word.isdigit():
        return np.asarray(rows.ids == int(word))
    if word in {"wrong", "right"}:
        return none if rows.correct is None else rows.correct == (word == "right")
    if word == "new":
        verdict = verdicts(model)
        return none if verdict is None else np.abs(np.nan_to_num(verdict)) == 1
    head, _, value = word.partition(":")
    if head in {"class", "target"} and value:
        return _equal(rows.target, value, none)
    texts = [values for values in rows.columns.values() if values.dtype == object]
    found = none
    for values in texts:
        found = found | np.array([word in str(each or "").lower() for each in values], bool)
    return found


def _equal(values: NDArray[Any] | None, text: str, none: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if values is None:
        return none
    if values.dtype == object:
        return np.array([str(value).lower() == text for value in values], bool)
    try:
        return np.asarray(values == float(text))
    except ValueError:
        return none
