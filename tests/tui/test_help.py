"""Every key is explained in the help of its place, and every key in a footer does something."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.app import App
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.screen import Screen

from labbook_tui.app import LabbookApp
from labbook_tui.bars import Keys
from labbook_tui.demo import unpacked
from labbook_tui.screens.base import BaseScreen
from labbook_tui.screens.help import EVERYWHERE
from tests.tui.screens import app_on
from tests.tui.snapshot import cells_of, settled

pytestmark = pytest.mark.timeout(180)

PLACES = {
    "runs": "",
    "runs-marked": "j j space j space",
    "columns": "E j space",
    "help": "question_mark",
    "curves": "j j 2",
    "chosen": "j j 3",
    "chosen-large": "j j 3 enter",
    "chosen-scatter": "j j 3 v",
    "chosen-quartiles": "j j 3 v v",
    "chosen-histogram": "j j 3 v v v",
    "chosen-summary": "j j 3 v v v v",
    "evaluations": "j j 4",
    "checkpoint": "j j 4 j enter",
    "machine": "j j 5",
    "conditions": "j j 6 G",
    "output": "j 7 slash f i l e enter",
    "events": "j 8",
    "compare": "space j j space j space 9 n",
    "compare-changes": "space j j space j space 9 v",
    "compare-results": "space j j space j space 9 v v",
    "host": "m",
}
"""Name → keys from the runs on."""
LONG = {"compare-changes", "compare-results", "machine"}
"""Places that have to be longer than the screen, or nothing would scroll."""
IDLE = {"compare-changes": {"a"}, "host": {"j k", "enter"}}
"""Keys of a footer with nothing to do in this book: no long section of changes, no live run."""
NAMES = {"←": "left", "→": "right", "↑": "up", "↓": "down", "esc": "escape"}


@pytest.fixture(scope="module")
def book() -> Iterator[Path]:
    with unpacked() as found:
        yield found


@asynccontextmanager
async def opened(book: Path, place: str):
    app = app_on(book)
    app.memory.is_kept = False
    async with app.run_test(size=(80, 15 if place in LONG else 24)) as pilot:
        await settled(pilot, "base-0")
        for key in PLACES[place].split():
            await pilot.press(key)
            await settled(pilot)
        yield pilot


def names_of(keys: str) -> list[str]:
    """Textual's names of the keys that the help and the footers write."""
    if len(keys) == 3 and keys[1] == "-":
        return [str(digit) for digit in range(int(keys[0]), int(keys[2]) + 1)]
    plain = [NAMES.get(key, key) for key in keys.split()]
    return [_character_to_key(key) if len(key) == 1 else key for key in plain]


def actions_of(screen: Screen) -> dict[tuple[object, str], set[str]]:
    """Whose action → its keys, of all that can be pressed here and is not Textual's own."""
    theirs = {binding.action for kind in (App, Screen) for _, binding in kind()._bindings}
    found: dict[tuple[object, str], set[str]] = {}
    for key, active in screen.active_bindings.items():
        if active.binding.action not in theirs:
            found.setdefault((active.node, active.binding.action), set()).add(key)
    return found


@pytest.mark.parametrize("place", [place for place in PLACES if place != "help"])
async def test_every_key_is_explained(book: Path, place: str) -> None:
    async with opened(book, place) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, BaseScreen)
        view = getattr(screen, "view", screen)
        sections = [keys for title, keys in screen.helped() if title in {screen.NAME, view.NAME}]
        explained = {
            name
            for keys in (EVERYWHERE, *sections)
            for written, _ in keys
            for name in names_of(written)
        }
        silent = {
            does: keys for (_, does), keys in actions_of(screen).items() if not keys & explained
        }
        assert silent == {}


@pytest.mark.parametrize("place", PLACES)
async def test_every_key_in_the_footer_works(book: Path, place: str) -> None:
    async with opened(book, place) as pilot:
        left = list(pilot.app.screen.query_one(Keys).keys)
    idle = []
    while left:  # one after the other in one app, until the screen is left
        async with opened(book, place) as pilot:
            screen = pilot.app.screen
            focused = screen.focused
            while left and pilot.app.screen is screen and screen.focused is focused:
                written, what = left.pop(0)
                keys = names_of(written)
                assert {*keys} <= screen.active_bindings.keys(), what
                if "q" not in keys and not await _changes(pilot, keys):
                    idle.append(written)
    for written in [key for key in idle if key not in IDLE.get(place, ())]:
        async with opened(book, place) as pilot:  # not after the others
            if await _changes(pilot, names_of(written)):
                idle.remove(written)
    assert {*idle} <= IDLE.get(place, set())


async def _changes(pilot: Pilot[None], keys: list[str]) -> bool:
    """Whether one of the keys changes what is on the screen."""
    app = pilot.app
    assert isinstance(app, LabbookApp)
    for key in keys:
        before = cells_of(app, "dark")
        await pilot.press(key)
        await settled(pilot)
        if cells_of(app, "dark") != before:
            return True
    return False
