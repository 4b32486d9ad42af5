"""Help: every key of the screen it was opened from, and what the marks mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget

from labbook_tui.bars import Keys
from labbook_tui.lines import Line, beside
from labbook_tui.palette import Ink, seg
from labbook_tui.screens.base import BaseScreen
from labbook_tui.states import mark
from labbook_tui.views.base import Scrolled

__all__ = ["HelpScreen", "help_lines"]

EVERYWHERE = [
    ("1", "the runs"),
    ("2", "curves"),
    ("3", "examples: the chosen set over the run"),
    ("4", "evaluations of its checkpoints"),
    ("5", "machine: the gauges"),
    ("6", "conditions: arguments, code, packages"),
    ("7", "output"),
    ("8", "checks, events and faults"),
    ("9", "compare the marked runs"),
    ("m", "this machine and its live runs"),
    ("j k ↑ ↓", "move"),
    ("g G", "first, last"),
    ("ctrl+d ctrl+u", "half a screen"),
    ("enter", "open"),
    ("esc", "back"),
    ("/", "filter or find"),
    ("y", "copy what is under the cursor"),
    ("e", "export what is shown: CSV, and a chart as SVG"),
    ("P", "the chart as PNG; needs pillow"),
    ("T", "light or dark"),
    (": ctrl+p", "command palette: pages, runs, series, actions"),
    ("?", "this help"),
    ("ctrl+z", "to the shell; fg comes back"),
    ("q", "quit"),
]
Sections = list[tuple[str, list[tuple[str, str]]]]
STATES = ("running", "finished", "failed", "interrupted", "terminated", "killed", "unknown")


def help_lines(sections: Sections, width: int, ink: Ink) -> list[Line]:
    """All keys in one or two columns, those of the screen it was opened from first; the marks."""
    left = [*_block("everywhere", EVERYWHERE, ink), [], *_marks(ink)]
    right: list[Line] = []
    for title, keys in sections:
        right += [*([[]] if right else []), *_block(title.lower(), keys, ink)]
    if width < 110:
        return [*right, [], *left]
    return beside(left, right, 54, [seg("  ")])


def _block(title: str, keys: list[tuple[str, str]], ink: Ink) -> list[Line]:
    lines: list[Line] = [[seg(f" {title}", ink.of("accent", "b"))]]
    return [
        *lines,
        *(
            [seg(f"  {key:<14}", ink.of("text", "b")), seg(what, ink.of("dim"))]
            for key, what in keys
        ),
    ]


def _marks(ink: Ink) -> list[Line]:
    lines: list[Line] = [[seg(" marks", ink.of("accent", "b"))]]
    for state in STATES:
        text, style = mark(state, ink)
        lines.append([seg(f"  {text}", style)])
    lines.append(
        [
            seg(f"  {ink.glyphs.dirty} ", ink.of("warn", "b")),
            seg("started from a dirty tree", ink.of("dim")),
        ]
    )
    lines.append(
        [
            seg(f"  {ink.glyphs.best} ", ink.of("good")),
            seg("best by this metric, full sets only", ink.of("dim")),
        ]
    )
    return lines


class _Pane(Scrolled):
    KIND = "help"

    def __init__(self, sections: Sections) -> None:
        super().__init__()
        self.sections = sections

    def rows(self, width: int) -> list[Line]:
        return help_lines(self.sections, width, self.ink)


class HelpScreen(BaseScreen):
    """A page of keys; any of esc, ?, q closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "close", "close"),
    ]

    def __init__(self, sections: Sections) -> None:
        super().__init__()
        self.sections = sections

    def page(self) -> Iterable[Widget]:
        """The keys."""
        yield _Pane(self.sections)
        yield Keys(id="keys")

    def on_mount(self) -> None:
        """Take the keys."""
        self.query_one(_Pane).focus()
        self.query_one("#keys", Keys).show([("j k", "scroll"), ("esc", "close")])

    def action_close(self) -> None:
        """Back to where it was opened."""
        screen: Screen[None] = self
        screen.app.pop_screen()
