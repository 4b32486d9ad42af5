"""Draw the terminal program as an SVG: the pictures in the README.

    python tui/picture.py BOOK [--run NAME] [--keys "j 3"] [--size 120x36] [--out picture.svg]
    python tui/picture.py --demo        # all of tui/pictures/, from the recorded book

The app itself draws, headless; keys are Textual's names, pressed one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from unittest.mock import patch

from cells import svg_of
from labbook.book.reading import Book
from labbook.paths import open_book
from labbook_tui.app import LabbookApp
from labbook_tui.demo import unpacked
from labbook_tui.palette import Ink
from labbook_tui.read.library import Library

FOLDER = Path(__file__).parent / "pictures"
PICTURES = {
    "runs": ((110, 30), "space j j j j j space b k k k k k"),
    "curves": ((110, 30), "j j j j 2" + 20 * " left"),
    "examples": ((110, 34), "j j j 3"),
    "evaluations": ((110, 28), "j j j 4 j"),
    "compare": ((110, 28), "space j j space j space 9 n l"),
}
"""Name → size, and keys from the runs on."""
PATIENCE = 600
"""Looks, a tenth of a second apart, before a screen that is still being read is drawn as it is."""


async def draw(book: Path, size: tuple[int, int], keys: list[str], run: str | None = None) -> str:
    """The screen after these keys, as SVG."""
    paths = open_book(book)
    run_id = Book(paths).run(run).id if run else None
    app = LabbookApp(paths.root, lambda: Library(Book(paths)), run=run_id, is_remembered=False)
    app._inks[True] = Ink()  # all colours, whatever this terminal has
    async with app.run_test(size=size) as pilot:
        await _settled(app)
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
            await _settled(app)
        table = app.ink.table
        strips = app.screen._compositor.render_strips()
        return svg_of(strips, f"#{table['text']}", f"#{table['background']}")


async def _settled(app: LabbookApp) -> None:
    """Wait until nothing on the screen is still being read."""
    for _ in range(PATIENCE):
        await asyncio.sleep(0.1)
        strips = app.screen._compositor.render_strips()
        if not app.feed.is_behind() and not any("reading" in strip.text for strip in strips):
            return


def draw_demo() -> None:
    """Every picture of the recorded book, as if looked at two hours after its last run."""
    FOLDER.mkdir(exist_ok=True)
    with unpacked() as book:
        found = Book(open_book(book))
        now = max(found.run(run_id).state.ended_ns or 0 for run_id in found.ids())
        with patch.object(time, "time_ns", lambda: now + 2 * 3600 * 10**9):
            for name, (size, keys) in PICTURES.items():
                path = FOLDER / f"{name}.svg"
                path.write_text(asyncio.run(draw(book, size, keys.split())))
                print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    """Read the arguments and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("book", type=Path, nargs="?")
    parser.add_argument("--demo", action="store_true", help="write all of tui/pictures/")
    parser.add_argument("--run", help="open this run")
    parser.add_argument("--keys", default="", help="keys to press, separated by blanks")
    parser.add_argument("--size", default="120x36", help="columns x rows")
    parser.add_argument("--out", type=Path, default=Path("picture.svg"))
    args = parser.parse_args()
    if args.demo is (args.book is not None):
        parser.error("expected a book, or --demo")
    if args.demo:
        draw_demo()
        return
    columns, rows = (int(number) for number in args.size.split("x"))
    args.out.write_text(asyncio.run(draw(args.book, (columns, rows), args.keys.split(), args.run)))
    print(args.out)


if __name__ == "__main__":
    main()
