"""The examples of a chosen set, each made when it is looked at: pictures are decoded one by one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from labbook.book.pictures import picture_of
from labbook.book.text import clean
from labbook_tui.models import Example
from labbook_tui.read.arrays import facts_of, floats, matrix

__all__ = ["Examples"]

Floats = NDArray[np.float64]


class Examples(Sequence[Example]):
    """One `Example` for each id; what has no row among the inputs has its id only."""

    def __init__(self, ids: NDArray[np.int64], rows: NDArray[np.intp], table: pa.Table) -> None:
        """`ids` and `rows` (examples,): which row of the inputs is of each, -1 for none."""
        self._ids, self._row, self._inputs = ids, rows, table
        self._columns = set(table.column_names)
        self._facts = facts_of(table)
        self._vectors: NDArray[np.float32] | None = None
        self._shape: tuple[int, int, int] | None = None
        if "input" in self._columns and not pa.types.is_binary(table.column("input").type):
            self._vectors = matrix(table.column("input"))
        if self._vectors is not None and self._facts.get("kind") in {None, "image"}:
            self._shape = _shape(self._facts, self._vectors.shape[1])
        if self._shape is not None and self._vectors is not None:
            self._low = float(np.nanmin(self._vectors))
            self._span = float(np.nanmax(self._vectors)) - self._low or 1.0
        self._made = lru_cache(maxsize=256)(self._make)

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, at: int) -> Example: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Example]: ...
    def __getitem__(self, at: int | slice) -> Example | Sequence[Example]:
        """The example in a row of the set."""
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        return self._made(at % len(self))

    def _make(self, at: int) -> Example:
        row, example = int(self._row[at]), int(self._ids[at])
        if row < 0:
            return Example(example)
        target, label = self._target(row)
        image = self._image(row)
        vector = None
        if image is None and self._vectors is not None:
            lengths = self._facts.get("lengths")
            whole = self._vectors[row].astype(np.float64)
            length = lengths[row] if isinstance(lengths, list) and row < len(lengths) else None
            vector = whole[:length] if isinstance(length, int) else whole
        return Example(example, image, self._text(row), vector, target, label)

    def _image(self, row: int) -> Floats | None:
        """From 0 to 1, (rows, columns[, 3]); None when it is no picture, or a damaged one."""
        if "input" not in self._columns:
            return None
        if self._vectors is None:
            file = self._inputs.column("input")[row].as_py()
            found = picture_of(file if isinstance(file, bytes) else None)
            return None if found is None else _plain(found / 255.0)
        if self._shape is None:
            return None
        image = self._vectors[row].reshape(self._shape).astype(np.float64)
        return _plain((image - self._low) / self._span)

    def _text(self, row: int) -> str:
        for name in ("text", "texts", "input"):
            if name in self._columns and pa.types.is_string(self._inputs.column(name).type):
                return clean(self._inputs.column(name)[row].as_py() or "", lines=True)
        if "seconds" in self._columns:  # audio: below its waveform
            return f"{floats(self._inputs.column('seconds').slice(row, 1))[0]:.3g} s"
        return ""

    def _target(self, row: int) -> tuple[str, int | None]:
        if "target" not in self._columns:
            return "", None
        value = self._inputs.column("target")[row].as_py()
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value), value
        if isinstance(value, float):
            return f"{value:.4g}", None
        if isinstance(value, list):
            few = " ".join(f"{v:.3g}" for v in value[:8] if isinstance(v, int | float))
            return few + (" …" * (len(value) > 8)), None
        return "" if value is None else clean(value), None


def _plain(image: Floats) -> Floats:
    """Without an axis for one channel, and without transparency."""
    return image[..., :3] if image.shape[2] >= 3 else image[..., 0]


def _shape(facts: dict[str, Any], count: int) -> tuple[int, int, int] | None:
    """Rows, columns and channels of an input with `count` values.

    Numbers without a `kind` in the schema's metadata are guessed: squares of one or three channels.
    """
    told = facts.get("shapes", {}).get("input") if isinstance(facts.get("shapes"), dict) else None
    if isinstance(told, list) and np.prod(told) == count and len(told) in {2, 3}:
        return (told[0], told[1], told[2] if len(told) == 3 else 1)
    for channels in (1, 3):
        side = round((count / channels) ** 0.5)
        if side >= 4 and side * side * channels == count:
            return side, side, channels
    return None
