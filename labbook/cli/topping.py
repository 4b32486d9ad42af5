"""`labbook top`: this host and the runs on it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from labbook.book.text import clean
from labbook.book.throttle import HELD_BACK, decoded
from labbook.cli.machine import percent_text
from labbook.cli.options import book_option, echo_json, json_option, open_here
from labbook.cli.tables import Column, has_colour, render, terminal_width
from labbook.cli.wording import bytes_text, local_time, number_text
from labbook.errors import BookNotFound
from labbook.upkeep.host_now import host_now

if TYPE_CHECKING:
    from labbook.book.reading import Book

__all__ = ["top"]

Object = dict[str, Any]


@click.command()
@click.argument("run", required=False)
@click.option("--once", is_flag=True, help="Print this host as it is now, and exit.")
@json_option
@book_option
def top(*, book: str | None, run: str | None, once: bool, as_json: bool) -> None:
    """Watch the machine: GPUs, processors, memory, disks, and the runs on it.

    On a terminal it opens the terminal program on this machine, or, with RUN, on the page of what
    that run's machine did. With --once it prints the whole host once, with all
    its GPUs, and the last gauges of each such run in the book; --json is the same for scripts.
    """
    if once or as_json:
        if run is not None:
            raise click.UsageError("--once shows the host and all its runs: leave RUN out")
        found = host_now(_book_or_none(book))
        if as_json:
            echo_json(found)
        else:
            click.echo("\n".join(_lines(found)))
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.ClickException("no terminal to open the program on: labbook top --once prints")
    from labbook.cli.terminal import open_terminal

    open_terminal(book, run, page="host" if run is None else "machine")


def _book_or_none(book: str | None) -> Book | None:
    """The book named or found; the host can be shown without one, unless it was named."""
    try:
        return open_here(book)
    except BookNotFound:
        if book is not None:
            raise
        return None


# ---------------------------------------------------------------------- text


def _lines(found: Object) -> Iterator[str]:
    gauges = found["gauges"]
    title = f"{clean(found['host'])}  {local_time(found['time_ns'])}"
    yield click.style(title, bold=True) if has_colour() else title
    load = number_text(gauges["load.1m"])
    cores = f"{found['cores']} core{'s' if found['cores'] != 1 else ''}"
    yield f"  CPU      {percent_text(gauges['cpu.host_percent'])} of {cores}, load {load}"
    used = found["memory_bytes"] - gauges["memory.host_available_bytes"]
    swap = gauges["memory.host_swap_used_bytes"]
    swapped = f", {bytes_text(int(swap))} swapped out" if swap else ""
    yield f"  memory   {bytes_text(int(used))} of {bytes_text(found['memory_bytes'])}{swapped}"
    for word, came, went, verbs in (
        ("disks", "disk.read", "disk.write", ("read", "written")),
        ("network", "network.received", "network.sent", ("received", "sent")),
    ):
        rates = [_rate(gauges[f"{name}_bytes_per_s"]) for name in (came, went)]
        yield f"  {word:<7}  {verbs[0]} {rates[0]}, {verbs[1]} {rates[1]}"
    for title, rows in (
        ("Disks", _disks(found["disks"])),
        ("GPUs", _gpus(found)),
        ("Runs", _runs(found)),
    ):
        yield ""
        yield click.style(title, bold=True) if has_colour() else title
        yield from ("  " + row for row in rows)


def _rate(value: float | None) -> str:
    return "?" if value is None else f"{bytes_text(int(value))}/s"


def _disks(disks: list[Object]) -> list[str]:
    full = [100 * (1 - disk["free_bytes"] / disk["total_bytes"]) for disk in disks]
    return _table(
        [
            Column("path", [disk["path"] for disk in disks], can_shrink=True),
            _sizes("free", disks, "free_bytes"),
            _sizes("of", disks, "total_bytes"),
            Column("used", [percent_text(percent) for percent in full], is_number=True),
            Column("", ["the book" if disk["has_book"] else "" for disk in disks], rank=1),
        ]
    )


def _gpus(found: Object) -> list[str]:
    cards, reason = found["gpus"], found["gpu_reason"]
    lines = [clean(reason)] if reason else []
    if not cards:
        return lines or ["none"]

    def cells(name: str, unit: str) -> list[str]:
        return ["-" if card.get(name) is None else f"{card[name]:.0f}{unit}" for card in cards]

    held = [_held_back(card.get("throttle_bitmask")) for card in cards]
    table = _table(
        [
            Column("", [f"gpu.{card['index']}" for card in cards]),
            Column("name", [card["name"] or "?" for card in cards], can_shrink=True),
            Column("busy", cells("util_percent", " %"), is_number=True),
            _sizes("memory", cards, "memory_used_bytes"),
            _sizes("of", cards, "memory_total_bytes", rank=2),
            Column("power", cells("power_watts", " W"), rank=1, is_number=True),
            Column("temp", cells("temperature_celsius", " °C"), rank=1, is_number=True),
            Column("SM", cells("sm_clock_mhz", " MHz"), rank=3, is_number=True),
            Column("held back by", held, rank=3, can_shrink=True),
        ]
    )
    return table + lines


def _held_back(bitmask: float | None) -> str:
    if bitmask is None:
        return "-"
    return ", ".join(decoded(int(bitmask) & sum(HELD_BACK)))


def _runs(found: Object) -> list[str]:
    if found["book"] is None:
        return ["no book is found from here: --book names one"]
    runs = found["runs"]
    if not runs:
        return [clean(f"none of {found['book']} is being recorded on this host")]
    gauges = [run["gauges"] for run in runs]
    cards = [[name for name in each if name.endswith(".util_percent")] for each in gauges]
    busy = [
        " ".join(percent_text(each[name]) for name in names) or "-"
        for each, names in zip(gauges, cards, strict=True)
    ]
    return _table(
        [
            Column("id", [run["id"] for run in runs]),
            Column("name", [run["name"] for run in runs], can_shrink=True),
            Column("step", [number_text(run["step"]) for run in runs], is_number=True),
            Column("CPU", [_core(each.get("cpu.percent")) for each in gauges], is_number=True),
            _sizes("memory", gauges, "memory.rss_bytes"),
            Column("procs", [_count(g, "process.count") for g in gauges], rank=2, is_number=True),
            Column("GPUs busy", busy, rank=1),
        ]
    )


def _core(value: float | None) -> str:
    return "-" if value is None else percent_text(value)


def _count(gauges: Object, name: str) -> str:
    return number_text(gauges.get(name))


def _sizes(title: str, rows: list[Object], name: str, rank: int = 0) -> Column:
    values = [row.get(name) for row in rows]
    cells = [
        "-" if value is None or not math.isfinite(value) else bytes_text(int(value))
        for value in values
    ]
    return Column(title, cells, rank=rank, is_number=True)


def _table(columns: list[Column]) -> list[str]:
    width = terminal_width()
    return render(columns, None if width is None else width - 2)[0]
