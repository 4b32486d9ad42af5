"""Journal rows as columns: numpy over the raw bytes, no Python object a row.

Values keep their 64 bits here: NULL and PENDING are NaN patterns that only `is_null` tells from a
NaN that was logged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from labbook.journal import format as f

if TYPE_CHECKING:
    from array import array

    import numpy.typing as npt

    from labbook.journal.reader import Batch

__all__ = ["Block", "Rows", "decode", "is_null"]

NULL: Final = np.uint64(f.NULL_BITS)
PENDING: Final = np.uint64(f.PENDING_BITS)


def is_null(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Where a value is null or has not arrived."""
    bits = values.view(np.uint64)
    nulls: npt.NDArray[np.bool_] = (bits == NULL) | (bits == PENDING)
    return nulls


@dataclass(frozen=True)
class Rows:
    """Rows of one schema: (n,), (n,), (n,) and (n, names)."""

    table: str
    names: tuple[str, ...]
    seq: npt.NDArray[np.uint64]
    step: npt.NDArray[np.int64]
    time_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def decode(batch: Batch) -> Iterator[Rows]:
    """The rows of a batch, one `Rows` a schema, each in the order of logging."""
    for schema, offsets in batch.rows.items():
        if len(offsets) and schema.names:
            records = _gather(batch.data, offsets, len(schema.names))
            yield Rows(
                schema.table,
                schema.names,
                records["seq"],
                records["step"],
                records["time"],
                records["values"],
            )


def _gather(data: bytes, offsets: array[int], n_values: int) -> npt.NDArray[Any]:
    kind = np.dtype(
        [
            ("start", "V8"),
            ("seq", "<u8"),
            ("step", "<i8"),
            ("time", "<i8"),
            ("values", "<f8", (n_values,)),
            ("crc", "<u4"),
        ]
    )
    # a view of a record at every byte of the data, of which the offsets take theirs
    every = np.ndarray(
        (len(data) - kind.itemsize + 1,), np.dtype((np.void, kind.itemsize)), data, strides=(1,)
    )
    return every[np.frombuffer(offsets, np.uint64).astype(np.intp)].view(kind)


class Block:
    """All rows of one schema's table and names from one writer, growing, in the order of logging.

    Appending costs what is new. Rows know the segment they came from, so that those that a seal
    covers can be dropped.
    """

    def __init__(self, table: str, names: tuple[str, ...]) -> None:
        self.table = table
        self.names = names
        self.n = 0
        self._seq = np.empty(0, np.uint64)
        self._step = np.empty(0, np.int64)
        self._time = np.empty(0, np.int64)
        self._values = np.empty((0, len(names)), np.float64)
        self._ends: list[tuple[int, int]] = []  # (segment, rows up to its end)

    def append(self, rows: Rows, segment: int) -> npt.NDArray[np.intp]:
        """Add rows; return the positions of those with values that have not arrived."""
        start, end = self.n, self.n + len(rows.seq)
        if end > len(self._seq):
            self._grow(max(end, 2 * len(self._seq), 64))
        self._seq[start:end] = rows.seq
        self._step[start:end] = rows.step
        self._time[start:end] = rows.time_ns
        # as integers: moving them as doubles may quiet a signalling NaN
        self._values.view(np.uint64)[start:end] = np.ascontiguousarray(rows.values).view(np.uint64)
        self.n = end
        if self._ends and self._ends[-1][0] == segment:
            self._ends[-1] = (segment, end)
        else:
            self._ends.append((segment, end))
        pending = (self._values[start:end].view(np.uint64) == PENDING).any(axis=1)
        return np.flatnonzero(pending) + start

    def patch(self, row: int, index: int, value: float) -> bool:
        """Put a late value in its place; True when the row waits for no more."""
        bits = self._values.view(np.uint64)[row]
        if index < len(self.names) and bits[index] == PENDING:
            self._values[row, index] = value
        return not (bits == PENDING).any()

    def drop(self, segments: Collection[int]) -> npt.NDArray[np.intp] | None:
        """Forget the rows of these segments.

        Return the new position of each old row, -1 for those that are gone; None if none are.
        """
        keep = np.ones(self.n, np.bool_)
        ends: list[tuple[int, int]] = []
        start = kept = 0
        for number, end in self._ends:
            if number in segments:
                keep[start:end] = False
            else:
                kept += end - start
                ends.append((number, kept))
            start = end
        if kept == self.n:
            return None
        self._seq, self._step = self.seq[keep], self.step[keep]
        self._time, self._values = self.time_ns[keep], self.values[keep]
        self.n, self._ends = kept, ends
        return np.where(keep, np.cumsum(keep) - 1, -1)

    def segment_of(self, row: int) -> int:
        """The segment a row came from."""
        return next(number for number, end in self._ends if row < end)

    @property
    def seq(self) -> npt.NDArray[np.uint64]:
        """(rows,)"""
        return self._seq[: self.n]

    @property
    def step(self) -> npt.NDArray[np.int64]:
        """(rows,); NO_STEP is the least number."""
        return self._step[: self.n]

    @property
    def time_ns(self) -> npt.NDArray[np.int64]:
        """(rows,)"""
        return self._time[: self.n]

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """(rows, names)"""
        return self._values[: self.n]

    def _grow(self, capacity: int) -> None:
        for name in ("_seq", "_step", "_time", "_values"):
            old = getattr(self, name)
            new = np.empty((capacity, *old.shape[1:]), old.dtype)
            new.view(np.uint64)[: self.n] = old.view(np.uint64)[: self.n]
            setattr(self, name, new)
