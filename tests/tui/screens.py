"""The real app under Textual's pilot, and its screen as text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from labbook_tui.app import LabbookApp


def app_on(book: Path, run: str | None = None, page: str = "curves") -> LabbookApp:
    """The app on a book, with Textual's headless driver."""

    def library():
        from labbook.book.reading import Book
        from labbook.paths import open_book
        from labbook_tui.read.library import Library

        return Library(Book(open_book(book)))

    return LabbookApp(book, library, run=run, page=page)


def screen_text(app: LabbookApp) -> str:
    """What stands on the screen, line by line."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


async def until(pilot: Pilot[None], seen: Callable[[str], bool] | str) -> str:
    """Wait until the screen satisfies `seen` (or holds the text), and return it."""
    test = seen if callable(seen) else lambda text: seen in text
    for _ in range(1000):
        text = screen_text(pilot.app)  # type: ignore[arg-type]
        if test(text):
            return text
        await asyncio.sleep(0.02)
        await pilot.pause()
    raise AssertionError(f"never seen: {seen!r} on\n{text}")
