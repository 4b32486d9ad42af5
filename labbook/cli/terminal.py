"""`labbook tui`, and `labbook` alone: the terminal program."""

from __future__ import annotations

import os
import shlex
import sys

import click

from labbook.cli.options import book_option
from labbook.errors import BookNotFound

__all__ = ["open_demo", "open_terminal", "tui"]


@click.command()
@click.argument("run", required=False)
@click.option(
    "--plain-driver",
    is_flag=True,
    help="Let Textual draw whole regions: for a terminal on which single cells go wrong.",
)
@click.option(
    "--ascii", "ascii_only", is_flag=True, help="No braille and no symbols: for a font without."
)
@click.option(
    "--images",
    type=click.Choice(["auto", "kitty", "sixel", "blocks", "off"]),
    default="auto",
    show_default=True,
    help="How pictures are shown; auto: as the terminal says it can, never within tmux.",
)
@click.option("--demo", is_flag=True, help="Open a recorded book that comes with labbook.")
@click.option("--serve", is_flag=True, help="Print how to show it in a browser, and exit.")
@book_option
def tui(
    run: str | None = None,
    *,
    plain_driver: bool = False,
    ascii_only: bool = False,
    images: str = "auto",
    demo: bool = False,
    serve: bool = False,
    book: str | None = None,
) -> None:
    """Open the terminal program, on RUN when one is named.

    It reads the book and never writes; q leaves it, ? shows all keys.
    """
    if demo and book is not None:
        raise click.UsageError("--demo opens a book of its own: leave out --demo or --book")
    if serve:
        click.echo(_how_to_serve(book, run, demo))
    elif demo:
        open_demo(run, plain_driver=plain_driver, ascii_only=ascii_only, images=images)
    else:
        open_terminal(book, run, plain_driver=plain_driver, ascii_only=ascii_only, images=images)


def _how_to_serve(book: str | None, run: str | None, demo: bool) -> str:
    words = ["labbook", "tui", "--plain-driver", *(["--demo"] if demo else [])]
    words += [run] if run else []
    words += ["--book", book] if book else []
    return (
        "In a browser, on this machine only, by Textual's own server:\n"
        "  pip install textual-dev\n"
        f"  textual serve {shlex.quote(shlex.join(words))}\n"
        "then open http://localhost:8000 (from elsewhere: ssh -L 8000:localhost:8000 HOST)."
    )


def open_terminal(
    book: str | None,
    run: str | None,
    *,
    page: str = "curves",
    plain_driver: bool = False,
    ascii_only: bool = False,
    images: str = "auto",
) -> None:
    """Open the terminal program, on a page of a run when one is named."""
    _need_terminal()
    from labbook_tui.start import start

    try:
        start(book, run, page=page, plain_driver=plain_driver, ascii_only=ascii_only, images=images)
    except BookNotFound as error:
        raise BookNotFound(f"{error}. To see a recorded one: labbook tui --demo") from None


def open_demo(
    run: str | None,
    *,
    plain_driver: bool = False,
    ascii_only: bool = False,
    images: str = "auto",
) -> None:
    """Open the recorded book, unpacked into a temporary folder for as long as it is shown."""
    _need_terminal()
    from labbook_tui.start import start_demo

    start_demo(run, plain_driver=plain_driver, ascii_only=ascii_only, images=images)


def _need_terminal() -> None:
    """Raise where the terminal program could not be shown."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.ClickException(
            "the terminal program needs a terminal on stdin and stderr; in a pipe use labbook ls"
        )
    if os.environ.get("TERM", "dumb") == "dumb":
        raise click.ClickException(
            "TERM is 'dumb', which cannot place text: use labbook ls, or labbook tail RUN"
        )
