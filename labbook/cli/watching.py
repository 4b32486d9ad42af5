"""`labbook watch` and `labbook evaluate`: checkpoints evaluated outside the training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labbook.cli.options import book_option
from labbook.errors import BookNotFound, RunNotFound

if TYPE_CHECKING:
    from labbook.paths import BookPaths

__all__ = ["evaluate", "watch"]

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=_FILE, default=Path("evaluation.py"))
@book_option
@click.option("--run", "runs", multiple=True, metavar="RUN", help="Only this run (repeatable).")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, … or auto.")
@click.option("--once", is_flag=True, help="Evaluate what is there, then exit: 1 if some failed.")
@click.option("--poll", type=click.FloatRange(min=0.05), default=2.0, show_default=True,
              help="Seconds between two looks at the book; events make it sooner.")  # fmt: skip
@click.option("--policy", default="newest", show_default=True,
              help="newest (then fill the gaps), all (oldest first) or every=N.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0.1), metavar="SECONDS",
              help="Give an evaluation up after this (default: 5 x the median).")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of the worker.")
@click.option("--nice", "niceness", type=click.IntRange(0, 19), default=10, show_default=True,
              help="How far the worker gives way to the training's processes.")  # fmt: skip
def watch(  # noqa: PLR0917  # click passes its options by name
    file: Path,
    book: str | None,
    runs: tuple[str, ...],
    device: str,
    once: bool,
    poll: float,
    policy: str,
    timeout: float | None,
    threads: int | None,
    niceness: int,
) -> None:
    """Evaluate the checkpoints of all runs, as they appear.

    FILE (default: evaluation.py) holds a class marked with @labbook.evaluation. Every complete
    checkpoint gets one result over the whole validation set, one row an example; kill the watcher
    and start it again, and nothing is evaluated twice.
    """
    from labbook.watch.plan import Plan
    from labbook.watch.policy import selected
    from labbook.watch.supervisor import Supervisor
    from labbook.watch.worker_process import WorkerOptions

    selected(policy, 0, False)
    paths = _book(book, is_patient=not once)
    plan = Plan(
        book=paths,
        worker=WorkerOptions(file, device, threads, niceness),
        is_once=once,
        poll_s=poll,
        policy=policy,
        runs=_resolve(paths, runs) if runs else None,
        timeout_s=timeout,
    )
    sys.exit(Supervisor(plan).run())


@click.command()
@click.argument("what", metavar="RUN|PATH…", nargs=-1, required=True)
@click.option("--with", "file", type=_FILE, default=Path("evaluation.py"), show_default=True,
              help="The evaluation file.")  # fmt: skip
@book_option
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, … or auto.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of the worker.")
def evaluate(
    what: tuple[str, ...], file: Path, book: str | None, device: str, threads: int | None
) -> None:
    """Evaluate the checkpoints of some runs, or some checkpoints, now.

    What has a result already keeps it; what was given up before is tried again. A PATH is a
    checkpoint that a run of the book saved or watches.
    """
    from labbook.watch.plan import Plan
    from labbook.watch.supervisor import Supervisor
    from labbook.watch.worker_process import WorkerOptions

    paths = _book(book, is_patient=False)
    files = frozenset(Path(one).absolute() for one in what if Path(one).exists())
    named = tuple(one for one in what if not Path(one).exists())
    runs = _resolve(paths, named) | _runs_of(paths, files)
    plan = Plan(
        book=paths,
        worker=WorkerOptions(file, device, threads, 0),
        is_once=True,
        runs=runs,
        files=files if files and not named else None,
        retry_failed=True,
    )
    sys.exit(Supervisor(plan).run())


def _book(book: str | None, is_patient: bool) -> BookPaths:
    """The book; a watcher that stays may be started before the first training made it."""
    from labbook.paths import BookPaths, default_book, open_book

    try:
        return open_book(book)
    except BookNotFound:
        if not is_patient:
            raise
        root = Path(book).expanduser().absolute() if book else default_book()
        click.echo(f"labbook watch: no book at {root} yet: waiting for the first run", err=True)
        return BookPaths(root)


def _resolve(paths: BookPaths, named: tuple[str, ...]) -> frozenset[str]:
    from labbook.watch.facts import resolve_run

    return frozenset(resolve_run(paths, which) for which in named)


def _runs_of(paths: BookPaths, files: frozenset[Path]) -> frozenset[str]:
    """The runs whose checkpoints these files are; raises `RunNotFound` for a foreign one."""
    import time

    from labbook.watch.discover import Scanner

    if not files:
        return frozenset()
    owners = {
        found.path: found.run
        for scene in Scanner(paths).scan(time.time_ns())
        for found in scene.checkpoints
    }
    foreign = sorted(str(file) for file in files - owners.keys())
    if foreign:
        raise RunNotFound(
            f"{foreign[0]} is no checkpoint of a run in {paths.root}: "
            "give one that run.save() wrote or run.watch() covers, or name a run"
        )
    return frozenset(owners[file] for file in files)
