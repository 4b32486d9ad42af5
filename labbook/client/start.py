"""`labbook.start()`: everything that happens before the first step."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from labbook.client import identity, joining, settings
from labbook.client.current import active, set_current
from labbook.client.endings import Endings
from labbook.client.gauges import Gauges
from labbook.client.off import OffRun
from labbook.client.output import Output
from labbook.client.project import read_project
from labbook.client.run import Run
from labbook.client.settings import Settings, private_cache
from labbook.client.telling import dirty_refusal, not_seeded, say, start_lines
from labbook.client.trial import is_trial
from labbook.client.writing import touch_folder, write_json
from labbook.conditions import arguments as found_arguments
from labbook.conditions import gather, seeds
from labbook.errors import DirtyTreeError, MisuseError, StoreError
from labbook.journal.lock import WriterLock
from labbook.journal.writer import JournalWriter
from labbook.paths import FORMAT, BookPaths, RunPaths

if TYPE_CHECKING:
    from labbook.client.descriptors import DescriptorOutput

__all__ = ["start"]


def start(
    args: Any = None,
    *,
    name: str | None = None,
    group: str | None = None,
    tags: Iterable[str] | None = None,
    notes: str | None = None,
    book: str | os.PathLike[str] | None = None,
    dirty: Literal["warn", "refuse", "allow"] | None = None,
    seed: int | None = None,
    resume: str | None = None,
    resume_step: int | None = None,
    gauges: float | bool = 1.0,
    output: bool | Literal["fd"] = True,
) -> Run | OffRun:
    """Begin recording this training, and return its run.

    Before it returns, the run's identity and conditions are on disk: arguments, command line, git
    state, packages, Python, machine, environment, seeds. Without `args` they are found: a click
    context, Hydra or absl, else an argparse namespace (or `args`, `config`, `cfg`, `hparams`) in
    the caller's frames.

    `book` defaults to `LABBOOK_DIR`, else `.labbook` at the git top level. `dirty` says what to do
    about uncommitted changes: `warn` (default), `refuse` (raises `DirtyTreeError`) or `allow`.
    `seed` seeds Python, numpy and torch. `resume` is a run id, or `auto`: the run of
    `LABBOOK_RUN_ID` or of this scheduler job, else a new one; rows logged before are superseded
    from `resume_step` on. `gauges` is the seconds between samples of GPU, CPU, memory and disk
    (False: none). `output=False` leaves stdout and stderr alone.

    Raises `MisuseError` for wrong arguments or while another run is being recorded, and
    `StoreError` when the book cannot be written. With `LABBOOK_MODE=off` nothing is recorded.
    """
    began_ns = time.time_ns()
    frame = sys._getframe(1)
    found = found_arguments.find(frame, args)
    if settings.mode(os.environ) == "off" or is_trial():
        off = OffRun(found.unmasked, name)
        if seed is not None:
            seeds.seed(seed)
        if not is_trial():
            set_current(off)
        return off
    project = read_project(gather.code_folder())
    settled = settings.read(
        os.environ,
        project,
        book=book,
        name=name,
        group=group,
        tags=tags,
        notes=notes,
        dirty=dirty,
        seed=seed,
        resume=resume,
        resume_step=resume_step,
        gauges=gauges,
        output=output,
    )
    already = active()
    if already is not None:
        raise MisuseError(
            f"run {already.id} is still being recorded in this process: call run.finish() "
            "before labbook.start(), or use `with labbook.start() as run:`"
        )
    seeded = None if settled.seed is None else seeds.seed(settled.seed)
    if settled.dirty == "refuse":
        refusal = dirty_refusal(gather.gather(frame, arguments=found))
        if refusal:
            raise DirtyTreeError(refusal)
    home = identity.make_book(settled.book)
    place = joining.place(os.environ)
    conditions = {"started_ns": began_ns, **_conditions(frame, found, home, place, settled)}
    if project.check and project.check.get("allow"):
        conditions["check"] = {"allow": dict(project.check["allow"])}
    if seeded is not None:
        conditions["seeds"] = {**conditions["seeds"], "seeded": seeded}
    if place.rank == 0:
        for line in (project.complaint, not_seeded(seeded, conditions["packages"])):
            if line:
                say(line)
    return _begin(settled, home, place, conditions, found)


def _conditions(
    frame: FrameType,
    found: found_arguments.Arguments,
    book: BookPaths,
    place: joining.Place,
    settled: Settings,
) -> dict[str, Any]:
    if place.rank > 0:  # rank 0 keeps the code of all
        return gather.gather(frame, arguments=found)
    conditions, _ = gather.gather_with_code(
        frame,
        arguments=found,
        code_git=book.code,
        private_cache=private_cache(os.environ),
        limits=settled.limits,
    )
    return conditions


def _begin(
    settled: Settings,
    book: BookPaths,
    place: joining.Place,
    conditions: dict[str, Any],
    found: found_arguments.Arguments,
) -> Run:
    paths, attempt = _run_and_attempt(book, settled, place, conditions)
    writer = identity.writer_name(place.rank)
    lock = WriterLock(paths.lock(writer))
    try:
        locked = lock.acquire()
        write_json(
            paths.conditions(attempt, writer),
            {
                "format": FORMAT,
                "attempt": attempt,
                "writer": writer,
                "rank": place.rank,
                "world_size": place.world_size,
                "join": place.key,
                "resume_step": settled.resume_step,
                "locked": locked,
                **conditions,
            },
        )
        if settled.notes:
            with open(paths.notes, "a", encoding="utf-8") as file:
                file.write(settled.notes.rstrip() + "\n")
    except OSError as error:
        raise StoreError(f"cannot write to the run's folder {paths.root}: {error}") from error
    journal = JournalWriter(paths, writer, warn=say)
    touch_folder(paths.root)
    touch_folder(book.runs)
    run = Run(
        paths,
        attempt=attempt,
        writer=writer,
        name=_name(paths, settled),
        args=found.unmasked,
        journal=journal,
        lock=lock,
        first_step=settled.resume_step or 0,
    )
    _attach(run, settled)
    set_current(run)
    if place.rank == 0:
        for line, command in start_lines(run.id, run.name, attempt, conditions, settled.dirty):
            say(line, command)
    return run


def _run_and_attempt(
    book: BookPaths, settled: Settings, place: joining.Place, conditions: dict[str, Any]
) -> tuple[RunPaths, int]:
    if place.key is not None and place.rank > 0:
        joined = joining.wait_for_rank_zero(book, place.key)
        if joined is not None:
            return joined
        say(f"rank 0 made no run within {joining.JOIN_S:.0f} s: rank {place.rank} records its own")
    resumed = None
    if settled.resume is not None:
        resumed = joining.resumed_run(book, settled.resume, os.environ)
    run_id = resumed.id if resumed is not None else settled.run_id or identity.new_run_id()
    paths = identity.make_run(
        book,
        run_id,
        {
            "format": FORMAT,
            "id": run_id,
            "name": settled.name or _default_name(conditions, run_id),
            "group": settled.group,
            "tags": list(settled.tags),
            "parent": os.environ.get("LABBOOK_PARENT"),
            "job": joining.job_id(os.environ),
            "created_ns": time.time_ns(),
        },
    )
    return paths, identity.claim_attempt(paths)


def _default_name(conditions: dict[str, Any], run_id: str) -> str:
    script = conditions.get("script")
    stem = Path(script).stem if isinstance(script, str) else "session"
    return f"{stem}-{run_id.rpartition('-')[2]}"


def _name(paths: RunPaths, settled: Settings) -> str:
    import json

    try:
        return str(json.loads(paths.run_json.read_text())["name"])
    except (OSError, ValueError, KeyError):
        return settled.name or paths.id


def _output(
    paths: RunPaths, journal: JournalWriter, setting: bool | str
) -> Output | DescriptorOutput | None:
    if setting != "fd":
        return Output.install(paths, journal, setting)
    from labbook.client.descriptors import DescriptorOutput

    return DescriptorOutput.install(paths, journal)


def _attach(run: Run, settled: Settings) -> None:
    """Start what runs beside the training: gauges, output, evidence of the end."""
    paths = run.paths
    run.attach(
        Gauges(
            run._journal,
            settled.gauges_s,
            book=settled.book,
            places=run._checkpoint_folders,
            tell=run._tell,
        ),
        _output(paths, run._journal, settled.output),
        Endings(
            lambda ending: run._finish(ending, exiting=True),
            paths.term(run.attempt, run.writer),
            paths.exit_status(run.attempt, run.writer),
        ),
    )
