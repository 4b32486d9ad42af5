"""Columns of an Array record: name, numpy dtype, shape `(examples, …)` and bytes in C order."""

from __future__ import annotations

import array
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from labbook.client.dataset import is_array, is_tensor
from labbook.errors import MisuseError

__all__ = ["Column", "column", "header_of"]

_CODES = {"<f4": "f", "<i8": "q", "|b1": "b"}


@dataclass(frozen=True)
class Column:
    """One value, or one array of a fixed shape, for each example."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes


def header_of(columns: Iterable[Column]) -> list[dict[str, Any]]:
    """How the record's header describes these columns."""
    return [{"name": c.name, "dtype": c.dtype, "shape": list(c.shape)} for c in columns]


def column(name: str, values: Any, n: int, dtype: str | None = None) -> Column:
    """Make a column of `n` examples from a tensor, an array, or a sequence of numbers.

    Without `dtype`, floats become float32, whole numbers int64 and truth values bool. Raises
    `MisuseError` when the first axis does not count the examples, or the values are no numbers.
    """
    if is_tensor(values):
        values = values.detach().to("cpu")
        if values.is_floating_point():
            values = values.float()  # numpy has no bfloat16
        values = values.numpy()
    if not is_array(values):
        values = _plain(name, values)
    if is_array(values):
        return _of_array(name, values, n, dtype)
    _check_length(name, (len(values),), n)
    kind = dtype or _kind_of(values)
    try:
        return Column(name, kind, (n,), _packed(values, kind))
    except OverflowError as error:
        raise MisuseError(f"column {name!r} holds a number too large for int64") from error


def _of_array(name: str, values: Any, n: int, dtype: str | None) -> Column:
    _check_length(name, values.shape, n)
    kind = dtype or {"f": "<f4", "i": "<i8", "u": "<i8", "b": "|b1"}.get(values.dtype.kind)
    if kind is None:
        raise MisuseError(f"column {name!r} must hold numbers, got an array of {values.dtype}")
    if values.dtype.kind == "u" and values.size and int(values.max()) >= 2**63:
        raise MisuseError(f"column {name!r} holds {values.max()}, which is too large for int64")
    return Column(name, kind, tuple(values.shape), values.astype(kind, order="C").tobytes())


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
    listed = [value.detach().cpu().numpy() if is_tensor(value) else value for value in listed]
    try:
        return numpy.asarray(listed)
    except ValueError as error:
        raise MisuseError(
            f"column {name!r} must have one shape for all examples: {error}"
        ) from error


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
