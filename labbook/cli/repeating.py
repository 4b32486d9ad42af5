"""`labbook restore` and `labbook rerun`: a run's code again, and the run again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labbook.cli.again import Choices, NotCompared, run_again, secrets_of, verify
from labbook.cli.options import book_option, echo_json, json_option, open_here
from labbook.cli.wording import bytes_text, say
from labbook.errors import LabbookError

if TYPE_CHECKING:
    from labbook.restore.restoring import Outcome
    from labbook.restore.tree import Missing, Restored

__all__ = ["rerun", "restore"]

_NAMED = 8
"""Paths that are named in a line; --json has them all."""


@click.command()
@click.argument("run")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--attempt", type=click.IntRange(min=1), help="Of this attempt (default: newest).")
@click.option("--editable", type=click.Path(path_type=Path), metavar="DIR2",
              help="Also restore your other repositories (editable installs) here.")  # fmt: skip
@json_option
@book_option
def restore(
    *,
    book: str | None,
    run: str,
    folder: Path,
    attempt: int | None,
    editable: Path | None,
    as_json: bool,
) -> None:
    """Write the code of a RUN, as executed, into the new folder DIR.

    Byte for byte, whatever became of your repository since; what was not recorded is named. Beside
    the code, labbook.lock lists Python and the packages. Nothing is executed.
    """
    from labbook.restore.restoring import restore as restore_run

    opened = open_here(book)
    outcome = restore_run(opened.paths, opened.run(run), folder, attempt=attempt, editable=editable)
    if as_json:
        echo_json(_restored_object(outcome))
        return
    say(_summary(outcome))
    for tree in (outcome.tree, *outcome.editable.values()):
        for line in _remarks(tree):
            say(f"  {line}", indent=4)


def _summary(outcome: Outcome) -> str:
    tree, snapshot = outcome.tree, outcome.recorded.snapshot
    n_files = len(tree.files) + len(tree.links)
    what = f"{n_files} file{'s' if n_files != 1 else ''}, {bytes_text(tree.bytes)}"
    base = f" on commit {snapshot.base[:7]}" if snapshot.base else ""
    dirty = len(snapshot.files_modified) + len(snapshot.files_untracked)
    code = f"code {str(snapshot.tree)[:7]}{base}{f' + {dirty} changed' if dirty else ''}"
    others = f", and {len(outcome.editable)} editable installs" if outcome.editable else ""
    state = f"; {len(tree.missing)} missing" if tree.missing else ""
    return (
        f"restored {outcome.recorded.run_id} ({outcome.recorded.name}) to {tree.folder}: "
        f"{what}, {code}, with {', '.join(outcome.added)}{others}{state}"
    )


def _remarks(tree: Restored) -> list[str]:
    lines = [f"missing: {_missing_text(item)}" for item in tree.missing[:_NAMED]]
    if len(tree.missing) > _NAMED:
        lines.append(f"missing: {len(tree.missing) - _NAMED} more (--json has all)")
    if tree.outward:
        named = ", ".join(tree.outward[:_NAMED])
        lines.append(f"{len(tree.outward)} links lead out of the folder: {named}")
    return lines + tree.notes


def _missing_text(item: Missing) -> str:
    size = f" ({bytes_text(item.bytes)})" if item.bytes else ""
    return f"{item.path}{size}: {item.why}"


def _restored_object(outcome: Outcome) -> dict[str, Any]:
    recorded = outcome.recorded
    return {
        "run": recorded.run_id,
        "attempt": recorded.attempt,
        "folder": str(outcome.tree.folder),
        "tree": recorded.snapshot.tree,
        "commit": recorded.snapshot.base,
        "kind": recorded.snapshot.kind,
        **_tree_object(outcome.tree),
        "added": outcome.added,
        "editable": {
            name: {"folder": str(tree.folder), **_tree_object(tree)}
            for name, tree in outcome.editable.items()
        },
    }


def _tree_object(tree: Restored) -> dict[str, Any]:
    return {
        "files": len(tree.files),
        "links": len(tree.links),
        "bytes": tree.bytes,
        "missing": [
            {"path": item.path, "why": item.why, "bytes": item.bytes} for item in tree.missing
        ],
        "outward": tree.outward,
        "notes": tree.notes,
    }


@click.command()
@click.argument("run")
@click.option(
    "--verify",
    is_flag=True,
    help="Compare all series and chosen sets: exits with 0 equal, 1 different, 2 neither.",
)
@click.option("--against", metavar="OTHER", help="Verify against the run OTHER, and run nothing.")
@click.option(
    "--rtol",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Differences up to RTOL x the first run's value are equal.",
)
@click.option(
    "--atol",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Differences up to ATOL are equal.",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="PATTERN",
    help="Report differences of series like 'gpu/*', and do not count them (repeatable).",
)
@click.option(
    "--timings",
    is_flag=True,
    help="Count series that measure time (step_time, seconds, samples_per_second, ...).",
)
@click.option(
    "--check-only", is_flag=True, help="Say what would run and what differs; run nothing."
)
@click.option("--strict", is_flag=True, help="Refuse to run where the environment differs.")
@click.option(
    "--set",
    "secrets",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="A masked argument; without VALUE from the environment (repeatable).",
)
@click.option(
    "--link",
    "links",
    multiple=True,
    metavar="PATH",
    help="Link PATH from the run's folder, though newer than the run (repeatable).",
)
@click.option(
    "--from",
    "original",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="FOLDER",
    help="The run's folder, where it lies elsewhere now.",
)
@click.option("--python", metavar="PATH", help="The interpreter (default: the run's own).")
@click.option("--attempt", type=click.IntRange(min=1), help="Of this attempt (default: the first).")
@click.option("--keep", is_flag=True, help="Keep the scratch folder.")
@click.option("--yes", "-y", is_flag=True, help="Run what came from another host or user.")
@json_option
@book_option
def rerun(
    *, book: str | None, run: str, against: str | None, as_json: bool, **options: Any
) -> None:
    """Run a RUN again: its code, command, variables and data, as a new run.

    The code is restored into a scratch folder; whatever else was in the run's folder when it began
    is linked in. What is newer is not, so that the run's own outputs are not written over. The new
    run goes into the same book, with RUN as its parent. Nothing runs before it is shown.
    """
    from labbook.restore.rerunning import Wishes

    choices = Choices(
        verify=options["verify"] or against is not None,
        as_json=as_json,
        tolerance={name: options[name] for name in ("rtol", "atol", "ignore", "timings")},
        **{name: options[name] for name in ("check_only", "strict", "keep", "yes")},
    )
    try:
        opened = open_here(book)
        first = opened.run(run)
        if against is not None:
            verify(first, opened.run(against), choices, {})
        original = options["original"]
        wishes = Wishes(
            python=options["python"],
            attempt=options["attempt"],
            original=None if original is None else Path(os.path.realpath(original)),
            secrets=secrets_of(options["secrets"]),
            links=options["links"],
        )
        run_again(opened, first, wishes, choices)
    except LabbookError as error:
        if not choices.verify:
            raise
        raise NotCompared(error) from error
