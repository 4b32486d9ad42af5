"""What charts say in words and as a table: exact values at a place, and all that is in sight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from labbook_tui.text import grouped, number
from labbook_tui.timescale import clock_text, elapsed_text

if TYPE_CHECKING:
    from labbook_tui.curve import Curve, Floats

__all__ = ["Rows", "place_text"]


def place_text(axis: str, at: float) -> str:
    """A place on an axis in words: `step 1 200`, `time 1h05`, `epoch 3.25`."""
    if axis == "clock":
        return clock_text(at)
    if axis == "time":
        return f"time {elapsed_text(at) if abs(at) >= 60 else number(at) + 's'}"
    return f"{axis} {grouped(int(at)) if float(at).is_integer() else f'{at:.6g}'}"


class Rows(Sequence[Sequence[object]]):
    """Curves as rows (x, value of each or None), made one at a time: there may be millions.

    Of several values of a curve at one x the last.
    """

    def __init__(self, curves: Sequence[Curve], limits: tuple[float, float] | None = None) -> None:
        every = [curve.x for curve in curves if len(curve.x)]
        x = np.unique(np.concatenate(every)) if every else np.zeros(0)
        if limits is not None:
            x = x[(x >= limits[0]) & (x <= limits[1])]
        self.x: Floats = x
        self._curves = curves

    def __len__(self) -> int:
        return len(self.x)

    @overload
    def __getitem__(self, index: int) -> Sequence[object]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sequence[object]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        x = float(self.x[index])
        row: list[object] = [int(x) if x.is_integer() else x]
        for curve in self._curves:
            at = int(np.searchsorted(curve.x, x, "right")) - 1
            row.append(float(curve.y[at]) if at >= 0 and curve.x[at] == x else None)
        return row
