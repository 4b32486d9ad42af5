"""What `log()` accepts, turned into doubles; what it refuses, and in which words.

The journal keeps doubles. An integer that a double cannot hold is refused rather than rounded;
NaN and the infinities are values; None is null.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, Final

from labbook.errors import MisuseError
from labbook.journal.format import NULL

__all__ = ["DeviceValue", "check_name", "check_step", "to_double"]

_EXACT: Final = 1 << 53


class DeviceValue(Exception):  # control flow, never seen by the user
    """The value lies on an accelerator: to be copied, not waited for."""


def to_double(name: str, value: Any, step: int | None) -> float:
    """Return the double that stands for `value` in the journal.

    Raises `TypeError` for what is not a number, `MisuseError` for an integer that would lose
    digits, `DeviceValue` for a tensor on an accelerator.
    """
    if value is None:
        return NULL
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return _from_int(name, value, step)
    if _is_scalar_array(value):
        return _from_array(name, value, step)
    raise TypeError(_refusal(name, value, step))


def check_name(name: Any) -> None:
    """Raise unless `name` can be a metric's: text, not empty, without control characters."""
    if not isinstance(name, str):
        raise TypeError(f"a metric's name must be text, got {name!r} of type {_type(name)}")
    if not name or not name.isprintable():
        raise MisuseError(
            f"a metric's name must not be empty or hold control characters, got {name!r}"
        )


def check_step(step: Any) -> int:
    """Return `step` as an int; raises `TypeError` when it is not a whole number."""
    try:
        number = step.__index__()
    except (AttributeError, TypeError):
        told = f"step must be a whole number, got {step!r} of type {_type(step)}"
        raise TypeError(told) from None
    if not -(1 << 63) < number < 1 << 63:
        raise MisuseError(f"step {number} does not fit in 64 bits")
    return int(number)


def _from_int(name: str, value: int, step: int | None) -> float:
    try:
        double = float(value)
    except OverflowError:
        double = math.inf
    if -_EXACT <= value <= _EXACT or double == value:
        return double
    raise MisuseError(
        f"metric {name!r} = {value} at {_at(step)} has more digits than a double holds "
        "(2^53); log it in smaller units, or as run.event(...)"
    )


def _is_scalar_array(value: Any) -> bool:
    # numpy, torch, jax, cupy, tensorflow: all have shape and item; none is imported here
    return hasattr(value, "item") and hasattr(value, "shape") and hasattr(value, "dtype")


def _from_array(name: str, value: Any, step: int | None) -> float:
    shape: Sequence[int] = tuple(value.shape)
    if any(n != 1 for n in shape):
        raise TypeError(
            f"metric {name!r} at {_at(step)} must be one number, got {_type(value)} of shape "
            f"{tuple(shape)}: log its mean, or its norm"
        )
    if _on_device(value):
        raise DeviceValue(name)
    item = value.item()
    if isinstance(item, float):
        return item
    if isinstance(item, int):
        return _from_int(name, item, step)
    raise TypeError(_refusal(name, value, step))


def _on_device(value: Any) -> bool:
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return False
    return bool(value.is_cuda)


def _refusal(name: str, value: Any, step: int | None) -> str:
    advice = "text goes to run.event(...)" if isinstance(value, str) else "log one number a name"
    return f"metrics must be numbers, got {name!r} of type {_type(value)} at {_at(step)}: {advice}"


def _type(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _at(step: int | None) -> str:
    return "the next step" if step is None else f"step {step}"
