"""What several verbs have in common: `--book`, `--json`, and the book they open."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from labbook.book.reading import Book

__all__ = ["book_option", "echo_json", "json_option", "open_here"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _or_of_the_group(ctx: click.Context, _: click.Parameter, value: str | None) -> str | None:
    """`labbook --book X ls` and `labbook ls --book X` mean the same."""
    return value if value is not None else ctx.find_root().obj


def book_option(command: _Command) -> _Command:
    """Give a verb `--book`; its function gets `book: str | None`."""
    return click.option(
        "--book",
        metavar="FOLDER",
        callback=_or_of_the_group,
        help="The book (default: LABBOOK_DIR, else the nearest .labbook).",
    )(command)


def json_option(command: _Command) -> _Command:
    """Give a verb `--json`; its function gets `as_json: bool`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(command)


def open_here(book: str | None) -> Book:
    """Open the book that `--book` names, or the one found from here."""
    import labbook

    return labbook.open(book)


def echo_json(value: Any) -> None:
    """Print strict JSON; see `labbook.export.strict` for what JSON lacks."""
    from labbook.export.strict import strict

    click.echo(json.dumps(strict(value), indent=2, ensure_ascii=False))
