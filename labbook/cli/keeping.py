"""`labbook tag`, `note`, `rename`, `rm`, `copy`, `seal`, `doctor`: looking after runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from labbook.book.text import clean
from labbook.cli.options import book_option, echo_json, json_option, open_here

__all__ = ["copy", "doctor", "note", "rename", "rm", "seal", "tag"]


@click.command()
@click.argument("run")
@click.argument("tags", nargs=-1)
@click.option("--remove", "-r", multiple=True, metavar="TAG", help="Take this tag away.")
@book_option
def tag(*, book: str | None, run: str, tags: tuple[str, ...], remove: tuple[str, ...]) -> None:
    """Add tags to a RUN, or take some away; prints those it has."""
    from labbook.upkeep import marks

    kept = marks.tag(open_here(book).run(run), tags, remove)
    click.echo(clean(", ".join(kept)) if kept else "no tags")


@click.command()
@click.argument("run")
@click.argument("text", required=False)
@book_option
def note(*, book: str | None, run: str, text: str | None) -> None:
    """Write notes on a RUN: TEXT, '-' for standard input, else in $EDITOR."""
    from labbook.upkeep import marks

    reader = open_here(book).run(run)
    if text == "-":
        text = sys.stdin.read()
    elif text is None:
        before = _read(reader.paths.notes)
        text = click.edit(before, extension=".md")
        if text is None:
            click.echo("not changed")
            return
    marks.note(reader, text)


@click.command()
@click.argument("run")
@click.argument("name")
@book_option
def rename(*, book: str | None, run: str, name: str) -> None:
    """Give a RUN another NAME; its id stays."""
    from labbook.upkeep import marks

    marks.rename(open_here(book).run(run), name)


@click.command()
@click.argument("runs", nargs=-1, metavar="RUN...")
@click.option("--undo", is_flag=True, help="Bring back RUN, or what was removed last.")
@book_option
def rm(*, book: str | None, runs: tuple[str, ...], undo: bool) -> None:
    """Move RUNs to the book's trash. Refuses a live run; `labbook gc` empties the trash."""
    from labbook.upkeep import removal

    opened = open_here(book)
    if undo:
        for which in runs or (None,):
            click.echo(f"{removal.restore(opened.paths, which).run_id} is back")
        return
    if not runs:
        raise click.UsageError("name a RUN, or use --undo")
    for reader in [opened.run(which) for which in runs]:
        removal.remove(opened.paths, reader)
        click.echo(f"{reader.id} is in the trash; `labbook rm --undo {reader.id}` brings it back")


@click.command()
@click.argument("run")
@click.argument("to", metavar="BOOK")
@book_option
def copy(*, book: str | None, run: str, to: str) -> None:
    """Copy a RUN, and the code it ran, into another BOOK."""
    from labbook.upkeep.copying import copy_run

    reader = open_here(book).run(run)
    target = copy_run(reader, Path(to).expanduser().absolute())
    click.echo(f"{reader.id} is in {target.root}")


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@book_option
def seal(*, book: str | None, runs: tuple[str, ...]) -> None:
    """Turn the journals of ended RUNs (default: all) into Parquet."""
    from labbook.book.seal import seal_dead

    opened = open_here(book)
    chosen = [opened.run(which).id for which in runs] if runs else opened.ids()
    n_sealed = 0
    for run_id in chosen:
        for writer, outcome in seal_dead(opened.paths.run(run_id)).items():
            if isinstance(outcome, str):
                click.echo(f"{run_id} {writer}: {clean(outcome)}")
            elif outcome:
                n_sealed += 1
                click.echo(f"{run_id} {writer}: sealed")
    click.echo(f"{n_sealed} journal{'s' if n_sealed != 1 else ''} sealed")


@click.command()
@click.option("--repair", is_flag=True, help="Do what is named; nothing else is touched.")
@json_option
@book_option
def doctor(*, book: str | None, repair: bool, as_json: bool) -> None:
    """Verify the whole book: checksums, journals, leftovers. Exits with 1 on a finding."""
    from labbook.upkeep import doctor as examination

    paths = open_here(book).paths
    report = examination.Report()
    run_ids = paths.run_ids()
    show = sys.stderr.isatty() and not as_json
    with click.progressbar(
        examination.examine(paths),
        length=len(run_ids) + 1,
        label="examining",
        file=sys.stderr,
        hidden=not show,
    ) as steps:
        for _, found in steps:
            report = found
    done = dict(examination.repair(paths, report.findings)) if repair else {}
    if as_json:
        echo_json(_as_json(report, done))
    else:
        _print(report, done, paths.root)
    left = [f for f in report.findings if done.get(f) is None or done[f].startswith("cannot")]
    raise SystemExit(1 if left else 0)


def _print(report: Any, done: dict[Any, str], root: Path) -> None:
    for finding in report.findings:
        where = (
            finding.path.relative_to(root) if finding.path.is_relative_to(root) else finding.path
        )
        would = {"delete": " [--repair deletes it]", "seal": " [--repair seals it]"}
        after = f" [{done[finding]}]" if finding in done else would.get(finding.repair, "")
        click.echo(clean(f"{where}: {finding.what}{after}"))
    n_bytes = sum(report.bytes_by_run.values())
    found = len(report.findings)
    click.echo(
        f"{report.n_runs} runs, {report.n_files} files, {n_bytes / 1e6:.1f} MB: "
        + ("sound" if not found else f"{found} finding{'s' if found != 1 else ''}")
    )


def _as_json(report: Any, done: dict[Any, str]) -> dict[str, Any]:
    return {
        "runs": report.n_runs,
        "files": report.n_files,
        "bytes": report.bytes_by_run,
        "findings": [
            {
                "run": finding.run_id,
                "path": str(finding.path),
                "what": finding.what,
                "repair": None if finding.repair == "none" else finding.repair,
                "done": done.get(finding),
            }
            for finding in report.findings
        ],
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
