"""`labbook tail`: what a run logs, a line an update: for pipes, and terminals that place no text.

The run's files are polled by size, as every reader does: no inotify watch slows its logging.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click

from labbook.book.text import clean
from labbook.cli.options import book_option, open_here
from labbook.cli.wording import local_time, number_text

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["tail"]

Update = dict[str, Any]


@click.command()
@click.argument("run")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=10, show_default=True)
@click.option(
    "--series", multiple=True, metavar="NAME", help="Only this one (again for more; * any text)."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@book_option
def tail(*, book: str | None, run: str, lines: int, series: tuple[str, ...], as_json: bool) -> None:
    """Print what RUN logged last, then each update as it comes, until the run ends.

    Ctrl-C leaves it; the run is not touched. How the run ended is said on stderr.
    """
    reader = open_here(book).run(run)
    try:
        for update in _updates(reader, series, lines):
            click.echo(_json(update) if as_json else _line(update))
    except KeyboardInterrupt:
        return
    if series and not any(_is_chosen(name, series) for name in reader.names()):
        known = ", ".join(map(clean, reader.names())) or "none"
        raise click.ClickException(f"no series of {clean(run)} is called so; there are: {known}")
    click.echo(f"{clean(reader.summary().name)}: {reader.state.name}", err=True)


def _is_chosen(name: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _updates(reader: RunReader, series: tuple[str, ...], lines: int) -> Iterator[Update]:
    """The last updates there are, then all that come."""
    is_first = True
    for table in reader.follow():
        found = _grouped(table, series)
        yield from deque(found, lines) if is_first else found
        is_first = False


def _grouped(table: Any, series: tuple[str, ...]) -> Iterator[Update]:
    """Rows of one time and step are one update: they were logged together."""
    update: Update = {}
    times = table.column("time").cast("int64").to_pylist()
    columns = [table.column(name).to_pylist() for name in ("step", "name", "value")]
    for time_ms, step, name, value in zip(times, *columns, strict=True):
        if not _is_chosen(name, series):
            continue
        is_same = (update.get("time_ms"), update.get("step")) == (time_ms, step)
        if update and (not is_same or name in update["values"]):
            yield update
            update = {}
        update = update or {"time_ms": time_ms, "step": step, "values": {}}
        update["values"][name] = value
    if update:
        yield update


def _json(update: Update) -> str:
    from labbook.export.strict import strict

    return json.dumps(strict(update), ensure_ascii=False)


def _line(update: Update) -> str:
    time = local_time(update["time_ms"] * 1_000_000) if update["time_ms"] is not None else "?"
    step = "–" if update["step"] is None else update["step"]
    values = (f"{clean(name)} {number_text(value)}" for name, value in update["values"].items())
    return "  ".join([time, f"step {step}", *values])
