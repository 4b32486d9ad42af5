"""`labbook export`: tables of runs, to a file or a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labbook.book.fields import Fields
from labbook.cli.listing import chosen_runs, selection_options
from labbook.cli.options import book_option, open_here
from labbook.errors import MisuseError, StoreError
from labbook.export import BINARY, FORMATS, format_of, write

if TYPE_CHECKING:
    import pyarrow as pa

    from labbook.book.reading import Book
    from labbook.book.runreader import RunReader

__all__ = ["export"]


_LONG = 10
"""So many runs are worth a progress bar, on a terminal."""


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--runs", "all_runs", is_flag=True, help="The run table instead: one row a run.")
@click.option(
    "--table",
    type=click.Choice(["series", "gauges", "events", "chosen", "examples", "results", "rows"]),
    default="series",
    show_default=True,
    help="What of each run.",
)
@click.option("--series", "names", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@click.option("--set", "chosen_set", default="chosen", show_default=True, help="Which chosen set.")
@click.option("--evaluation", metavar="NAME", help="Only results of this evaluation.")
@click.option("-o", "--output", metavar="FILE", help="Write here (default: stdout).")
@click.option("--format", "form", type=click.Choice([*FORMATS]), help="Default: by FILE, else csv.")
@click.option("--group-by", metavar="FIELDS", help="Fold runs: mean and std of each metric.")
@selection_options
@book_option
def export(
    *,
    book: str | None,
    runs: tuple[str, ...],
    all_runs: bool,
    table: str,
    names: tuple[str, ...],
    chosen_set: str,
    evaluation: str | None,
    output: str | None,
    form: str | None,
    group_by: str | None,
    where: str | None,
    sort: str | None,
    limit: int | None,
) -> None:
    """Write tables as Parquet, Arrow, CSV, JSON lines, Markdown or LaTeX.

    \b
      labbook export RUN -o loss.parquet
      labbook export RUN --table rows -o rows.csv
      labbook export --runs --where 'lr>1e-3' --format markdown
      labbook export RUN --format jsonl | jq .value

    \b
    The tables of a run:
      series    step, time, name, value
      gauges    CPU, memory, disk, GPU: time, step, name, value
      events    what happened when
      examples  the inputs and targets of a chosen set
      chosen    its outputs and losses over the steps
      results   one row for each evaluated checkpoint, with its metrics
      rows      one row for each example of each of those

    With several runs, a column `run` comes first. --where, --sort and --limit go
    with --runs, and are explained by `labbook ls --help`. --group-by lr,model folds
    runs that differ in other things, such as the seed, to mean ± standard deviation;
    Markdown and LaTeX show the best of each column in bold.
    """
    if all_runs == bool(runs):
        raise MisuseError("export wants either runs (`labbook export RUN`) or --runs")
    if (where or sort or limit is not None or group_by) and not all_runs:
        raise MisuseError("--where, --sort, --limit and --group-by go with --runs")
    form = form or (format_of(output) if output else "csv")
    if form in BINARY and not output and sys.stdout.isatty():
        raise MisuseError(f"{form} is not for a terminal: give --output FILE, or pipe it")
    opened = open_here(book)
    if all_runs:
        found = _run_table(opened, where, sort, limit)
        if group_by:
            _deliver_grouped(found, group_by, form, output)
            return
    else:
        take = _taker(table, names, chosen_set, evaluation)
        found = _of_runs([opened.run(which) for which in runs], take)
    deliver(found, form, output)


def _run_table(book: Book, where: str | None, sort: str | None, limit: int | None) -> pa.Table:
    import pyarrow as pa

    runs = book.runs()
    if not (where or sort or limit):
        return runs
    summaries = book.summaries()
    chosen = chosen_runs(summaries, Fields(summaries), where, sort)
    places = {run_id: i for i, run_id in enumerate(runs.column("id").to_pylist())}
    rows = [places[run.id] for run in chosen if run.id in places]
    return runs.take(pa.array(rows[: limit or None], pa.int64()))


def _deliver_grouped(runs: pa.Table, group_by: str, form: str, output: str | None) -> None:
    from labbook.export import printed
    from labbook.export.grouping import group

    grouped = group(runs, [name.strip() for name in group_by.split(",")])
    texts = {"markdown": printed.folded_markdown, "latex": printed.folded_latex}
    if form in texts:
        deliver_text(texts[form](grouped), output)
    else:
        deliver(grouped, form, output)


def _of_runs(readers: list[RunReader], take: Callable[[RunReader], pa.Table]) -> pa.Table:
    import pyarrow as pa

    tables = []
    is_long = len(readers) >= _LONG and sys.stderr.isatty()
    with click.progressbar(readers, label="reading", file=sys.stderr, hidden=not is_long) as bar:
        for reader in bar:
            table = take(reader)
            if len(readers) > 1:
                ids = pa.array([reader.id] * table.num_rows, pa.string())
                table = table.add_column(0, "run", ids)
            tables.append(table)
    return pa.concat_tables(tables, promote_options="permissive")


def _taker(
    table: str, names: tuple[str, ...], chosen_set: str, evaluation: str | None
) -> Callable[[RunReader], pa.Table]:
    takers: dict[str, Callable[[RunReader], pa.Table]] = {
        "series": lambda run: _series(run, names),
        "gauges": lambda run: run.gauges(),
        "events": lambda run: run.events(),
        "chosen": lambda run: run.chosen(_existing_set(run, chosen_set)),
        "examples": lambda run: run.examples(_existing_set(run, chosen_set)),
        "results": lambda run: _results(run, evaluation),
        "rows": lambda run: _rows(run, evaluation),
    }
    return takers[table]


def _series(run: RunReader, names: tuple[str, ...]) -> pa.Table:
    import pyarrow as pa

    known = run.names()
    for name in names:
        if name not in known:
            raise MisuseError(f"run {run.id} has no series {name!r}; it has {', '.join(known)}")
    tables = []
    for name in names or known:
        points = run.series(name)
        tables.append(points.add_column(2, "name", pa.array([name] * points.num_rows, pa.string())))
    if not tables:
        raise MisuseError(f"run {run.id} has logged no series")
    return pa.concat_tables(tables)


def _existing_set(run: RunReader, name: str) -> str:
    known = run.chosen_sets()
    if name not in known:
        has = f"it has {', '.join(known)}" if known else "it followed none"
        raise MisuseError(f"run {run.id} has no chosen set {name!r}; {has}")
    return name


def _results(run: RunReader, evaluation: str | None) -> pa.Table:
    import pyarrow as pa

    rows = [
        {
            "evaluation": result.evaluation,
            "step": result.step,
            "checkpoint": result.checkpoint.get("file"),
            "digest": result.checkpoint.get("digest"),
            "subset": result.subset,
            "coverage": result.coverage,
            "n_examples": result.n_examples,
            **result.metrics,
            **{f"stderr.{name}": value for name, value in result.stderr.items()},
        }
        for result in run.results(evaluation)
    ]
    # a metric that only some evaluations have is null in the others
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: pa.array([row.get(name) for row in rows]) for name in columns})


def _rows(run: RunReader, evaluation: str | None) -> pa.Table:
    import pyarrow as pa

    tables = []
    for result in run.results(evaluation):
        rows = result.rows()
        rows = rows.add_column(0, "step", pa.array([result.step] * rows.num_rows, pa.int64()))
        names = pa.array([result.evaluation] * rows.num_rows, pa.string())
        tables.append(rows.add_column(0, "evaluation", names).replace_schema_metadata())
    if not tables:
        raise MisuseError(f"run {run.id} has no results to take rows from")
    return pa.concat_tables(tables, promote_options="permissive")


def deliver_text(text: str, output: str | None) -> None:
    """Write text to a file, whole or not at all, or to stdout."""
    if output is None or output == "-":
        click.echo(text, nl=False)
        return
    partial = Path(f"{output}.{os.getpid()}.tmp")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, output)
    except OSError as error:
        raise StoreError(f"{output} could not be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def deliver(table: pa.Table, form: str, output: str | None) -> None:
    """Write a table to a file, whole or not at all, or to stdout."""
    if output is None or output == "-":
        write(_for_terminal(table) if sys.stdout.isatty() else table, sys.stdout.buffer, form)
        sys.stdout.flush()
        return
    path = Path(output)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(partial, "xb") as file:
            write(table, file, form)
        os.replace(partial, path)
    except OSError as error:
        raise StoreError(f"{output} could not be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    click.echo(f"{output}: {table.num_rows} rows", err=True)


def _for_terminal(table: pa.Table) -> pa.Table:
    """Text from a run must not steer the terminal; files and pipes get it as it is."""
    import pyarrow as pa

    from labbook.book.text import clean

    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            texts = [None if v is None else clean(v) for v in table.column(i).to_pylist()]
            table = table.set_column(i, field.name, pa.array(texts, pa.string()))
    return table
