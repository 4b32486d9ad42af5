"""Runs the user marked, to compare: each has a letter that it keeps on every screen."""

from __future__ import annotations

from labbook_tui.palette import LETTERS

__all__ = ["MOST", "Marks"]

MOST = 7
"""As many as there are hues."""


class Marks:
    """Ids of marked runs in slots A to G; a run keeps its slot until it is unmarked.

    `baseline` is the id of the run that others are compared with, "" for none.
    """

    def __init__(self) -> None:
        self._slots: list[str] = [""] * MOST
        self.baseline = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """Marked runs, in the order of their letters."""
        return tuple(run_id for run_id in self._slots if run_id)

    def index(self, run_id: str) -> int | None:
        """The slot of a run, which is also its hue; None when it is not marked."""
        return self._slots.index(run_id) if run_id and run_id in self._slots else None

    def letter(self, run_id: str) -> str:
        """`A` to `G`, or "" for a run without a mark."""
        index = self.index(run_id)
        return "" if index is None else LETTERS[index]

    def toggle(self, run_id: str) -> bool:
        """Mark a run or take its mark away; False when all letters are taken."""
        index = self.index(run_id)
        if index is not None:
            self._slots[index] = ""
            return True
        if "" not in self._slots:
            return False
        self._slots[self._slots.index("")] = run_id
        return True

    def clear(self) -> None:
        """Take all marks away; the baseline stays."""
        self._slots = [""] * MOST
