"""Draw the terminal program on a book as an SVG: the picture in the README.

    python tui/picture.py BOOK [--run NAME] [--keys "j 3"] [--size 120x36] [--out tui/screen.svg]

The app itself draws it, headless; keys are Textual's names, pressed one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from labbook.book.reading import Book
from labbook.paths import open_book
from labbook_tui.app import LabbookApp
from labbook_tui.read.library import Library

PATIENCE = 600
"""Looks, a tenth of a second apart, before a screen that is still being read is drawn as it is."""


async def draw(book: Path, size: tuple[int, int], keys: list[str], run: str | None) -> str:
    """The screen after these keys, as SVG."""
    paths = open_book(book)
    run_id = Book(paths).run(run).id if run else None
    app = LabbookApp(paths.root, lambda: Library(Book(paths)), run=run_id)
    async with app.run_test(size=size) as pilot:
        await _settled(app)
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
            await _settled(app)
        return app.export_screenshot(title="labbook")


async def _settled(app: LabbookApp) -> None:
    """Wait until nothing on the screen is still being read."""
    for _ in range(PATIENCE):
        await asyncio.sleep(0.1)
        strips = app.screen._compositor.render_strips()
        if not any("reading" in strip.text for strip in strips):
            return


def main() -> None:
    """Read the arguments and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("book", type=Path)
    parser.add_argument("--run", help="open this run")
    parser.add_argument("--keys", default="", help="keys to press, separated by blanks")
    parser.add_argument("--size", default="120x36", help="columns x rows")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "screen.svg")
    args = parser.parse_args()
    columns, rows = (int(number) for number in args.size.split("x"))
    svg = asyncio.run(draw(args.book, (columns, rows), args.keys.split(), args.run))
    args.out.write_text(svg)
    print(args.out)


if __name__ == "__main__":
    main()
