"""Columns of an Array record: name, numpy dtype, shape `(examples, …)` and bytes in C order.

Rows of unequal length are one behind the other; `labbook.journal.format` says how.
"""

from __future__ import annotations

import array
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from labbook.client.dataset import is_array, is_tensor
from labbook.errors import MisuseError

__all__ = ["Column", "binary_column", "column", "cut", "header_of", "ragged_column", "rounded"]

_CODES = {"<f4": "f", "<i8": "q", "|b1": "b"}


@dataclass(frozen=True)
class Column:
    """One value, one array of a fixed shape, or one of any length, for each example."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    """Begins with the number of examples, or where `lengths` are given with their sum."""
    data: bytes | memoryview
    lengths: tuple[int, ...] | None = None

    def parts(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes of this column in a record."""
        if self.lengths is not None:
            yield struct.pack(f"<{len(self.lengths)}I", *self.lengths)
        yield self.data

    @property
    def n_bytes(self) -> int:
        """The size of `parts()`."""
        return len(self.data) + 4 * len(self.lengths or ())


def header_of(columns: Iterable[Column]) -> list[dict[str, Any]]:
    """How the record's header describes these columns."""
    return [
        {"name": c.name, "dtype": c.dtype, "shape": list(c.shape)}
        | ({} if c.lengths is None else {"rows": len(c.lengths)})
        for c in columns
    ]


def cut(whole: Column, start: int, stop: int) -> Column:
    """Return examples `start` to `stop` of a column, without a copy of its values."""
    lengths = whole.lengths
    if lengths is None:
        first, last, total = start, stop, whole.shape[0]
    else:
        first = sum(lengths[:start])
        last, total, lengths = first + sum(lengths[start:stop]), whole.shape[0], lengths[start:stop]
    width = len(whole.data) // total if total else 0
    data = memoryview(whole.data)[first * width : last * width]
    return Column(whole.name, whole.dtype, (last - first, *whole.shape[1:]), data, lengths)


def binary_column(name: str, values: Sequence[bytes]) -> Column:
    """Make a column of bytes."""
    lengths = tuple(map(len, values))
    return Column(name, "bytes", (sum(lengths),), b"".join(values), lengths)


def ragged_column(name: str, values: Sequence[Any], n: int) -> Column:
    """Make a column of `n` arrays that differ in their first axis alone: boxes, tokens.

    Types are those of `column`. Raises `MisuseError` when they differ in more than that.
    """
    import numpy as np

    _check_length(name, (len(values),), n)
    arrays = [np.asarray(_on_host(value)) for value in values]
    filled = [array for array in arrays if array.size] or arrays[:1]
    shapes = sorted({array.shape[1:] if array.ndim else () for array in filled})
    if len(shapes) != 1 or not all(array.ndim for array in arrays):
        raise MisuseError(
            f"column {name!r} must have one shape for all examples, but for the first axis; "
            f"got {', '.join(str(array.shape) for array in arrays[:3])} …"
        )
    whole = np.concatenate([array.reshape(-1, *shapes[0]) for array in filled])
    made = column(name, whole, len(whole))
    lengths = tuple(len(array) if array.size else 0 for array in arrays)
    return Column(name, made.dtype, made.shape, made.data, lengths)


def column(name: str, values: Any, n: int, dtype: str | None = None) -> Column:
    """Make a column of `n` examples from a tensor, an array, or a sequence of numbers.

    Without `dtype`, floats become float32, whole numbers int64 and truth values bool. Arrays of
    unequal length make a ragged column. Raises `MisuseError` when the first axis does not count the
    examples, or the values are no numbers.
    """
    values = _on_host(values)
    if not is_array(values):
        values = _plain(name, values)
    if is_array(values):
        return _of_array(name, values, n, dtype)
    _check_length(name, (len(values),), n)
    if not all(isinstance(value, (bool, int, float)) for value in values):
        return ragged_column(name, values, n)
    kind = dtype or _kind_of(values)
    try:
        return Column(name, kind, (n,), _packed(values, kind))
    except OverflowError as error:
        raise MisuseError(f"column {name!r} holds a number too large for int64") from error


def rounded(full: Column) -> Column:
    """Round float32 values to bfloat16, ties to even; they stay float32, with 16 bits of zeros.

    Values of other types are as they are. About a third of the bytes once compressed.
    """
    if full.dtype != "<f4":
        return full
    import numpy as np

    bits = np.frombuffer(full.data, "<u4")
    # adding 0x7FFF, or 0x8000 where the kept part is odd, carries exactly when it should
    near = (bits + (0x7FFF + ((bits >> 16) & 1))) & 0xFFFF0000
    is_nan = (bits & 0x7FFFFFFF) > 0x7F800000
    near = np.where(is_nan, (bits & 0xFFFF0000) | 0x00400000, near)
    return replace(full, data=near.astype("<u4").tobytes())


def _on_host(values: Any) -> Any:
    """A tensor as an array on the host; anything else as it is."""
    if not is_tensor(values):
        return values
    values = values.detach().to("cpu")
    # numpy has no bfloat16
    return (values.float() if values.is_floating_point() else values).numpy()


def _of_array(name: str, values: Any, n: int, dtype: str | None) -> Column:
    _check_length(name, values.shape, n)
    kind = dtype or {"f": "<f4", "i": "<i8", "u": "<i8", "b": "|b1"}.get(values.dtype.kind)
    if kind is None:
        raise MisuseError(f"column {name!r} must hold numbers, got an array of {values.dtype}")
    if values.dtype.kind == "u" and values.size and int(values.max()) >= 2**63:
        raise MisuseError(f"column {name!r} holds {values.max()}, which is too large for int64")
    data = values.astype(kind, order="C", copy=False).tobytes()
    return Column(name, kind, tuple(values.shape), data)


def _plain(name: str, values: Any) -> Any:
    """A flat list of numbers as it is; anything nested through numpy, if that is at hand."""
    try:
        listed = list(values)
    except TypeError as error:
        raise MisuseError(
            f"column {name!r} must be a sequence with one entry an example, "
            f"got {type(values).__name__}"
        ) from error
    if all(isinstance(value, (bool, int, float)) for value in listed):
        return listed
    numpy = sys.modules.get("numpy")
    if numpy is None:
        raise MisuseError(f"column {name!r} must hold numbers, one an example")
    listed = [_on_host(value) for value in listed]
    try:
        return numpy.asarray(listed)
    except ValueError:
        return listed  # of unequal length


def _check_length(name: str, shape: tuple[int, ...], n: int) -> None:
    if not shape or shape[0] != n:
        raise MisuseError(
            f"column {name!r} has shape {shape}; its first axis must count the {n} chosen examples"
        )


def _kind_of(values: Sequence[Any]) -> str:
    if all(isinstance(value, bool) for value in values):
        return "|b1"
    return "<i8" if all(isinstance(value, int) for value in values) else "<f4"


def _packed(values: Sequence[Any], kind: str) -> bytes:
    if kind == "<f4":
        values = [_float32(value) for value in values]
    packed = array.array(_CODES[kind], values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _float32(value: float) -> float:
    # array('f') raises where numpy and torch round to infinity
    if abs(value) > 3.4028235677973366e38:
        return float("inf") if value > 0 else float("-inf")
    return float(value)
