"""`labbook sql`: a SELECT over the book."""

from __future__ import annotations

import click

from labbook.cli.options import book_option, json_option, open_here

__all__ = ["sql"]


@click.command()
@click.argument("statement")
@click.option("-o", "--output", metavar="FILE", help="Write here (default: stdout).")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet", "arrow", "jsonl", "markdown", "latex"]),
    help="Default: by FILE, else a table on a terminal and csv in a pipe.",
)
@json_option
@book_option
def sql(
    *, book: str | None, statement: str, output: str | None, form: str | None, as_json: bool
) -> None:
    """Run a SELECT over the book with DuckDB (pip install 'labbook[sql]').

    \b
    The views:
      runs      one row a run, as in `labbook export --runs`
      series    run, step, time, name, value
      gauges    the same, of the machine
      chosen    run, set, step, example, loss, output …
      results   run, evaluation, step, subset, example and its columns

    \b
      labbook sql "select name, min(value) from series group by name"
      labbook sql 'select id, "args.lr", "last.loss" from runs order by 3'
    """
    import sys

    from labbook.cli.exporting import deliver
    from labbook.export import format_of
    from labbook.export.query import query

    table = query(open_here(book), statement)
    if as_json:
        form = "jsonl"
    if form is None:
        if output is not None:
            form = format_of(output)
        else:
            form = "markdown" if sys.stdout.isatty() else "csv"
    deliver(table, form, output)
