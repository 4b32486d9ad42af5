"""Every page of the recorded book as text and styles, cell by cell, kept in `snapshots/`.

    python -m tests.tui.snapshot        writes them anew; look at the difference, then commit it

A snapshot has the rows of the screen, then for each row its styles as runs of cells: `c4 a76` is
four cells in style c and 76 in style a, as the list at the end names them. The clock stands still
two hours after the last run, in UTC. The page of this machine is left out: its values are alive.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from unittest.mock import patch

from rich.color import Color, ColorSystem
from rich.style import Style
from textual.pilot import Pilot
from textual.strip import Strip

import labbook
from labbook_tui.app import LabbookApp
from labbook_tui.demo import unpacked
from labbook_tui.palette import Ink
from tests.tui.screens import app_on, screen_text

FOLDER = Path(__file__).parent / "snapshots"
SIZES = ((80, 24), (120, 40))
LOOKS = ("dark", "light", "16")
LATER_NS = 2 * 3600 * 10**9

PAGES: dict[str, str] = {
    "runs": "",
    "runs-marked": "space j j space b j space",
    "runs-folded": "v j j enter",
    "runs-filter": "slash l r < . 0 1",
    "columns": "E",
    "help": "question_mark",
    "palette": "ctrl+p",
    "curves": "j j 2",
    "curves-large": "j j 2 n enter left left",
    "curves-failed": "j 2",
    "chosen": "j j 3",
    "chosen-large": "j j 3 enter",
    "chosen-scatter": "j j 3 v",
    "chosen-quartiles": "j j 3 v v",
    "chosen-histogram": "j j 3 v v v",
    "chosen-summary": "j j 3 v v v v",
    "evaluations": "j j 4",
    "checkpoint": "j j 4 enter",
    "checkpoint-beside": "j j 4 enter v",
    "machine": "j j 5",
    "conditions": "j j 6",
    "conditions-dirty": "6",
    "output": "j 7",
    "events": "j 8",
    "help-curves": "2 question_mark",
    "compare": "space j j space 9",
    "compare-changes": "space j j space 9 v",
    "compare-results": "space j j space 9 v v",
    "compare-three": "space j j space j space 9",
}
"""Name → keys from the runs on."""


def path_of(size: tuple[int, int], look: str, page: str) -> Path:
    """Where a snapshot lies."""
    return FOLDER / f"{size[0]}x{size[1]}-{look}" / f"{page}.txt"


@contextmanager
def still(book: Path) -> Iterator[None]:
    """The clock two hours after the last run of the book, in UTC."""
    runs = labbook.open(book)
    ended = [runs.run(run_id).state.ended_ns or 0 for run_id in runs.ids()]
    zone = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        with patch("time.time_ns", lambda: max(ended) + LATER_NS):
            yield
    finally:
        if zone is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = zone
        time.tzset()


async def looks(
    book: Path, size: tuple[int, int], page: str
) -> AsyncIterator[tuple[str, Pilot[None]]]:
    """(look, the app on that page with that look), in one app that is dressed anew."""
    app = app_on(book)
    app.memory.is_kept, app.memory.content = False, {}
    _dress(app, "dark")
    async with app.run_test(size=size) as pilot:
        await settled(pilot, "base-0")
        for key in PAGES[page].split():
            await pilot.press(key)
            await settled(pilot)
        # the palette takes every key, so the colours cannot change under it
        for look in LOOKS if page != "palette" else LOOKS[:1]:
            _dress(app, look)
            app.action_theme()
            app.action_theme()
            await settled(pilot)
            yield look, pilot


def _dress(app: LabbookApp, look: str) -> None:
    """Colours of a look, for what is drawn from here on."""
    depth = "16" if look == "16" else "truecolor"
    app._inks = {dark: Ink(depth, dark) for dark in (True, False)}  # type: ignore[arg-type]
    app.theme = "labbook-light" if look == "light" else "labbook-dark"


async def settled(pilot: Pilot[None], text: str = "") -> None:
    """Wait until everything wanted has been read and drawn."""
    app = pilot.app
    assert isinstance(app, LabbookApp)
    for _ in range(1000):
        if not app.feed.is_behind():
            await pilot.pause()  # what was read is drawn, and may want more
            shown = screen_text(app)
            if text in shown and "reading" not in shown and not app.feed.is_behind():
                return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never settled:\n{screen_text(app)}")


# ---------------------------------------------------------------------- as text


@dataclass(frozen=True)
class Cells:
    """A screen: its rows, and the style of each cell in words."""

    rows: list[str]
    styles: list[list[str]]


def cells_of(app: LabbookApp, look: str) -> Cells:
    """What stands on the screen now."""
    strips = app.screen._compositor.render_strips()
    return Cells(
        [strip.text for strip in strips], [_styles_of(strip, look == "16") for strip in strips]
    )


def _styles_of(strip: Strip, is_poor: bool) -> list[str]:
    found: list[str] = []
    for segment in strip:
        found += [_words(segment.style or Style.null(), is_poor)] * segment.cell_length
    return found


def _words(style: Style, is_poor: bool) -> str:
    names = ("bold", "dim", "italic", "underline", "reverse", "strike")
    words = [name for name in names if getattr(style, name)]
    words += [_color(style.color, is_poor)] if style.color else []
    words += [f"on {_color(style.bgcolor, is_poor)}"] if style.bgcolor else []
    return " ".join(words) or "plain"


def _color(color: Color, is_poor: bool) -> str:
    if is_poor:
        return str(color.downgrade(ColorSystem.STANDARD).number)
    return color.get_truecolor().hex if color.triplet else color.name


def as_text(cells: Cells) -> str:
    """A snapshot."""
    names: dict[str, str] = {}
    lines = [row.rstrip() for row in cells.rows] + [""]
    for styles in cells.styles:
        runs = [(names.setdefault(s, _name(len(names))), len([*g])) for s, g in groupby(styles)]
        lines.append(" ".join(f"{name}{count}" for name, count in runs))
    lines += ["", *(f"{name} {style}" for style, name in names.items())]
    return "\n".join(lines) + "\n"


def _name(number: int) -> str:
    """a, b … z, ba, bb …"""
    letters = "abcdefghijklmnopqrstuvwxyz"
    rest = _name(number // 26) if number >= 26 else ""
    return rest + letters[number % 26]


async def write_all() -> None:
    """Write every snapshot."""
    with unpacked() as book, still(book):
        for size in SIZES:
            for page in PAGES:
                async for look, pilot in looks(book, size, page):
                    path = path_of(size, look, page)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(as_text(cells_of(pilot.app, look)))  # type: ignore[arg-type]
                print(f"{size[0]}x{size[1]} {page}")


if __name__ == "__main__":
    asyncio.run(write_all())
