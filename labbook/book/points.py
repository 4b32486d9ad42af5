"""One series, gauge or model value as numpy columns, from sealed parts and from journals alike."""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from labbook.book.decode import Block, is_null
from labbook.book.layout import TIME
from labbook.book.stats import SeriesStat, summarise
from labbook.errors import DamagedFile
from labbook.journal.format import NO_STEP, NULL

if TYPE_CHECKING:
    import numpy.typing as npt

    from labbook.book.seals import Part

__all__ = ["PartCache", "Points", "names_in", "open_parquet", "read_name", "read_parquet"]

CACHE_BYTES: Final = 256 << 20


@dataclass(frozen=True)
class Points:
    """Values of one name, (n,) each; `value` means nothing where `valid` is False."""

    step: npt.NDArray[np.int64]
    time_ms: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.step)

    def take(self, which: npt.NDArray[Any]) -> Points:
        """Rows by mask or by position."""
        return Points(self.step[which], self.time_ms[which], self.value[which], self.valid[which])

    def cut(self, start: int, stop: int) -> Points:
        """Rows from `start` up to `stop`."""
        part = slice(start, stop)
        return Points(self.step[part], self.time_ms[part], self.value[part], self.valid[part])

    def in_order(self) -> Points:
        """Sort by step, none last, keeping the order of logging within a step."""
        key = np.where(self.step == NO_STEP, np.iinfo(np.int64).max, self.step)
        if len(key) < 2 or (key[1:] >= key[:-1]).all():
            return self
        return self.take(np.argsort(key, kind="stable"))

    def thinned(self, most: int) -> Points:
        """At most `most` rows (at least 4): both ends, and of each stretch least and greatest."""
        n_stretches = (max(most, 4) - 2) // 2
        if len(self) <= max(most, 4):
            return self
        bounds = 1 + np.arange(n_stretches) * (len(self) - 2) // n_stretches
        is_number = self.valid & ~np.isnan(self.value)
        keep = {0, len(self) - 1}
        for fill, pick in ((np.inf, np.argmin), (-np.inf, np.argmax)):
            value = np.where(is_number, self.value, fill)
            for start, stop in zip(bounds, [*bounds[1:], len(self) - 1], strict=True):
                keep.add(int(start + pick(value[start:stop])))
        return self.take(np.array(sorted(keep)))

    def summary(self) -> SeriesStat | None:
        """Statistics of rows sorted by step; None of no rows."""
        if not len(self):
            return None
        value = np.where(self.valid, self.value, NULL)
        order = np.arange(len(self), dtype=np.uint64)
        return summarise(order, self.step, value[:, None])[0]

    def columns(self) -> dict[str, pa.Array]:
        """Return step, time and value as Arrow arrays."""
        return {
            "step": pa.array(self.step, mask=self.step == NO_STEP),
            "time": pa.array(self.time_ms).cast(TIME),
            "value": pa.array(self.value, mask=~self.valid),
        }

    @classmethod
    def concat(cls, parts: list[Points]) -> Points:
        """All rows, in this order."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            none = np.empty(0, np.int64)
            return cls(none, none, np.empty(0, np.float64), np.empty(0, np.bool_))
        return cls(
            np.concatenate([p.step for p in parts]),
            np.concatenate([p.time_ms for p in parts]),
            np.concatenate([p.value for p in parts]),
            np.concatenate([p.valid for p in parts]),
        )

    @classmethod
    def of_block(cls, block: Block, index: int) -> Points:
        """One column of a journal's block."""
        value = np.ascontiguousarray(block.values[:, index])
        return cls(block.step, block.time_ns // 1_000_000, value, ~is_null(value))

    @classmethod
    def of_table(cls, table: pa.Table) -> Points:
        """Columns step, time and value of a sealed part."""
        value = table.column("value")
        return cls(
            table.column("step").fill_null(NO_STEP).to_numpy(),
            table.column("time").cast(pa.int64()).to_numpy(),
            value.fill_null(float("nan")).to_numpy(),
            value.is_valid().to_numpy(),
        )


def open_parquet(root: Path, path: Path, metadata: Any = None) -> pq.ParquetFile:
    """Open a Parquet file that lies below `root`, following no link on the way.

    Raises `DamagedFile` naming it, and `FileNotFoundError`.
    """
    try:
        at = root
        for name in path.relative_to(root).parts:
            at = at / name
            if stat.S_ISLNK(os.lstat(at).st_mode):
                raise DamagedFile(f"{at} is a link: parts of a book are files of its own")
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise DamagedFile(f"{path} is not a file")
        return pq.ParquetFile(path, metadata=metadata, page_checksum_verification=True)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedFile(f"{path} cannot be read as Parquet: {error}") from error


def read_parquet(root: Path, path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a whole part; raises as `open_parquet`."""
    with open_parquet(root, path) as file:
        try:
            return file.read(columns=columns)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DamagedFile(f"{path} cannot be read as Parquet: {error}") from error


class PartCache:
    """Reads single names out of sealed parts, and keeps what it read, up to `CACHE_BYTES`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._footers: dict[Path, Any] = {}
        self._points: OrderedDict[tuple[Path, str], Points] = OrderedDict()
        self._bytes = 0

    def points(self, part: Part, name: str) -> Points:
        """The rows of one name; none when the part has no such name.

        Raises `DamagedFile`, and `FileNotFoundError` when a newer seal replaced the part.
        """
        key = (part.path, name)
        found = self._points.get(key)
        if found is None:
            found = self._points[key] = self._read(part, name)
            self._bytes += 25 * len(found)
            while self._bytes > CACHE_BYTES and len(self._points) > 1:
                self._bytes -= 25 * len(self._points.popitem(last=False)[1])
        self._points.move_to_end(key)
        return found

    def forget(self, kept: set[Path]) -> None:
        """Forget parts other than these."""
        self._footers = {p: footer for p, footer in self._footers.items() if p in kept}
        for key in [key for key in self._points if key[0] not in kept]:
            self._bytes -= 25 * len(self._points.pop(key))

    def _read(self, part: Part, name: str) -> Points:
        with open_parquet(self.root, part.path, self._footers.get(part.path)) as file:
            footer = self._footers[part.path] = file.metadata
            if footer.num_rows != part.rows:
                raise DamagedFile(
                    f"{part.path} has {footer.num_rows} rows, and its seal names {part.rows}"
                )
            return Points.concat(list(read_name(file, part.path, name)))


def read_name(file: pq.ParquetFile, path: Path, name: str) -> Iterator[Points]:
    """The rows of one name, a row group at a time; raises `DamagedFile` naming `path`."""
    footer = file.metadata
    for number in range(footer.num_row_groups):
        names = footer.row_group(number).column(0).statistics
        if names is None or not names.has_min_max or names.min <= name <= names.max:
            try:
                table = file.read_row_group(number, columns=["name", "step", "time", "value"])
            except (pa.ArrowException, OSError, ValueError) as error:
                raise DamagedFile(f"{path} cannot be read as Parquet: {error}") from error
            at = np.flatnonzero(pc.equal(table.column("name"), name).to_numpy())
            if len(at):  # sorted by name: its rows are side by side
                yield Points.of_table(table.slice(at[0], at[-1] + 1 - at[0]).combine_chunks())


def names_in(file: pq.ParquetFile) -> set[str]:
    """All names in a part."""
    found: set[str] = set()
    for number in range(file.metadata.num_row_groups):
        names = file.read_row_group(number, columns=["name"]).column("name")
        found.update(pc.unique(names).to_pylist())
    return found
