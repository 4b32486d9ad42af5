"""Marked runs on one axis, what changed between them, and whether the difference is real."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from labbook.book.text import clean
from labbook_tui.bars import Header, Keys
from labbook_tui.comparison import Compared
from labbook_tui.lines import Line, fit, width_of
from labbook_tui.models import Want
from labbook_tui.palette import LETTERS, seg
from labbook_tui.prompt import Prompt
from labbook_tui.screens.base import BaseScreen
from labbook_tui.screens.finding import FindingScreen
from labbook_tui.text import cut
from labbook_tui.views.base import View
from labbook_tui.views.changes import ChangesView
from labbook_tui.views.findings import FindingsView
from labbook_tui.views.overlay import OverlayView

if TYPE_CHECKING:
    from labbook_tui.shown import Shown

__all__ = ["CompareScreen"]

EVERY: tuple[str, ...] = ()
"""The pair that stands for all runs at once."""


class CompareScreen(FindingScreen):
    """The comparison of the marked runs; of one run with what it is best held against."""

    NAME = "compare"
    DEFAULT_CSS = "CompareScreen Header { height: 2; } CompareScreen View { display: none; }"
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("v tab", "overlay, what changed, results"),
        ("shift+tab", "the page before"),
        ("p", "of three runs or more: another pair"),
        ("/", "find"),
        ("esc", "back"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "back", "back"),
        Binding("v,tab", "cycle(1)", "next page", show=False, priority=True),
        Binding("shift+tab", "cycle(-1)", "previous page", show=False, priority=True),
        Binding("p", "pair", "another pair", show=False),
        Binding("slash", "find", "find", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.views: tuple[OverlayView, ChangesView, FindingsView] = (
            OverlayView(),
            ChangesView(),
            FindingsView(),
        )
        self.number = 0
        self.about: Compared | None = None
        self.pair = EVERY
        self.below = ""
        self._everyone: tuple[tuple[str, str], ...] = ()

    def page(self) -> Iterable[Widget]:
        """Header, views, prompt, footer."""
        yield Header(id="head")
        yield from self.views
        yield Prompt(id="prompt")
        yield Keys(id="keys")

    @property
    def view(self) -> OverlayView | ChangesView | FindingsView:
        """The page shown."""
        return self.views[self.number]

    def on_mount(self) -> None:
        """Remember the run of the screen below, and show the first page."""
        below = [screen for screen in self.app.screen_stack if screen is not self]
        if below and isinstance(below[-1], BaseScreen):
            self.below = below[-1].at_run()
        self._show(self.number)

    def _show(self, number: int) -> None:
        self.number = number
        for view in self.views:
            view.display = view is self.view
        self.view.focus()
        own = self.view.KEYS
        pair = [("p", "pair")] if len(self._everyone) > 2 else []
        self.query_one("#keys", Keys).show(
            [*own[:2], ("v", "page"), *pair, *own[2:], ("esc", "back"), ("?", "help")]
        )
        self._head()
        self.ask()

    @property
    def shown_view(self) -> View:
        """What searches."""
        return self.view

    def wants(self) -> tuple[Want, ...]:
        """The model of the page in sight, of the pair in sight."""
        marks = self.host.marks
        kind, detail = self.view.wanted()
        ids = self.pair if self.pair and kind != "overlay" else marks.ids
        if not self.pair and kind in {"results", "patch"} and len(self._everyone) > 2:
            ids = tuple(run_id for run_id, _ in self._everyone[:2])
        return (Want(kind, self.below, (marks.baseline, ",".join(ids), *detail)),)

    def take(self, want: Want, model: object) -> None:
        """A model for the page in sight."""
        about = getattr(model, "about", None)
        if isinstance(about, Compared):
            self.about = about
            if not self.pair and len(about.runs) > len(self._everyone):
                self._everyone = tuple((run.id, run.name) for run in about.runs)
            for view in self.views:
                view.slots = self.slots()
        self.view.take(model)
        self._head()

    def slots(self) -> dict[str, int]:
        """Each run's letter and hue: a marked run keeps its own, others take what is free."""
        marks = self.host.marks
        runs = self.about.runs if self.about else ()
        ids = list(dict.fromkeys([*(i for i, _ in self._everyone), *(run.id for run in runs)]))
        found = {run_id: marks.index(run_id) for run_id in ids}
        if any(slot is None for slot in found.values()):
            return {run_id: place for place, run_id in enumerate(ids)}  # A and B, by place
        return {run_id: slot for run_id, slot in found.items() if slot is not None}

    # ------------------------------------------------------------------ header

    def _head(self) -> None:
        self.query_one("#head", Header).show([self._runs(), self._tabs()])

    def _runs(self) -> Line:
        ink, width = self.host.ink, self.size.width
        line: Line = [seg(" compare  ", ink.of("text", "b"))]
        if self.about is None:
            return [*line, seg("reading…", ink.of("dim"))]
        runs, slots = self.about.runs, self.slots()
        arrow = len(runs) == 2
        room = max(6, (width - 12) // max(1, len(runs)) - 5)
        for place, run in enumerate(runs):
            slot = slots.get(run.id, place)
            line += [
                seg(("→ " if arrow else "  ") if place else "", ink.of("dim")),
                seg(f"{LETTERS[slot]} ", ink.series(slot, "b")),
                seg(f"{cut(clean(run.name), room)} ", ink.series(slot)),
            ]
        return line

    def _tabs(self) -> Line:
        ink = self.host.ink
        line: Line = [seg(" ")]
        for view in self.views:
            here = view is self.view
            line += [seg(view.NAME, ink.of("accent", "bu") if here else ink.of("dim")), seg("   ")]
        if len(self._everyone) > 2 and self.view is not self.views[0]:
            shown = "all runs" if self.about and len(self.about.runs) > 2 else "one pair"
            line.append(seg(f"{shown}, p goes on", ink.of("dim")))
        why = f"{self.about.why} " if self.about else ""
        if why and width_of(line) + len(why) <= self.size.width:
            line = [*fit(line, self.size.width - len(why)), seg(why, ink.of("dim"))]
        return line

    # ------------------------------------------------------------------ keys

    def action_cycle(self, by: int) -> None:
        """The next page of the comparison."""
        if self.query_one("#prompt", Prompt).has_class("open"):
            return
        self._show((self.number + by) % len(self.views))

    def action_pair(self) -> None:
        """All at once where that can be, then A with each of the others."""
        ids = [run_id for run_id, _ in self._everyone]
        if len(ids) < 3:
            return
        pairs = [EVERY, *((ids[0], other) for other in ids[1:])]
        if self.view is self.views[2]:
            pairs = pairs[1:]  # results are of two runs
        seen = pairs.index(self.pair) if self.pair in pairs else 0
        self.pair = pairs[(seen + 1) % len(pairs)]
        if self.view is self.views[0]:
            self._show(1)
        self.ask()
        self._head()

    # ------------------------------------------------------------------ hooks

    def helped(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """The keys of the page in sight first."""
        views = [self.view, *(view for view in self.views if view is not self.view)]
        return [(self.NAME, self.EXPLAINED), *((view.NAME, view.EXPLAINED) for view in views)]

    def at_run(self) -> str:
        """The run that is compared: the last of them."""
        return self.about.runs[-1].id if self.about and self.about.runs else self.below

    def copied(self) -> str:
        """What the page in sight has."""
        return self.view.copied()

    def shown(self) -> Shown | None:
        """What the page in sight shows."""
        return self.view.shown()

    def remembered(self) -> dict[str, Any]:
        """The page and the look of every view."""
        return {"page": self.number} | {view.KIND: view.remembered() for view in self.views}

    def recall(self, memory: dict[str, Any]) -> None:
        """The page and the look of every view."""
        for view in self.views:
            found = memory.get(view.KIND)
            if isinstance(found, dict):
                view.recall(found)
        page = memory.get("page")
        if isinstance(page, int) and 0 <= page < len(self.views):
            self.number = page
            if self.is_attached:
                self._show(page)

    def repaint(self) -> None:
        """Other colours."""
        self._head()
