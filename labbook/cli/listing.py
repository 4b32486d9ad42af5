"""`labbook ls`: the run table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from labbook.book.text import clean
from labbook.cli.fields import Field, Fields, seconds_taken
from labbook.cli.options import book_option, echo_json, json_option, open_here
from labbook.cli.tables import Column, render, terminal_width
from labbook.cli.wording import number_text, seconds_text, short_ids, state_paint, value_text

if TYPE_CHECKING:
    from labbook.book.reading import RunSummary

__all__ = ["chosen_runs", "ls", "selection_options", "summary_object"]

_ON_A_TERMINAL = 40
"""Runs listed on a terminal when --limit does not say; a pipe gets them all."""

_MORE_IS_BETTER = re.compile(
    r"acc|auc|f1|precision|recall|bleu|rouge|reward|score|iou|psnr|ssim|r2"
)


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb --where, --sort and --limit."""
    for option in (
        click.option("--limit", type=click.IntRange(0), help="At most this many; 0 is all."),
        click.option(
            "--sort", metavar="FIELD", help="Sort by a field; -FIELD sorts the other way."
        ),
        click.option("--where", metavar="FILTER", help="Only runs that match; see above."),
    ):
        command = option(command)
    return command


@click.command()
@click.option("--columns", metavar="A,B,…", help="Exactly these fields, comma-separated.")
@selection_options
@json_option
@book_option
def ls(
    book: str | None,
    as_json: bool,
    where: str | None,
    sort: str | None,
    limit: int | None,
    columns: str | None,
) -> None:
    """List the runs, newest first.

    \b
    Filter, sort and columns speak of fields:
      id name state age duration created dirty commit branch host group tag
      checkpoints results faults
      lr or args.lr              an argument; the last part of its name is enough
      loss, last.loss, min.loss, max.loss, count.loss      a series
      validation.accuracy        a metric of the newest evaluated checkpoint

    \b
    A filter compares them with = != < <= > >= ~ (contains) and !~, joined by
    and, or, not and brackets; a field alone asks whether it is set:
      labbook ls --where 'lr>1e-3 and model=cnn and state=running and dirty'
      labbook ls --where 'age<2d and not tag=baseline' --sort -validation.accuracy
    """
    opened = open_here(book)
    every = opened.summaries()
    fields = Fields(every)
    runs = chosen_runs(every, fields, where, sort)
    if limit is None:
        limit = 0 if as_json or terminal_width() is None else _ON_A_TERMINAL
    shown = runs[:limit] if limit else runs
    if as_json:
        echo_json([summary_object(run) for run in shown])
        return
    if not shown:
        click.echo(
            f"no run matches {where!r}" if every else f"no runs in {opened.root} yet", err=True
        )
        return
    ids = short_ids([run.id for run in shown], [run.id for run in every])
    table = (
        [_named_column(fields[name.strip()], shown, ids) for name in columns.split(",")]
        if columns
        else _usual_columns(Fields(shown), shown, ids)
    )
    lines, n_left_out = render(table, terminal_width())
    click.echo("\n".join(lines))
    if len(shown) < len(runs):
        click.echo(f"… and {len(runs) - len(shown)} older runs: --limit 0 lists all", err=True)
    if n_left_out:
        click.echo(f"({n_left_out} more columns need a wider terminal, or --columns)", err=True)


def chosen_runs(
    runs: Sequence[RunSummary], fields: Fields, where: str | None, sort: str | None
) -> list[RunSummary]:
    """Return the runs that match, in the order asked for; those without the field come last."""
    from labbook.cli.filtering import parse

    test = parse(where, fields) if where else None
    chosen = [run for run in runs if test is None or test(run)]
    if sort:
        field = fields[sort.removeprefix("-")]
        having = [run for run in chosen if _order(field.get(run)) is not None]
        lacking = [run for run in chosen if _order(field.get(run)) is None]
        having.sort(key=lambda run: _order(field.get(run)) or (0, 0), reverse=sort.startswith("-"))
        chosen = having + lacking
    return chosen


def _order(value: Any) -> tuple[int, Any] | None:
    """Numbers before text; None and NaN have no place."""
    if value is None or value != value:
        return None
    return (0, value) if isinstance(value, int | float) else (1, value_text(value))


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


def _named_column(field: Field, runs: Sequence[RunSummary], ids: list[str]) -> Column:
    if field.name == "id":
        return Column("id", ids)
    values = [field.get(run) for run in runs]
    if field.is_seconds:
        return Column(field.name, [seconds_text(value) for value in values], is_number=True)
    are_numbers = all(value is None or isinstance(value, int | float) for value in values)
    if are_numbers and not any(isinstance(value, bool) for value in values):
        return Column(field.name, [number_text(value) for value in values], is_number=True)
    texts = [" ".join(v) if isinstance(v, tuple) else value_text(v) for v in values]
    return Column(field.name, texts, can_shrink=True)


def _usual_columns(fields: Fields, runs: Sequence[RunSummary], ids: list[str]) -> list[Column]:
    states = {clean(run.state): state_paint(run.state) for run in runs}
    marks = ["?" if run.dirty is None else "*" if run.dirty else "" for run in runs]
    columns = [
        Column("id", ids),
        Column(
            "state",
            [run.state for run in runs],
            paint=lambda text: states.get(text.strip(), str)(text),
        ),
        Column("name", [run.name for run in runs], rank=4, can_shrink=True),
        _named_column(fields["age"], runs, ids),
        Column("took", [seconds_text(seconds_taken(run)) for run in runs], rank=7, is_number=True),
        Column("dirty", marks, rank=3),
    ]
    columns[3].rank = 6
    return columns + _argument_columns(fields, runs) + _series_columns(fields, runs)


def _argument_columns(fields: Fields, runs: Sequence[RunSummary]) -> list[Column]:
    """Return the arguments in which the runs differ; all of them for a single run."""
    columns = []
    for field in fields.arguments.values():
        texts = [value_text(field.get(run)) for run in runs]
        if len(runs) == 1 or len(set(texts)) > 1:
            are_numbers = all(isinstance(field.get(run), int | float | None) for run in runs)
            columns.append(
                Column(field.name, texts, rank=8, is_number=are_numbers, can_shrink=not are_numbers)
            )
    return columns


def _series_columns(fields: Fields, runs: Sequence[RunSummary]) -> list[Column]:
    """Return the last and best value of the main series, and the newest results."""
    columns = []
    if main := _main_series(fields, runs):
        best = "max" if _MORE_IS_BETTER.search(main.lower()) else "min"
        for rank, stat in ((1, "last"), (2, best)):
            texts = [number_text(fields.series[main][stat].get(run)) for run in runs]
            title = main if stat == "last" else f"{stat} {main}"
            columns.append(Column(title, texts, rank=rank, is_number=True))
    for field in fields.metrics.values():
        is_score = bool(_MORE_IS_BETTER.search(field.name.lower()))
        texts = [number_text(field.get(run)) for run in runs]
        columns.append(Column(field.name, texts, rank=1 if is_score else 9, is_number=True))
    return columns


def _main_series(fields: Fields, runs: Sequence[RunSummary]) -> str | None:
    """`loss`, else a series with loss in its name, else the one most runs have."""

    def preference(name: str) -> tuple[bool, bool, int, str]:
        n_runs = sum(name in run.stats for run in runs)
        return (name != "loss", "loss" not in name.lower(), -n_runs, name)

    return min(fields.series, key=preference, default=None)
