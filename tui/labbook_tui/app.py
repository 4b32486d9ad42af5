"""The app: styles for this terminal, the reader thread, and the screens."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import App
from textual.binding import Binding, BindingType
from textual.filter import NoColor
from textual.keys import _character_to_key
from textual.theme import Theme

from labbook.book.text import clean
from labbook_tui.bars import Keys
from labbook_tui.commands import LabbookCommands
from labbook_tui.driver import DiffDriver
from labbook_tui.export import export, export_picture, folder_for
from labbook_tui.feed import Feed, Fresh
from labbook_tui.hangup import watch_terminal
from labbook_tui.images.stage import Stage
from labbook_tui.lines import Lines
from labbook_tui.marks import Marks
from labbook_tui.memory import Memory, write_log
from labbook_tui.palette import Glyphs, Ink, depth_of
from labbook_tui.screens.base import BaseScreen
from labbook_tui.screens.runs import RunsScreen

if TYPE_CHECKING:
    from textual import events
    from textual.driver import Driver
    from textual.screen import Screen

    from labbook.book.summary import RunSummary
    from labbook_tui.images.protocol import Images
    from labbook_tui.read.library import Library
    from labbook_tui.shown import Shown

__all__ = ["LabbookApp"]

PLAIN = {"linux", "screen", "vt100", "vt220", "dumb"}
"""Terminals (by TERM) whose fonts may lack symbols."""
KEEP_S = 30.0
"""How often the view is kept, should the program not end by itself."""
MOST_COPIED = 100_000
"""Characters: terminals cut or refuse a longer OSC 52."""


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
    """The terminal program. `open_library` is called once, in the reader thread.

    With `is_remembered` false, how it is looked at is not kept for the next time.
    """

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
        Binding("P", "picture", "chart as PNG", show=False),
        Binding("ctrl+p,colon", "command_palette", "command palette", show=False),
        Binding("ctrl+z", "suspend_process", "suspend", show=False),
    ]
    COMMANDS: ClassVar = {LabbookCommands}

    def __init__(
        self,
        book: Path,
        open_library: Callable[[], Library],
        *,
        run: str | None = None,
        page: str = "curves",
        driver_class: type[Driver] | None = DiffDriver,
        ascii_only: bool = False,
        images: Images = "blocks",
        is_remembered: bool = True,
    ) -> None:
        super().__init__(driver_class=driver_class)
        self.book = book
        self.first_run, self.first_page = run, page
        self.feed = Feed(open_library, self.post_message)
        self.animation_level = "none"
        self.marks = Marks()
        self.memory = Memory(book, is_kept=is_remembered)
        self.ascii_only, self.images = ascii_only, images
        self.stage: Stage | None = None
        self._has_mouse = True
        self._inks: dict[bool, Ink] = {}
        if self.no_color:  # Textual's own filter makes greys, which are colours too
            self._filters = [NoColor()]
        for dark in (True, False):
            self.register_theme(_theme("labbook-dark" if dark else "labbook-light", Ink(dark=dark)))
        is_light = self.memory.content.get("theme") == "labbook-light"
        self.theme = "labbook-light" if is_light else "labbook-dark"
        self._recall_marks()

    @property
    def ink(self) -> Ink:
        """Styles for this terminal and theme."""
        dark = self.theme != "labbook-light"
        if dark not in self._inks:
            depth = depth_of(self.console.color_system, self.no_color)
            plain = self.ascii_only or os.environ.get("TERM", "") in PLAIN
            self._inks[dark] = Ink(
                depth, dark, Glyphs.plain() if plain else Glyphs(), images=self.images
            )
        return self._inks[dark]

    def on_mount(self) -> None:
        """Show the skeleton, then read."""
        if self.images in {"kitty", "sixel"} and isinstance(self._driver, DiffDriver):
            self.stage = Stage(self.images, self._driver, self._later)
            self._driver.leave = self.stage.leave
        if not self.is_headless:
            watch_terminal(sys.__stdin__.fileno() if sys.__stdin__ is not None else 0)
        self.push_screen(RunsScreen(f"{self.book.parent.name}/{self.book.name}"))
        self.call_after_refresh(self.feed.start)  # the skeleton first
        self.set_interval(KEEP_S, self.keep)
        if not self.is_headless:
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self._told_to_end, number)
        if self.first_run is not None:
            from labbook_tui.screens.run import RunScreen

            self.push_screen(RunScreen.named(self.first_run, self.first_page))
        elif self.first_page == "host":
            self.action_host()

    def _told_to_end(self, number: int) -> None:
        """A signal: the terminal is given back as it was, then the usual exit status."""
        self.exit(return_code=128 + number)

    def _handle_exception(self, error: Exception) -> None:
        """Textual's way out of a fault: here with a log and two lines instead of a page of code."""
        if self.is_headless:  # a test gets the exception itself
            super()._handle_exception(error)
            return
        log = write_log(error)
        where = f"The traceback is in {log}" if log is not None else "No log could be written."
        self._return_code = 1
        self.panic(Text(f"labbook failed: {type(error).__name__}: {clean(error)}\n{where}"))

    def on_unmount(self) -> None:
        """Let the reader go."""
        self.feed.stop()

    def on_resize(self, event: events.Resize) -> None:
        """The terminal's cells are unknown after a change of size."""
        resized = getattr(self._driver, "resized", None)
        if resized is not None:
            resized(event.size.width, event.size.height)
        if self.stage is not None:
            self.stage.redrawn()

    def _later(self, job: Callable[[], None]) -> None:
        """Run it off the UI thread, then look anew which picture is to be shown."""

        def work() -> None:
            job()
            self.call_from_thread(self.post_display_hook)

        self.run_worker(work, thread=True, exit_on_error=False)

    def post_display_hook(self) -> None:
        """After the cells (Textual calls this): the picture of the present screen, or none."""
        if self.stage is not None and self.screen_stack:
            screen = self.screen
            picture = screen.picture() if isinstance(screen, BaseScreen) else None
            self.stage.show(None if screen.has_class("small") else picture)

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

    @property
    def last_page(self) -> int:
        """The page of a run that was shown last; 2 where none was."""
        kept = self.memory.part("screens").get("run")
        page = kept.get("page") if isinstance(kept, dict) else 2
        return page if isinstance(page, int) and 2 <= page <= 8 else 2

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

    # ------------------------------------------------------------------ copy and export

    def say(self, text: str, meaning: str = "good") -> None:
        """One line in the footer of the page that is shown."""
        page = next((s for s in reversed(self.screen_stack) if isinstance(s, BaseScreen)), None)
        for keys in page.query(Keys) if page is not None else ():
            keys.tell(text, meaning)

    def action_copy(self) -> None:
        """Copy what is under the cursor, by OSC 52: over ssh too, and in tmux where it allows."""
        screen = self.screen
        text = screen.copied() if isinstance(screen, BaseScreen) else ""
        if not text:
            self.say("nothing to copy here", "dim")
        elif len(text) > MOST_COPIED:
            self.say("too long for the clipboard: e writes it to a file", "warn")
        else:
            self.copy_to_clipboard(text)
            lines = text.count("\n") + 1
            self.say(f"copied {clean(text) if lines == 1 else f'{lines} lines'}")

    def action_export(self) -> None:
        """Write what is shown to files in the working directory."""
        shown = self._shown()
        if shown is None:
            self.say("nothing to export here", "dim")
            return
        self._write(lambda folder: export(shown, folder))

    def action_picture(self) -> None:
        """Write the chart that is shown as a PNG; without Pillow it is said what is needed."""
        shown = self._shown()
        if shown is None or not shown.curves:
            self.say("no chart to draw here", "dim")
            return
        self._write(lambda folder: [export_picture(shown, folder)])

    def _shown(self) -> Shown | None:
        return self.screen.shown() if isinstance(self.screen, BaseScreen) else None

    def _write(self, written: Callable[[Path], list[Path]]) -> None:
        """Write files off the UI thread, and say which."""

        def write() -> None:
            try:
                paths = written(folder_for(self.book))
            except ImportError:
                said = "a PNG needs Pillow: pip install pillow; e writes an SVG without it"
                self.call_from_thread(self.say, said, "warn")
            except OSError as error:
                said = f"not exported: {error.strerror or error}"
                self.call_from_thread(self.say, said, "bad")
            else:
                names = " and ".join([str(paths[0]), *(path.suffix for path in paths[1:])])
                self.call_from_thread(self.say, f"written: {clean(names)}")

        self.run_worker(write, thread=True, exit_on_error=False)

    def action_mouse(self) -> None:
        """Mouse on or off; off lets the terminal select text."""
        self._has_mouse = not self._has_mouse
        if self._driver is not None and not self.is_headless:
            code = "h" if self._has_mouse else "l"
            self._driver.write("".join(f"\x1b[?{mode}{code}" for mode in (1000, 1003, 1015, 1006)))
        self.say(f"mouse {'on' if self._has_mouse else 'off'}")

    # ------------------------------------------------------------------ the palette's

    def press(self, key: str) -> None:
        """Do what a key as the help writes it does."""
        names = {"←": "left", "→": "right", "↑": "up", "↓": "down", "esc": "escape"}
        name = names.get(key, _character_to_key(key) if len(key) == 1 else key)
        self.call_after_refresh(self.simulate_key, name)

    def known_runs(self) -> Sequence[RunSummary]:
        """The runs as last read."""
        for screen in self.screen_stack:
            if isinstance(screen, RunsScreen) and screen.model is not None:
                return screen.model.rows
        return ()

    def known_series(self) -> Sequence[str]:
        """The names of series as last read, and of evaluations as curves name them."""
        for screen in self.screen_stack:
            if isinstance(screen, RunsScreen) and screen.model is not None:
                metrics = (f"{name}/{metric}" for name, metric in screen.model.metrics)
                return list(dict.fromkeys((*screen.model.series, *metrics)))
        return ()

    def open_run(self, run_id: str) -> None:
        """The page of a run, in place of that of another."""
        from labbook_tui.screens.run import RunScreen

        page = self.screen.number if isinstance(self.screen, RunScreen) else 2
        while len(self.screen_stack) > 2:
            self.pop_screen()
        self.push_screen(RunScreen(None, page, run_id))

    def find_series(self, name: str) -> None:
        """The curves of the present run, only those with this name."""
        from labbook_tui.screens.run import RunScreen

        self.go(2)

        def search() -> None:
            if isinstance(self.screen, RunScreen):
                said = self.screen.view.search(name)
                if said.startswith("0 "):
                    self.say(f"this run has no series {clean(name)}", "warn")

        self.call_after_refresh(search)

    # ------------------------------------------------------------------ memory

    def _recall_marks(self) -> None:
        kept = self.memory.content.get("marks")
        for run_id in kept[:7] if isinstance(kept, list) else ():
            if isinstance(run_id, str) and run_id and self.marks.index(run_id) is None:
                self.marks.toggle(run_id)
        baseline = self.memory.content.get("baseline")
        self.marks.baseline = baseline if isinstance(baseline, str) else ""

    def remember(self, screen: Screen[Any]) -> None:
        """Keep how a screen is looked at."""
        if isinstance(screen, BaseScreen) and screen.NAME and screen.is_mounted:
            found = screen.remembered()
            if found:
                self.memory.content["screens"] = {
                    **self.memory.part("screens"),
                    screen.NAME: found,
                }

    def recall(self, screen: BaseScreen) -> None:
        """Give a new screen its look of last time; one that cannot be taken up is left out."""
        kept = self.memory.part("screens").get(screen.NAME)
        if screen.NAME and isinstance(kept, dict):
            try:
                screen.recall(kept)
            except (TypeError, ValueError, LookupError, AttributeError):
                self.memory.part("screens").pop(screen.NAME, None)

    def keep(self) -> None:
        """Write down how the program is looked at."""
        for screen in self.screen_stack:
            self.remember(screen)
        self.memory.content.update(
            theme=self.theme, marks=[*self.marks.ids], baseline=self.marks.baseline
        )
        self.memory.keep()

    def pop_screen(self) -> Any:
        """Leave a screen; how it is looked at is remembered."""
        self.remember(self.screen)
        return super().pop_screen()

    def exit(self, *args: Any, **kwargs: Any) -> None:
        """End; how the program is looked at is kept."""
        self.keep()
        super().exit(*args, **kwargs)
