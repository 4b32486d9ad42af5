"""The app: styles for this terminal, the reader thread, and the screens."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.filter import NoColor
from textual.theme import Theme

from labbook_tui.driver import DiffDriver
from labbook_tui.feed import Feed, Fresh
from labbook_tui.lines import Lines
from labbook_tui.marks import Marks
from labbook_tui.palette import Glyphs, Ink, depth_of
from labbook_tui.screens.base import BaseScreen
from labbook_tui.screens.runs import RunsScreen

if TYPE_CHECKING:
    from pathlib import Path

    from textual import events
    from textual.driver import Driver

    from labbook_tui.read.library import Library

__all__ = ["LabbookApp"]


def _theme(name: str, ink: Ink) -> Theme:
    colour = {key: f"#{value}" for key, value in ink.table.items()}
    return Theme(
        name=name,
        primary=colour["accent"],
        secondary=colour["live"],
        warning=colour["warn"],
        error=colour["bad"],
        success=colour["good"],
        accent=colour["accent"],
        foreground=colour["text"],
        background=colour["background"],
        surface=colour["background"],
        panel=colour["bar"],
        dark=ink.dark,
    )


class LabbookApp(App[None]):
    """The terminal program. `open_library` is called once, in the reader thread."""

    TITLE = "labbook"
    CSS = "Screen { background: $background; color: $foreground; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("question_mark", "help", "help"),
        Binding("T", "theme", "light or dark"),
        *(Binding(str(n), f"go({n})", f"page {n}", show=False) for n in range(1, 10)),
        Binding("m", "host", "this machine"),
        Binding("y", "copy", "copy"),
        Binding("e", "export", "export"),
    ]
    COMMAND_PALETTE_BINDING = "ctrl+p"

    def __init__(
        self,
        book: Path,
        open_library: Callable[[], Library],
        *,
        run: str | None = None,
        page: str = "curves",
        driver_class: type[Driver] | None = DiffDriver,
    ) -> None:
        super().__init__(driver_class=driver_class)
        self.book = book
        self.first_run, self.first_page = run, page
        self.feed = Feed(open_library, self.post_message)
        self.animation_level = "none"
        self.marks = Marks()
        self._inks: dict[bool, Ink] = {}
        if self.no_color:  # Textual's own filter makes greys, which are colours too
            self._filters = [NoColor()]
        for dark in (True, False):
            self.register_theme(_theme("labbook-dark" if dark else "labbook-light", Ink(dark=dark)))
        self.theme = "labbook-dark"

    @property
    def ink(self) -> Ink:
        """Styles for this terminal and theme."""
        dark = self.theme != "labbook-light"
        if dark not in self._inks:
            depth = depth_of(self.console.color_system, self.no_color)
            plain = os.environ.get("TERM", "") in {"linux", "vt100", "vt220", "dumb"}
            self._inks[dark] = Ink(depth, dark, Glyphs.plain() if plain else Glyphs())
        return self._inks[dark]

    def on_mount(self) -> None:
        """Show the skeleton, then read."""
        self.push_screen(RunsScreen(f"{self.book.parent.name}/{self.book.name}"))
        self.call_after_refresh(self.feed.start)  # the skeleton first
        if self.first_run is not None:
            from labbook_tui.screens.run import RunScreen

            self.push_screen(RunScreen.named(self.first_run, self.first_page))
        elif self.first_page == "host":
            self.action_host()

    def on_unmount(self) -> None:
        """Let the reader go."""
        self.feed.stop()

    def on_resize(self, event: events.Resize) -> None:
        """The terminal's cells are unknown after a change of size."""
        resized = getattr(self._driver, "resized", None)
        if resized is not None:
            resized(event.size.width, event.size.height)

    def on_fresh(self, message: Fresh) -> None:
        """Hand a model to the screen that asked for it."""
        screen = self.screen
        if isinstance(screen, BaseScreen) and message.want in screen.wants():
            screen.take(message.want, message.model)

    def go(self, page: int) -> None:
        """Show a page by its digit: 1 the runs, 2 to 8 views of a run, 9 the comparison.

        The run is the one that the present screen is about, or that is under its cursor.
        """
        from labbook_tui.screens.compare import CompareScreen
        from labbook_tui.screens.run import RunScreen

        screen = self.screen
        if page == 1:
            while len(self.screen_stack) > 2:
                self.pop_screen()
        elif page == 9:
            if not isinstance(screen, CompareScreen):
                self.push_screen(CompareScreen())
        elif isinstance(screen, RunScreen):
            screen.action_view(page)
        elif isinstance(screen, BaseScreen) and screen.at_run():
            self.push_screen(RunScreen(None, page, screen.at_run()))

    def action_go(self, page: int) -> None:
        """A digit."""
        self.go(page)

    def action_host(self) -> None:
        """This machine, and the live runs on it."""
        from labbook_tui.screens.host import HostScreen

        if not isinstance(self.screen, HostScreen):
            self.push_screen(HostScreen())

    def action_help(self) -> None:
        """Keys of the present screen, and what the marks mean."""
        from labbook_tui.screens.help import HelpScreen

        if isinstance(self.screen, BaseScreen) and not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen.helped()))

    def action_theme(self) -> None:
        """Light or dark."""
        self.theme = "labbook-light" if self.theme == "labbook-dark" else "labbook-dark"
        for screen in self.screen_stack:
            if isinstance(screen, BaseScreen):
                screen.repaint()
            for widget in screen.query(Lines):
                widget.redraw()
