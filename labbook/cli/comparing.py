"""`labbook diff` and `labbook lineage`: what changed between runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from labbook.cli.differences import NAMES, ancestor_lines, difference_lines, table_lines
from labbook.cli.options import book_option, echo_json, json_option, open_here
from labbook.cli.tables import has_colour

if TYPE_CHECKING:
    from labbook.compare import CodeDifference, Difference

__all__ = ["diff", "lineage"]


def _sections(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    if value is None:
        return NAMES
    asked = [word.strip() for word in value.split(",") if word.strip()]
    wrong = [word for word in asked if word not in NAMES]
    if wrong or not asked:
        raise click.BadParameter(f"{', '.join(wrong) or 'nothing'}; there are {', '.join(NAMES)}")
    return tuple(name for name in NAMES if name in asked)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="A B [C]...")
@click.option("--stat", is_flag=True, help="Name the changed files, without their lines.")
@click.option("--only", callback=_sections, metavar="SECTIONS", help=f"Some of {','.join(NAMES)}.")
@json_option
@book_option
def diff(
    *, book: str | None, runs: tuple[str, ...], stat: bool, only: tuple[str, ...], as_json: bool
) -> None:
    """Show what changed from run A to run B, and what came of it.

    The first line counts the changes: change one thing at a time. Of three or
    more runs, a table of what differs.

    \b
    One change is: each argument; the code as a whole; the script; the number
    of processes; packages, Python, machine, environment variables (one each);
    each data set; the data as given to the model, if nothing else tells why.
    Seeds are counted apart.

    On a terminal, what does not fit goes through $PAGER (less); q leaves it, and
    PAGER=cat does without.
    """
    if len(runs) < 2:
        raise click.UsageError("name two runs or more")
    from labbook import compare

    opened = open_here(book)
    readers = [opened.run(which) for which in runs]
    if len(readers) > 2:
        several = compare.table(readers)
        if as_json:
            echo_json(_pick(asdict(several) | {"headline": several.headline}, only))
        else:
            _page(table_lines(several, only))
        return
    found = compare.diff(*readers)
    if as_json:
        echo_json(_as_json(found, only, with_patch=not stat))
    else:
        _page(difference_lines(found, only, is_summary=stat))


@click.command()
@click.argument("run")
@click.option("--limit", "-n", type=click.IntRange(1), help="At most so many runs.")
@json_option
@book_option
def lineage(*, book: str | None, run: str, limit: int | None, as_json: bool) -> None:
    """Show from which runs RUN was derived, newest first, and each step's changes.

    A run says its parent (reruns do), or it is taken to come from the earlier
    run of the same script with the same code and the fewest changes.
    """
    from labbook import compare

    line = compare.lineage(open_here(book), run)[:limit]
    if as_json:
        echo_json([asdict(ancestor) for ancestor in line])
    else:
        _page(ancestor_lines(line))


def _page(lines: Iterator[str]) -> None:
    """Print to a pipe as it is, to a terminal through $PAGER."""
    # as git does: leave what fits on the screen there, and show colours
    os.environ.setdefault("LESS", "FRX")
    # click ends what it pages with a newline of its own
    first = next(lines)
    click.echo_via_pager(chain([first], (f"\n{line}" for line in lines)), color=has_colour())


def _pick(table: dict[str, Any], only: tuple[str, ...]) -> dict[str, Any]:
    for part in ("rows", "results"):
        table[part] = [row for row in table[part] if row["section"] in only]
    return table


def _as_json(found: Difference, only: tuple[str, ...], *, with_patch: bool) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for name in only:
        if name == "code":
            parts[name] = _code(found.code, with_patch=with_patch)
        elif name == "results":
            parts[name] = _results(found)
        else:
            parts[name] = asdict(found.section(name))
    return {
        "headline": found.headline,
        "a": asdict(found.a),
        "b": asdict(found.b),
        "changes": [asdict(change) for change in found.changes],
        "seed_changes": [asdict(change) for change in found.seed_changes],
        "unknown": found.unknown,
        "random_generators": found.generators,
        **parts,
    }


def _code(code: CodeDifference, *, with_patch: bool) -> dict[str, Any]:
    from labbook.errors import SnapshotError

    fields = ("is_changed", "unknown", "commit_a", "commit_b", "dirty_a", "dirty_b", "unlisted")
    about = {name: getattr(code, name) for name in fields}
    about |= {"editable": code.editable, "notes": code.notes}
    about["files"] = [asdict(file) for file in code.files]
    if with_patch:
        try:
            about["patch"] = code.patch()
        except SnapshotError as error:
            about["patch"], about["unlisted"] = None, str(error)
    return about


def _results(found: Difference) -> dict[str, Any]:
    results = asdict(found.results)
    for pair, shown in zip(found.results.series, results["series"], strict=True):
        shown["a"], shown["b"] = (stat and stat._asdict() for stat in (pair.a, pair.b))
    return results
