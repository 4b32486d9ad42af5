"""`labbook watch` and `labbook evaluate`: checkpoints evaluated outside the training."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labbook.cli.options import SIZE, book_option, echo_json, json_option
from labbook.errors import BookNotFound, RunNotFound

if TYPE_CHECKING:
    from labbook.paths import BookPaths
    from labbook.watch.worker_process import WorkerOptions

__all__ = ["evaluate", "status", "watch"]

_FILE = click.Path(path_type=Path)


_DEVICE = click.option(
    "--device", default="cpu", show_default=True,
    help="cpu, cuda, cuda:1, a GPU's UUID, or auto: the GPU with the most free memory that does "
    "not train. Several with commas: one worker each.",
)  # fmt: skip
_THREADS = click.option("--threads", type=click.IntRange(min=1), help="CPU threads of each worker.")
_CODE = click.option(
    "--code", type=click.Choice(["run", "current"]), default="run", show_default=True,
    help="In which code: the run's own as recorded, or the files as they are now.",
)  # fmt: skip
_YES = click.option(
    "--yes",
    "-y",
    is_flag=True,
    help="Run code that was recorded on another host or by another user.",
)


class _WithStatus(click.Command):
    """`labbook watch`, and `labbook watch status`."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Hand over to `status` when that is the first word."""
        if args[:1] == ["status"]:
            return status.make_context(f"{info_name} status", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=_WithStatus)
@click.argument("files", metavar="[FILE]...", type=_FILE, nargs=-1)
@book_option
@click.option("--run", "runs", multiple=True, metavar="RUN", help="Only this run (repeatable).")
@click.option("--group", "groups", multiple=True, metavar="GROUP",
              help="Only runs of this group, those to come too (repeatable).")  # fmt: skip
@_DEVICE
@click.option("--workers", type=click.IntRange(1, 64), metavar="N",
              help="Workers, each a process (default: one a device).")  # fmt: skip
@_CODE
@click.option("--once", is_flag=True, help="Evaluate what is there, then exit: 1 if some failed.")
@click.option("--until", type=click.Choice(["finished"]),
              help="Exit when all these runs have ended and everything is evaluated.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be evaluated, and what not and why.")
@click.option("--poll", type=click.FloatRange(min=0.05), default=2.0, show_default=True,
              help="Seconds between two looks at the book; events make it sooner.")  # fmt: skip
@click.option("--policy", default="newest", show_default=True,
              help="newest (then fill the gaps), all (oldest first) or every=N.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0.1), metavar="SECONDS",
              help="Give an evaluation up after this (default: 5 x the median).")  # fmt: skip
@click.option("--grace", type=click.FloatRange(min=0), default=25.0, show_default=True,
              metavar="SECONDS",
              help="After a signal, what is in hand may take so long.")  # fmt: skip
@click.option("--max-rss", type=SIZE, metavar="SIZE",
              help="Replace a worker that has grown above it.")  # fmt: skip
@click.option("--pin-budget", type=SIZE, default="20GB", show_default=True, metavar="SIZE",
              help="Keep so much that the training removes before its turn.")  # fmt: skip
@_THREADS
@click.option("--nice", "niceness", type=click.IntRange(0, 19), default=10, show_default=True,
              help="How far the workers give way to the training's processes.")  # fmt: skip
@_YES
def watch(
    *, files: tuple[Path, ...], book: str | None, runs: tuple[str, ...], **options: Any
) -> None:
    """Evaluate the checkpoints of all runs, as they appear.

    FILE (default: evaluation.py) holds classes marked with @labbook.evaluation. Every complete
    checkpoint gets one result over the whole validation set, one row an example, made with the
    code that its run recorded; kill the watcher and start it again, and nothing is evaluated twice.

    \b
    labbook watch status [--json]   what the watchers of a book are doing
    """
    from labbook.watch.plan import Plan
    from labbook.watch.policy import selected
    from labbook.watch.supervisor import Supervisor

    selected(options["policy"], 0, False)
    is_once = options["once"] or options["dry_run"]
    paths = _book(book, is_patient=not is_once)
    plan = Plan(
        book=paths,
        worker=_worker(files, options["threads"], options["niceness"]),
        is_once=is_once,
        poll_s=options["poll"],
        policy=options["policy"],
        runs=_resolve(paths, runs) if runs else None,
        groups=frozenset(options["groups"]) or None,
        timeout_s=options["timeout"],
        devices=_devices(options["device"], options["workers"]),
        code=options["code"],
        is_trusting=options["yes"],
        is_until_finished=options["until"] is not None,
        is_dry=options["dry_run"],
        grace_s=options["grace"],
        pin_budget=options["pin_budget"],
        max_rss=options["max_rss"],
    )
    sys.exit(Supervisor(plan).run())


@click.command()
@json_option
@book_option
def status(*, book: str | None, as_json: bool) -> None:
    """Say what the watchers of a book are doing, wherever they run."""
    from labbook.book.watchers import read_watchers
    from labbook.cli.watchers import watcher_lines, watcher_object

    found = read_watchers(_book(book, is_patient=False))
    if as_json:
        echo_json([watcher_object(each) for each in found])
        return
    if not found:
        click.echo("no watcher is running")
    for watcher in found:
        for line in watcher_lines(watcher):
            click.echo(line)


@click.command()
@click.argument("what", metavar="RUN|PATH…", nargs=-1, required=True)
@click.option("--with", "files", type=_FILE, multiple=True, default=[Path("evaluation.py")],
              show_default=True, help="The evaluation file (repeatable).")  # fmt: skip
@book_option
@_DEVICE
@_CODE
@_THREADS
@_YES
def evaluate(
    *, what: tuple[str, ...], files: tuple[Path, ...], book: str | None, **options: Any
) -> None:
    """Evaluate the checkpoints of some runs, or some checkpoints, now.

    What has a result already keeps it; what was given up before is tried again. A PATH is a
    checkpoint that a run of the book saved or watches.
    """
    from labbook.watch.plan import Plan
    from labbook.watch.supervisor import Supervisor

    paths = _book(book, is_patient=False)
    chosen = frozenset(Path(one).absolute() for one in what if Path(one).exists())
    named = tuple(one for one in what if not Path(one).exists())
    runs = _resolve(paths, named) | _runs_of(paths, chosen)
    plan = Plan(
        book=paths,
        worker=_worker(files, options["threads"], 0),
        is_once=True,
        runs=runs,
        files=chosen if chosen and not named else None,
        retry_failed=True,
        devices=_devices(options["device"], None),
        code=options["code"],
        is_trusting=options["yes"],
    )
    sys.exit(Supervisor(plan).run())


def _worker(files: tuple[Path, ...], threads: int | None, niceness: int) -> WorkerOptions:
    from labbook.client.settings import private_cache
    from labbook.watch.worker_process import WorkerOptions

    cache = private_cache(os.environ) / "watch"
    return WorkerOptions(files or (Path("evaluation.py"),), cache, threads, niceness)


def _devices(names: str, workers: int | None) -> tuple[str, ...]:
    """A device for each worker; the workers take turns over the devices."""
    from labbook.watch.devices import parse

    found = parse(names)
    return tuple(found[place % len(found)] for place in range(workers or len(found)))


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
