"""`labbook tui`, and `labbook` alone: the terminal program."""

from __future__ import annotations

import os
import sys

import click

from labbook.cli.options import book_option

__all__ = ["open_terminal", "tui"]


@click.command()
@click.argument("run", required=False)
@click.option(
    "--plain-driver",
    is_flag=True,
    help="Let Textual draw whole regions: for a terminal on which single cells go wrong.",
)
@book_option
def tui(run: str | None = None, plain_driver: bool = False, book: str | None = None) -> None:
    """Open the terminal program, on RUN when one is named.

    It reads the book and never writes; q leaves it, ? shows all keys.
    """
    open_terminal(book, run, plain_driver=plain_driver)


def open_terminal(
    book: str | None, run: str | None, *, page: str = "curves", plain_driver: bool = False
) -> None:
    """Open the terminal program, on a page of a run when one is named."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.ClickException(
            "the terminal program needs a terminal on stdin and stderr; in a pipe use labbook ls"
        )
    if os.environ.get("TERM", "dumb") == "dumb":
        raise click.ClickException("TERM is 'dumb', which cannot place text: use labbook ls")
    from labbook_tui.start import start

    start(book, run, page=page, plain_driver=plain_driver)
