"""The filter of the examples: `wrong`, `forgot>=1`, `class:3`, `loss>2`, `17`, or words of a text.

Spaces mean and, `,` and `|` between values mean or, a leading `-` means not; a half-typed term is
left out. Every term is met by whole columns at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from labbook_tui.models import ChosenModel

__all__ = ["kept"]

Bools = NDArray[np.bool_]

_NUMBERS = {
    "loss": "last_loss",
    "mean": "mean_loss",
    "forgot": "forgettings",
    "learned": "first_correct",
    "changes": "n_changes",
    "conf": "confidence",
    "confidence": "confidence",
    "variability": "variability",
    "correctness": "correctness",
    "error": "mean_error",
    "pred": "last_prediction",
    "index": "index",
    "id": "example",
}
_COMPARE = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
_TEXTS = {"class": "target", "label": "target", "target": "target"}
_STATES = {
    "wrong": ("is_right_last", False),
    "right": ("is_right_last", True),
    "forgotten": ("status", "forgotten"),
    "never": ("status", "never learned"),
    "unforgettable": ("status", "unforgettable"),
    "easy": ("region", "easy"),
    "ambiguous": ("region", "ambiguous"),
    "hard": ("region", "hard"),
}

_WORD = re.compile(r"(?P<key>[\w./\-]+?)(?P<op><=|>=|!=|[:=<>~])(?P<value>.*)")


@dataclass(frozen=True)
class _Term:
    """One condition; `key` is empty for a bare word."""

    key: str
    op: str
    values: tuple[str, ...]
    negated: bool = False


def _parse(text: str) -> list[_Term]:
    """The conditions of a filter; a half-typed one (`lr<`) is left out."""
    terms = []
    for word in text.split():
        negated = word.startswith("-") and len(word) > 1
        body = word[1:] if negated else word
        found = _WORD.fullmatch(body)
        key, op, value = (found["key"], found["op"], found["value"]) if found else ("", ":", body)
        values = tuple(part for part in re.split(r"[,|]", value) if part)
        if values:
            terms.append(_Term(key.lower(), op, values, negated))
    return terms


def kept(model: ChosenModel, text: str) -> Bools:
    """Which examples meet all terms, (examples,)."""
    found = np.ones(len(model.ids), np.bool_)
    for term in _parse(text):
        found &= _meets(model, term) != term.negated
    return found


def _meets(model: ChosenModel, term: _Term) -> Bools:
    found = np.zeros(len(model.ids), np.bool_)
    for value in term.values:
        found |= _one(model, term.key, term.op, value)
    return ~found if term.op == "!=" else found


def _one(model: ChosenModel, key: str, op: str, value: str) -> Bools:
    assert model.table is not None
    if not key:
        return _word(model, value)
    if key in _NUMBERS:
        try:
            wanted = float(value)
        except ValueError:
            return np.zeros(len(model.ids), np.bool_)
        return np.asarray(_COMPARE.get(op, np.equal)(model.numbers(_NUMBERS[key]), wanted))
    if key in _TEXTS:
        return _is(_texts(model.table.column(_TEXTS[key])), value)
    return np.zeros(len(model.ids), np.bool_)


def _word(model: ChosenModel, word: str) -> Bools:
    """A state, the id of an example, or a part of its target or text."""
    assert model.table is not None
    if word in _STATES:
        column, wanted = _STATES[word]
        values = model.table.column(column)
        return _flags(pc.equal(values, pa.scalar(wanted, values.type)))
    if word.isdigit():
        return np.asarray(model.ids == int(word))
    found = _holds(_texts(model.table.column("target")), word)
    inputs = None if model.recorded is None else model.recorded.input_texts
    return found if inputs is None else found | _holds(inputs, word)


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers and texts as texts; lists have none."""
    if pa.types.is_nested(column.type):
        return pa.chunked_array([pa.nulls(len(column), pa.string())])
    return column.cast(pa.string())


def _is(texts: pa.ChunkedArray, value: str) -> Bools:
    return _flags(pc.equal(pc.utf8_lower(texts), value.lower()))


def _holds(texts: pa.ChunkedArray, word: str) -> Bools:
    return _flags(pc.match_substring(texts, word, ignore_case=True))


def _flags(found: pa.ChunkedArray) -> Bools:
    return np.asarray(found.fill_null(False).to_numpy(), np.bool_)
