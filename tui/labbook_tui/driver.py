"""The terminal driver that sends changed cells only (`diff`); Textual alone resends whole regions.

A live dashboard of 120×40 falls from about 30 kB/s to below 1 kB/s with it. `--plain-driver` uses
Textual's own driver instead.
"""

from __future__ import annotations

import fcntl
import struct
import termios
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.drivers.linux_driver import LinuxDriver

from labbook_tui.diff import CellDiff

if TYPE_CHECKING:
    from textual.app import App

    from labbook_tui.images.picture import Place

__all__ = ["DiffDriver"]

_CELL = (8, 16)


class DiffDriver(LinuxDriver):
    """Textual's Linux driver with a cell model between it and the terminal."""

    def __init__(
        self,
        app: App[object],
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._diff = CellDiff(*self._get_terminal_size())
        self.leave: Callable[[], str] | None = None
        """What is written last, before the terminal is given back."""

    def write(self, data: str) -> None:
        """Send what differs from what the terminal shows."""
        changed = self._diff.feed(data)
        if changed:
            super().write(changed)

    @property
    def cell(self) -> tuple[int, int]:
        """Pixels of a cell, across and down; those of an old xterm where nothing says it."""
        try:
            packed = fcntl.ioctl(self.fileno, termios.TIOCGWINSZ, bytes(8))
        except OSError:
            return _CELL
        rows, columns, across, down = struct.unpack("HHHH", packed)
        if not (rows and columns and across >= columns and down >= rows):
            return _CELL
        return across // columns, down // rows

    def draw(self, data: str) -> None:
        """Write a picture's sequences: they change no cell that is known here."""
        super().write(data)

    def lose(self, place: Place) -> None:
        """What stands in these cells is not known any more: the app draws them anew."""
        self._diff.lose(range(place.y, place.y + place.rows), place.x, place.columns)
        self._app.screen.refresh()

    def resized(self, width: int, height: int) -> None:
        """Forget the cells; called before the app draws for a new size."""
        self._diff.resize(width, height)

    def stop_application_mode(self) -> None:
        """Give the terminal back, without what it keeps for us."""
        data = self.leave() if self.leave is not None else ""
        if data:
            super().write(data)
        super().stop_application_mode()

    def start_application_mode(self) -> None:
        """Begin, or come back from a stop: nothing is known about the cells."""
        self._diff.resize(*self._get_terminal_size())
        super().start_application_mode()  # type: ignore[no-untyped-call]
