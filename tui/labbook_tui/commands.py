"""The command palette: pages, runs and series by name, and the keys of the present page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from labbook.book.text import clean
from labbook_tui.screens.base import BaseScreen
from labbook_tui.screens.help import EVERYWHERE

if TYPE_CHECKING:
    from labbook_tui.app import LabbookApp

__all__ = ["Command", "LabbookCommands", "found"]

MOST = 40
"""Hits that are listed; whoever wants others types more."""


@dataclass(frozen=True)
class Command:
    """One line of the palette."""

    text: str
    about: str
    act: Callable[[], object]


def found(commands: Iterable[Command], typed: str) -> list[tuple[float, Command]]:
    """(score, command) for those that hold all words typed: whole, then at the start, then in."""
    words = typed.lower().split()
    hits: list[tuple[float, Command]] = []
    for command in commands:
        text = command.text.lower()
        if all(word in text for word in words):
            is_start = text.startswith(words[0]) if words else False
            score = 1.0 if text == typed.lower().strip() else 0.9 if is_start else 0.6
            hits.append((score - min(len(text), 100) / 1000, command))
    hits.sort(key=lambda hit: -hit[0])
    return hits[:MOST]


class LabbookCommands(Provider):
    """Everything the palette offers; what is typed is sought as plain words, not letter by letter.

    Ten thousand runs are one pass of `in` over their names.
    """

    async def discover(self) -> Hits:
        """Pages and actions, before anything is typed."""
        for command in self._fixed():
            yield DiscoveryHit(Content(command.text), command.act, help=command.about)

    async def search(self, query: str) -> Hits:
        """What holds the words typed."""
        for score, command in found([*self._fixed(), *self._named()], query):
            yield Hit(score, Content(command.text), command.act, help=command.about)

    @property
    def _host(self) -> LabbookApp:
        return cast("LabbookApp", self.app)

    def _fixed(self) -> Iterator[Command]:
        host = self._host
        for key, what in EVERYWHERE:
            if len(key) == 1 and key.isdigit():
                yield Command(f"page: {what}", key, partial(host.go, int(key)))
        yield Command("page: this machine", "m", host.action_host)
        yield Command("copy", "what is under the cursor", host.action_copy)
        yield Command("export", "CSV, and SVG of curves", host.action_export)
        yield Command("picture", "the chart as PNG; needs pillow", host.action_picture)
        yield Command("theme", "light or dark", host.action_theme)
        yield Command("mouse", "on or off: off lets the terminal select text", host.action_mouse)
        yield Command("help", "all keys", host.action_help)
        yield Command("quit", "leave labbook", host.action_quit)
        yield from self._keys()

    def _keys(self) -> Iterator[Command]:
        """The first section of the page's help: its own keys."""
        screen = self.screen
        sections = screen.helped() if isinstance(screen, BaseScreen) else []
        for title, keys in sections[:1]:
            for key, what in keys:
                press = partial(self._host.press, key.split()[0])
                yield Command(f"{title.lower()}: {what}", key, press)

    def _named(self) -> Iterator[Command]:
        host = self._host
        for run in host.known_runs():
            name = f"run: {clean(run.name)}  {clean(run.id)}"
            yield Command(name, run.state, partial(host.open_run, run.id))
        for series in host.known_series():
            yield Command(f"series: {clean(series)}", "curves", partial(host.find_series, series))
