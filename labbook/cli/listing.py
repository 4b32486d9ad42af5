"""`labbook ls`: the run table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from labbook.book.fields import Fields, seconds_taken
from labbook.cli.columns import named_column, usual_columns
from labbook.cli.options import book_option, echo_json, json_option, open_here
from labbook.cli.tables import render, terminal_width
from labbook.cli.wording import short_ids, value_text

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook.book.summary import RunSummary

__all__ = ["chosen_runs", "ls", "selection_options", "summary_object"]

_ON_A_TERMINAL = 40
"""Runs listed on a terminal when --limit does not say; a pipe gets them all."""


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb --where, --sort and --limit."""
    for option in (
        click.option("--limit", type=click.IntRange(0), help="At most this many; 0 is all."),
        click.option("--sort", metavar="FIELD", help="Sort by a field; -FIELD: the other way."),
        click.option("--where", metavar="FILTER", help="Only runs that match; see above."),
    ):
        command = option(command)
    return command


@click.command()
@click.option("--columns", metavar="A,B,…", help="Exactly these fields, comma-separated.")
@click.option("--group-by", metavar="A,B,…", help="Fold runs that share these: mean ± std.")
@selection_options
@json_option
@book_option
def ls(
    *,
    book: str | None,
    as_json: bool,
    where: str | None,
    sort: str | None,
    limit: int | None,
    columns: str | None,
    group_by: str | None,
) -> None:
    """List the runs, newest first.

    \b
    Filter, sort and columns speak of fields:
      id name state age duration created dirty commit branch host group tag
      checkpoints results faults
      lr or args.lr              an argument; the last part of its name is enough
      loss, last.loss, min.loss, max.loss, count.loss      a series
      accuracy or validation.accuracy    a metric of the newest checkpoint

    \b
    A filter compares them with = != < <= > >= ~ (contains), !~ and : (begins
    with or contains), joined by and (or a space), or, not (or -) and brackets;
    a,b is either. A field alone asks whether it is set, any other word is
    looked for in name, id, state, group, tags and arguments:
      labbook ls --where 'lr>1e-3 and model=cnn and state=running and dirty'
      labbook ls --where 'age<2d and not tag=baseline' --sort -validation.accuracy
      labbook ls --where 'val/loss<0.5 state:running,failed since:7d -tag:debug'
    """
    opened = open_here(book)
    every = opened.summaries()
    # over thousands of runs, to know all their fields takes longer than all the rest
    fields = Fields(every if where or sort or columns else ())
    runs = chosen_runs(every, fields, where, sort)
    if group_by and runs:
        _ls_grouped(opened, runs, group_by, columns, as_json)
        return
    if limit is None:
        limit = 0 if as_json or terminal_width() is None else _ON_A_TERMINAL
    shown = runs[:limit] if limit else runs
    if as_json:
        echo_json([summary_object(run) for run in shown])
        return
    if not shown:
        reason = f"no run matches {where!r}" if every else f"no runs in {opened.root} yet"
        click.echo(reason, err=True)
        return
    ids = short_ids([run.id for run in shown], [run.id for run in every])
    table = (
        [named_column(fields[name.strip()], shown, ids) for name in columns.split(",")]
        if columns
        else usual_columns(Fields(shown), shown, ids)
    )
    lines, n_left_out = render(table, terminal_width())
    click.echo("\n".join(lines))
    if len(shown) < len(runs):
        click.echo(f"… and {len(runs) - len(shown)} older runs: --limit 0 lists all", err=True)
    if n_left_out:
        click.echo(f"({n_left_out} more columns need a wider terminal, or --columns)", err=True)


def _ls_grouped(
    book: Book, runs: Sequence[RunSummary], group_by: str, columns: str | None, as_json: bool
) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    from labbook.cli.tables import Column
    from labbook.export.grouping import fold, group

    table = book.runs()
    ids = pa.array([run.id for run in runs], pa.string())
    chosen = table.filter(pc.is_in(table.column("id"), value_set=ids))
    metrics = [name.strip() for name in columns.split(",")] if columns else []
    grouped = group(chosen, [name.strip() for name in group_by.split(",")], metrics)
    if as_json:
        echo_json(grouped.to_pylist())
        return
    titles, rows, _ = fold(grouped)
    cells = [[row[i] for row in rows] for i in range(len(titles))]
    n_keys = group_by.count(",") + 2  # the fields, and how many runs
    table_of_text = [
        Column(title, cell, rank=0 if i < n_keys else i, is_number=True)
        for i, (title, cell) in enumerate(zip(titles, cells, strict=True))
    ]
    lines, n_left_out = render(table_of_text, terminal_width())
    click.echo("\n".join(lines))
    if n_left_out:
        click.echo(f"({n_left_out} more columns need a wider terminal, or --columns)", err=True)


def chosen_runs(
    runs: Sequence[RunSummary], fields: Fields, where: str | None, sort: str | None
) -> list[RunSummary]:
    """Return the runs that match, in the order asked for; those without the field come last."""
    from labbook.book.filtering import parse

    test = parse(where, fields) if where else None
    chosen = [run for run in runs if test is None or test(run)]
    if sort:
        field = fields[sort.removeprefix("-")]
        by = field.order or field.get
        having = [run for run in chosen if _order(by(run)) is not None]
        lacking = [run for run in chosen if _order(by(run)) is None]
        having.sort(key=lambda run: _order(by(run)) or (0, 0), reverse=sort.startswith("-"))
        chosen = having + lacking
    return chosen


def _order(value: Any) -> tuple[int, Any] | None:
    """Numbers before text; None and NaN have no place."""
    if value is None or _is_nan(value):
        return None
    return (0, value) if isinstance(value, int | float) else (1, value_text(value))


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def summary_object(run: RunSummary) -> dict[str, Any]:
    """Return what `ls --json` prints of one run; times are Unix nanoseconds."""
    return {
        "id": run.id,
        "name": run.name,
        "group": run.group,
        "tags": list(run.tags),
        "parent": run.parent,
        "state": run.state,
        "why": run.why,
        "created_ns": run.created_ns,
        "ended_ns": run.ended_ns,
        "seen_ns": run.seen_ns,
        "duration_s": seconds_taken(run),
        "attempt": run.attempt,
        "host": run.host,
        "arguments": run.arguments,
        "git": {
            "commit": run.commit,
            "branch": run.branch,
            "dirty": None if run.dirty is None else list(run.dirty),
        },
        "series": {
            name: {"last": s.last, "step": s.step, "min": s.min, "max": s.max, "count": s.count}
            for name, s in run.stats.items()
        },
        "results": run.results,
        "n_checkpoints": run.n_checkpoints,
        "n_results": run.n_results,
        "faults": run.faults,
    }
