"""What a page shows, as data: for the clipboard and for a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labbook_tui.curve import Curve

__all__ = ["Shown"]


@dataclass(frozen=True, eq=False)
class Shown:
    """A table as it is on screen (all of its rows, in order), and the curves of the chart if any.

    `name` is the stem of the file it is written to: letters, digits, `-`, `_` and `.`.
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]
    title: str = ""
    x_name: str = ""
    curves: tuple[Curve, ...] = ()
