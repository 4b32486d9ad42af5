"""Where the program begins: find the book first, so that a missing one is said on a plain line."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from labbook.paths import open_book
from labbook_tui.app import LabbookApp
from labbook_tui.driver import DiffDriver
from labbook_tui.images.protocol import images_for

if TYPE_CHECKING:
    from labbook_tui.read.library import Library

__all__ = ["start", "start_demo"]


def start(
    book: str | None,
    run: str | None = None,
    *,
    page: str = "curves",
    plain_driver: bool = False,
    ascii_only: bool = False,
    images: str = "auto",
    is_remembered: bool = True,
) -> None:
    """Open the book and show it until the user leaves; with `run`, on that page of it.

    Without a run, `page="host"` begins with this machine. With `is_remembered` false, how it is
    looked at is not kept for the next time.

    `images`: auto, kitty, sixel, blocks or off; see `labbook_tui.images.protocol`.

    Raises `MisuseError` for images that cannot be shown here, `BookNotFound`, and `RunNotFound` or
    `AmbiguousRun` for `run`, before the screen changes.
    """
    shown = images_for(images, os.environ, has_cells=not plain_driver)
    paths = open_book(book)
    run_id = _run_id(book, run) if run is not None else None

    def library() -> Library:
        from labbook.book.reading import Book
        from labbook_tui.read.library import Library

        return Library(Book(paths))

    app = LabbookApp(
        paths.root,
        library,
        run=run_id,
        page=page,
        driver_class=None if plain_driver else DiffDriver,
        ascii_only=ascii_only,
        images=shown,
        is_remembered=is_remembered,
    )
    app.run()
    if app.return_code:
        sys.exit(app.return_code)


def start_demo(
    run: str | None = None,
    *,
    plain_driver: bool = False,
    ascii_only: bool = False,
    images: str = "auto",
) -> None:
    """Open the recorded book that comes with labbook; nothing of it stays.

    Raises `RunNotFound` or `AmbiguousRun` for `run`, and `StoreError` where it cannot be unpacked.
    """
    from labbook_tui.demo import unpacked

    with unpacked() as book:
        start(
            str(book),
            run,
            plain_driver=plain_driver,
            ascii_only=ascii_only,
            images=images,
            is_remembered=False,
        )


def _run_id(book: str | None, which: str) -> str:
    import labbook

    return labbook.open(book).run(which).id
