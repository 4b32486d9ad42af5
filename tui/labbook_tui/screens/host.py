"""This machine now: its GPUs, processors, memory and disks, and the live runs on it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from labbook.book.text import clean
from labbook_tui.bars import Header, Keys
from labbook_tui.lines import Line, fit
from labbook_tui.models import HostModel, Want
from labbook_tui.palette import seg
from labbook_tui.prompt import Prompt
from labbook_tui.screens.finding import FindingScreen
from labbook_tui.text import bytes_text, plural
from labbook_tui.views.base import View
from labbook_tui.views.host import HostView

if TYPE_CHECKING:
    from labbook_tui.shown import Shown

__all__ = ["HostScreen"]


class HostScreen(FindingScreen):
    """The machine that this program runs on."""

    NAME = "machine"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "back", "back"),
        Binding("slash", "find", "find", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.view = HostView()

    def page(self) -> Iterable[Widget]:
        """Header, the machine, prompt, footer."""
        yield Header(id="head")
        yield self.view
        yield Prompt(id="prompt")
        yield Keys(id="keys")

    def on_mount(self) -> None:
        """Take the keys."""
        self.view.focus()
        self.query_one("#keys", Keys).show(
            [*self.view.KEYS, ("1-9", "page"), ("esc", "back"), ("?", "help")]
        )
        self._head()

    @property
    def shown_view(self) -> View:
        """What searches."""
        return self.view

    def wants(self) -> tuple[Want, ...]:
        """The machine."""
        return (Want("host"),)

    def take(self, want: Want, model: object) -> None:
        """The machine as it is now."""
        self.view.take(model)
        self._head()

    def _head(self) -> None:
        ink, width, model = self.host.ink, self.size.width, self.view.model
        line: Line = [seg(" this machine  ", ink.of("text", "b"))]
        if isinstance(model, HostModel):
            now = model.now
            words = f"{plural(now['cores'], 'core')}, {bytes_text(now['memory_bytes'])}"
            gpus = len(now["gpus"])
            words += f", {plural(gpus, 'GPU')}" if gpus else ""
            line += [
                seg(clean(now["host"]), ink.of("accent", "b")),
                seg(f"  {words}", ink.of("dim")),
            ]
            clock = time.strftime("%H:%M:%S ", time.localtime(now["time_ns"] / 1e9))
            line = [*fit(line, width - len(clock)), seg(clock, ink.of("dim"))]
        self.query_one("#head", Header).show([line])

    def open_run(self, run_id: str) -> None:
        """The page of a run."""
        from labbook_tui.screens.run import RunScreen

        self.app.push_screen(RunScreen(None, 2, run_id))

    def helped(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """The keys of this page."""
        return [(self.view.NAME, self.view.EXPLAINED)]

    def at_run(self) -> str:
        """The live run under the cursor."""
        return self.view.run_id

    def copied(self) -> str:
        """What is under the cursor."""
        return self.view.copied()

    def shown(self) -> Shown | None:
        """The history."""
        return self.view.shown()

    def remembered(self) -> dict[str, Any]:
        """How much history."""
        return self.view.remembered()

    def recall(self, memory: dict[str, Any]) -> None:
        """How much history."""
        self.view.recall(memory)

    def repaint(self) -> None:
        """Other colours."""
        self._head()
