"""`labbook show RUN`: everything known about one run, read once and said twice (text and JSON)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from labbook.book.text import clean
from labbook.cli.code import code_kept
from labbook.cli.listing import summary_object
from labbook.cli.options import book_option, echo_json, json_option, open_here
from labbook.cli.ranking import standings
from labbook.cli.sections import sections
from labbook.cli.wording import value_text

if TYPE_CHECKING:
    from labbook.book.results import Result
    from labbook.book.runreader import RunReader

__all__ = ["show"]


@click.command()
@click.argument("run")
@click.option("--args", "only_arguments", is_flag=True, help="Only the arguments, one a line.")
@json_option
@book_option
def show(*, book: str | None, run: str, as_json: bool, only_arguments: bool) -> None:
    """Show everything known about one run.

    RUN is an id, the beginning of one, or a name.

    \b
    State and why, conditions, arguments, code and dirty files, series, chosen
    sets, checkpoints with their results (or why there is none), and faults.
    """
    reader = open_here(book).run(run)
    if only_arguments:
        _show_arguments(reader, as_json)
    elif as_json:
        echo_json(describe(reader))
    else:
        for line in sections(describe(reader)):
            click.echo(line)


def _show_arguments(reader: RunReader, as_json: bool) -> None:
    arguments = reader.summary().arguments
    if as_json:
        echo_json(arguments)
    for name, value in () if as_json else arguments.items():
        click.echo(f"{clean(name)} = {clean(value_text(value))}")


def describe(reader: RunReader) -> dict[str, Any]:
    """Return what `show --json` prints: `ls --json`'s object, and the run's parts in full."""
    return {
        **summary_object(reader.summary()),
        "path": str(reader.paths.root),
        "conditions": reader.conditions,
        "code": code_kept(reader),
        "end": reader.end,
        "chosen": [_chosen(reader, name) for name in reader.chosen_sets()],
        "checkpoints": [
            {
                "file": checkpoint.file,
                "step": checkpoint.step,
                "size": checkpoint.size,
                "digest": checkpoint.digest,
                "time_ns": checkpoint.time_ns,
                "external": checkpoint.external,
            }
            for checkpoint in reader.checkpoints()
        ],
        "evaluated": [_result(result) for result in reader.results(strict=False)],
        "best": standings(reader.results(strict=False)),
        "reasons": reader.reasons(),
        "damage": reader.damage,
    }


def _chosen(reader: RunReader, name: str) -> dict[str, Any]:
    import pyarrow.compute as pc

    rows = reader.chosen(name)
    steps = pc.unique(rows.column("step"))
    bounds = pc.min_max(steps).as_py()
    return {
        "name": name,
        "examples": reader.examples(name).num_rows,
        "observations": len(steps),
        "first_step": bounds["min"],
        "last_step": bounds["max"],
    }


def _result(result: Result) -> dict[str, Any]:
    return {
        "evaluation": result.evaluation,
        "key": result.key,
        "step": result.step,
        "checkpoint": result.checkpoint,
        "subset": result.subset,
        "coverage": result.coverage,
        "n_examples": result.n_examples,
        "n_expected": result.n_expected,
        "metrics": result.metrics,
        "metrics_source": result.meta.get("metrics_source"),
        "stderr": result.stderr,
        "n_nonfinite": result.meta.get("n_nonfinite") or {},
        "seconds": result.meta.get("seconds"),
        "device": result.meta.get("device"),
        "warnings": result.meta.get("warnings") or [],
        "probes": result.meta.get("probes"),
        "chosen": result.meta.get("chosen") or {},
        "path": str(result.path),
    }
