"""`labbook show RUN`: everything known about one run, read once and said twice (text and JSON)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from labbook.book.throughput import throughput
from labbook.cli.code import code_kept
from labbook.cli.listing import summary_object
from labbook.cli.nets import followed, last_statistics, statistics_lines
from labbook.cli.options import book_option, echo_json, json_option, open_here
from labbook.cli.ranking import standings
from labbook.cli.sections import sections
from labbook.errors import DamagedFile

if TYPE_CHECKING:
    from labbook.book.results import Result
    from labbook.book.runreader import RunReader

__all__ = ["show"]


@click.command()
@click.argument("run")
@click.option(
    "--args",
    "only_arguments",
    is_flag=True,
    help="Only the command line that gives these arguments, and what each was.",
)
@click.option("--model", "only_model", is_flag=True, help="Only the net, and its last statistics.")
@json_option
@book_option
def show(
    *, book: str | None, run: str, as_json: bool, only_arguments: bool, only_model: bool
) -> None:
    """Show everything known about one run.

    RUN is an id, the beginning of one, or a name.

    \b
    State and why, conditions, arguments, code and dirty files, the net, series,
    chosen sets, checkpoints with their results (or why there is none), faults.
    """
    reader = open_here(book).run(run)
    if only_arguments:
        _show_arguments(reader, as_json)
    elif only_model:
        _show_model(reader, as_json)
    elif as_json:
        echo_json(describe(reader))
    else:
        for line in sections(describe(reader)):
            click.echo(line)


def _show_arguments(reader: RunReader, as_json: bool) -> None:
    if as_json:
        echo_json(reader.summary().arguments)
        return
    from labbook.cli.typed import argument_lines

    for line in argument_lines(reader):
        click.echo(line)


def _show_model(reader: RunReader, as_json: bool) -> None:
    nets, last = followed(reader), last_statistics(reader)
    if as_json:
        echo_json({"nets": nets, "statistics": last})
        return
    if not nets:
        click.echo(f"no net was followed in {reader.id}: run.follow(model, optimizer) records it")
    for line in statistics_lines(nets, last):
        click.echo(line)


def describe(reader: RunReader) -> dict[str, Any]:
    """Return what `show --json` prints: `ls --json`'s object, and the run's parts in full."""
    from labbook.book.agreement import remarks

    return {
        **summary_object(reader.summary()),
        "path": str(reader.paths.root),
        "conditions": reader.conditions,
        "code": code_kept(reader),
        "end": reader.end,
        "throughput": throughput(reader.facts),
        "nets": followed(reader),
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
        "remarks": remarks(reader.results(strict=False)),
        "best": standings(reader.results(strict=False)),
        "reasons": reader.reasons(),
        "machine_use": machine_object(reader),
        "damage": reader.damage,
    }


def machine_object(reader: RunReader) -> dict[str, Any] | None:
    """Return `show --json`'s "machine_use": see `labbook.book.machine_use` for the fields."""
    try:
        used = reader.machine_use()
    except DamagedFile:
        return None  # "damage" says which
    return None if used is None else asdict(used)


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
        "code": result.meta.get("code"),
        "data_digest": result.meta.get("data_digest"),
        "environment": result.meta.get("environment"),
        "probes": result.meta.get("probes"),
        "chosen": result.meta.get("chosen") or {},
        "path": str(result.path),
    }
