"""What a chosen set recorded at each observation, looked up cell by cell: nothing is copied.

A set of ten thousand examples at two hundred steps has millions of outputs; only those in sight are
ever taken out of the Arrow table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from labbook.book.text import clean
from labbook.dynamics.columns import Numbers

if TYPE_CHECKING:
    from labbook.dynamics import Observed

__all__ = ["Recorded", "probabilities"]

Floats = NDArray[np.float64]

KNOWN: Final = {"step", "time", "example", "loss", "correct", "prediction", "output", "logsumexp"}
"""Columns with a place of their own; all others are listed as they were recorded."""


def probabilities(values: Floats, kind: str) -> Floats:
    """Class scores (…, classes) as probabilities; `kind` as in `labbook.dynamics.Observed`."""
    if kind == "probabilities":
        return values
    known = np.where(np.isfinite(values), values, -np.inf)
    with np.errstate(invalid="ignore"):
        if kind == "log-probabilities":
            return np.exp(known)
        exp = np.exp(known - known.max(axis=-1, keepdims=True))
        return np.asarray(exp / exp.sum(axis=-1, keepdims=True))


class Recorded:
    """The cells of one set: (example's row, observation) to what was recorded there."""

    def __init__(self, seen: Observed) -> None:
        self._rows = seen.rows
        self._seen = seen
        self._places: dict[str, NDArray[np.int64]] = {}
        scores = seen.scores
        self.kind: str | None = scores.kind if scores is not None else None
        """How outputs are read as class scores; None when they are none."""
        self.width = _width(seen.rows)
        """Values of an output; 0 without one."""
        names = [name for name in seen.rows.column_names if name not in KNOWN]
        self.looks = tuple(name for name in names if _is_shown(seen.rows.schema.field(name).type))
        """Further columns that can be listed: texts, tokens, numbers."""
        self.are_bytes = frozenset(name for name in self.looks if self._holds_bytes(name))
        """Columns of whole numbers that all are bytes."""
        for name in ("output", "prediction", *self.looks):
            self._place(name)  # here, in the reader's thread, rather than at the first look

    @property
    def input_texts(self) -> pa.ChunkedArray | None:
        """The inputs as texts, an entry an example, null for none; None when they are no texts."""
        inputs, row = self._seen.inputs, self._seen.input_row
        if "text" not in inputs.column_names:
            return None
        column = inputs.column("text")
        return column.take(pa.array(row, mask=row < 0)) if pa.types.is_string(column.type) else None

    def _holds_bytes(self, name: str) -> bool:
        import pyarrow.compute as pc

        column = self._rows.column(name)
        if not pa.types.is_nested(column.type) or not pa.types.is_integer(column.type.value_type):
            return False
        limits = pc.min_max(pc.list_flatten(column)).as_py()
        return limits["min"] is not None and limits["min"] >= 0 and limits["max"] < 256

    def _place(self, name: str) -> NDArray[np.int64] | None:
        """The row of the table that holds each cell's value, (examples, observations); else -1."""
        if name not in self._rows.column_names:
            return None
        if name not in self._places:
            count = self._rows.num_rows
            known = self._rows.column(name).is_valid().to_numpy()
            grid = self._seen.grid(Numbers(np.arange(count), known))
            self._places[name] = np.where(grid.known, grid.values, -1)
        return self._places[name]

    def value(self, name: str, row: int, observation: int) -> object:
        """The value in a cell as Python has it; None when nothing was recorded."""
        places = self._place(name)
        if places is None or places[row, observation] < 0:
            return None
        return self._rows.column(name)[int(places[row, observation])].as_py()

    def text(self, name: str, row: int, observation: int) -> str:
        """The value in a cell on one line, safe for a terminal; "" when there is none."""
        value = self.value(name, row, observation)
        if value is None:
            return ""
        if not isinstance(value, list):
            return clean(f"{value:.4g}" if isinstance(value, float) else value)
        if name in self.are_bytes and value:
            return clean(_breaks(bytes(value).decode("utf-8", "replace")))
        return " ".join(clean(f"{v:.3f}" if isinstance(v, float) else v) for v in value)

    def tokens(self, name: str, row: int, observation: int) -> list[str]:
        """The values of a list one by one, as `text` has them."""
        value = self.value(name, row, observation)
        if not isinstance(value, list):
            return [] if value is None else [clean(value)]
        if name in self.are_bytes:
            return [clean(_breaks(bytes([v]).decode("latin-1"))) for v in value]
        return [clean(f"{v:.3f}" if isinstance(v, float) else v) for v in value]

    def output(self, row: int, observation: int) -> Floats | None:
        """The recorded output as (values,); None when nothing was recorded."""
        found = self.value("output", row, observation)
        if found is None:
            return None
        listed = found if isinstance(found, list) else [found]
        return np.array([np.nan if v is None else v for v in listed], np.float64)

    def outputs(self, row: int) -> Floats | None:
        """All outputs of an example, (observations, values), NaN where unknown."""
        places = self._place("output")
        if places is None or not self.width:
            return None
        at = places[row]
        known = at >= 0
        values = np.full((len(at), self.width), np.nan)
        taken = self._rows.column("output").take(pa.array(at[known])).combine_chunks()
        flat = taken.flatten() if pa.types.is_nested(taken.type) else taken
        values[known] = flat.to_numpy(zero_copy_only=False).reshape(-1, self.width)
        return values

    def scores(self, row: int, observation: int) -> tuple[list[tuple[int, float]], str]:
        """(class, probability) of what was recorded, and how it was got; ([], "") for none."""
        output = self.output(row, observation)
        if output is not None and self.kind is not None:
            found = probabilities(output, self.kind)
            told = {"logits": "softmax of output", "log-probabilities": "exp of output"}
            return [(at, float(p)) for at, p in enumerate(found)], told.get(self.kind, "output")
        kept = self.value("top_indices", row, observation)
        values = self.value("top_values", row, observation)
        norm = self.value("logsumexp", row, observation)
        if isinstance(kept, list) and isinstance(values, list) and isinstance(norm, float):
            pairs = zip(kept, values, strict=False)
            return [
                (int(k), float(np.exp(v - norm))) for k, v in pairs
            ], f"softmax, top {len(kept)}"
        return [], ""


def _breaks(text: str) -> str:
    """Line ends as a mark: a text on one line shows where the lines were."""
    return text.replace("\n", "⏎")


def _width(rows: pa.Table) -> int:
    from labbook.dynamics.columns import vectors

    found = vectors(rows, "output")
    return 0 if found is None else found.width


def _is_shown(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_nested(kind) and hasattr(kind, "value_type") else kind
    return bool(
        pa.types.is_string(inner)
        or pa.types.is_integer(inner)
        or pa.types.is_floating(inner)
        or pa.types.is_boolean(inner)
    )
