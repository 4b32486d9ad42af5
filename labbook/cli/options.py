"""What several verbs have in common: `--book`, `--json`, and the book they open."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

if TYPE_CHECKING:
    from labbook.book.reading import Book

__all__ = ["SIZE", "book_option", "echo_json", "json_option", "open_here"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Size(click.ParamType[int]):
    """A number of bytes: `20GB`, `512 MiB`, `1.5T`, or digits alone."""

    name = "size"
    _UNITS: ClassVar[dict[str, int]] = {
        unit + ending: base ** (power + 1)
        for power, unit in enumerate("kmgt")
        for ending, base in (("", 1000), ("b", 1000), ("ib", 1024))
    }

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(value).lower())
        unit = {"": 1, "b": 1, **self._UNITS}.get(found[2]) if found else None
        if found is None or unit is None:
            self.fail(f"expected a size such as 20GB or 512MiB, got {value!r}", param, ctx)
        return int(float(found[1]) * unit)


SIZE = _Size()


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
