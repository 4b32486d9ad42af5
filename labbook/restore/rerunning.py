"""Runs a run again: its code in a scratch folder, its data linked in, its command, into its book.

`prepare` executes nothing of the run; `check` starts the interpreter, without the run's code;
`execute` runs it. Whoever calls them shows the plan in between.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labbook.book.runreader import RunReader
from labbook.errors import SnapshotError
from labbook.paths import BookPaths
from labbook.restore import recorded as conditions
from labbook.restore.command import Command, rebuild
from labbook.restore.linking import Linked
from labbook.restore.original import bring_over
from labbook.restore.recorded import Recorded
from labbook.restore.restoring import code_of, restore_editable
from labbook.restore.scratch_git import make_repository
from labbook.restore.surroundings import (
    Difference,
    Probe,
    child_environment,
    differences,
    probe,
    python_path,
)
from labbook.restore.tree import Missing, Restored, restore_tree

__all__ = ["Checked", "Ended", "Plan", "Wishes", "check", "execute", "prepare"]

_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*t?")


@dataclass(frozen=True)
class Wishes:
    """What the user asks of a rerun; `python`, `attempt`, `original`: null is what was recorded."""

    python: str | None = None
    attempt: int | None = None
    original: Path | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    links: tuple[str, ...] = ()


@dataclass
class Plan:
    """A rerun that is ready to be run: everything in it may be shown, but `command.words`."""

    book: BookPaths
    run: RunReader
    recorded: Recorded
    scratch: Path
    copy: Path
    restored: Restored
    editable: dict[str, Restored]
    linked: Linked
    missing: list[Missing]
    command: Command
    is_foreign: str | None
    notes: list[str]

    def clean(self) -> None:
        """Remove the scratch folder; what is linked in it stays."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    def written(self) -> list[Path]:
        """Files that the command left in the scratch folder."""
        known = {*self.restored.files, *self.restored.links, *self.linked.links}
        found = []
        for folder, folders, files in os.walk(self.copy):
            folders[:] = [name for name in folders if name not in {".git", "__pycache__"}]
            for name in files:
                path = Path(folder, name)
                if path.relative_to(self.copy).as_posix() not in known and not path.is_symlink():
                    found.append(path)
        return found


@dataclass(frozen=True)
class Checked:
    """The environment of a rerun, and how it differs from that of the run."""

    environ: dict[str, str]
    differences: list[Difference]


@dataclass(frozen=True)
class Ended:
    """How the command ended, and the runs it recorded, oldest first."""

    exit_code: int
    run_ids: list[str]


def prepare(book: BookPaths, run: RunReader, cache: Path, wishes: Wishes) -> Plan:
    """Restore the code into a new folder below `cache`, link the data, and make the command.

    Raises `SnapshotError` when the run cannot be repeated as it was, `MisuseError` for a secret
    that is missing. The first attempt is repeated unless another is asked for.
    """
    attempts = sorted({process.attempt for process in run.processes})
    recorded = conditions.read(run, wishes.attempt or (attempts[0] if attempts else None))
    code = code_of(book, recorded)
    if recorded.world_size > 1:
        raise SnapshotError(
            f"run {run.id} was {recorded.world_size} processes: restore it, and start it with its "
            "launcher, LABBOOK_PARENT set to its id"
        )
    foreign = _foreign(recorded)
    python = wishes.python or _python(recorded, book, foreign)
    top = recorded.top
    rebuild(recorded, Path("/"), python, wishes.secrets)  # what cannot be run fails before work
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    # real: `/tmp` is a link on some systems, and programs see the folder with its links resolved
    scratch = Path(os.path.realpath(tempfile.mkdtemp(prefix=f"{run.id}-", dir=cache)))
    try:
        copy = scratch / (top.name if top and top.name else "code")
        restored = restore_tree(recorded.snapshot, code, copy, wishes.original or top)
        editable = restore_editable(book, recorded, scratch / "editable")
        command = rebuild(recorded, copy, python, wishes.secrets)
        original = wishes.original or top
        linked, missing, notes = bring_over(
            recorded, original, restored, command, book=book.root, chosen=wishes.links
        )
        notes = _notes(recorded, attempts, restored, command) + notes
        failure = make_repository(copy, recorded.snapshot, code, original, linked.links)
        if failure:
            notes.append(failure)
        _require(command, recorded)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return Plan(
        book, run, recorded, scratch, copy, restored, editable, linked, missing, command,
        foreign, notes,
    )  # fmt: skip


def check(plan: Plan, present: Mapping[str, str] | None = None) -> Checked:
    """Ask the interpreter what it has, and compare; raises `SnapshotError` when it cannot say."""
    present = os.environ if present is None else present
    recorded = plan.recorded
    environ, left = child_environment(recorded.conditions, present)
    script = plan.command.script
    found = probe(plan.command.words[0], environ, None if script is None else script.parent)
    path = python_path(environ.get("PYTHONPATH", ""), found, _copies(plan, found))
    environ |= {**_labels(plan), **({"PYTHONPATH": path} if path else {})}
    return Checked(environ, differences(recorded.conditions, found.conditions) + left)


def execute(plan: Plan, checked: Checked, stdout: int | None = None) -> Ended:
    """Run the command and wait for its end; a Ctrl-C is the command's to handle."""
    before = set(plan.book.run_ids())
    sys.stdout.flush()
    try:
        child = subprocess.Popen(
            plan.command.words, cwd=plan.command.folder, env=checked.environ, stdout=stdout
        )
    except OSError as error:
        raise SnapshotError(f"{plan.command.words[0]} cannot be run: {error}") from error
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to both
    try:
        code = child.wait()
    finally:
        signal.signal(signal.SIGINT, handler)
    return Ended(code, _new_runs(plan, before, child.pid))


def _foreign(recorded: Recorded) -> str | None:
    """Who recorded it, when that was not this user on this host."""
    host = recorded.conditions.get("host")
    if host != os.uname().nodename:
        return f"on host {host}"
    owner = recorded.file.lstat().st_uid
    return f"by the user with id {owner}" if owner != os.getuid() else None


def _python(recorded: Recorded, book: BookPaths, foreign: str | None) -> str:
    """The recorded interpreter where it is this user's own, else the one that runs labbook."""
    part = recorded.conditions.get("python")
    named = part.get("executable") if isinstance(part, dict) else None
    is_usable = (
        foreign is None
        and isinstance(named, str)
        and os.path.isabs(named)
        and _PYTHON.fullmatch(os.path.basename(named)) is not None
        and not Path(named).is_relative_to(book.root)
        and os.access(named, os.X_OK)
    )
    return str(named) if is_usable else sys.executable


def _notes(
    recorded: Recorded, attempts: list[int], restored: Restored, command: Command
) -> list[str]:
    notes = list(restored.notes)
    if len(attempts) > 1:
        notes.append(f"attempt {recorded.attempt} of {len(attempts)} is repeated (--attempt)")
    if not command.folder.is_relative_to(restored.folder):
        notes.append(
            f"the working directory is {command.folder}, outside the code: what the command writes "
            "there is written there"
        )
    script = command.script
    if script is not None:
        known = {*restored.files, *restored.links}
        inside = script.is_relative_to(restored.folder)
        if not inside or os.path.relpath(script, restored.folder) not in known:
            notes.append(f"{script} is no part of the recorded code: it runs as it is now")
    return notes


def _require(command: Command, recorded: Recorded) -> None:
    if not command.folder.is_dir():
        raise SnapshotError(
            f"the working directory {command.folder} of run {recorded.run_id} is not here: make it"
        )
    if command.script is not None and not command.script.exists():
        raise SnapshotError(
            f"{command.script.name} is not in the code recorded for run {recorded.run_id}, and "
            f"not in its folder {recorded.top} as it was then: it cannot be run again"
        )


def _copies(plan: Plan, found: Probe) -> dict[Path, Path]:
    """The user's repositories as they are installed here → their restored copies."""
    copies = {}
    if plan.recorded.top is not None:
        copies[plan.recorded.top] = plan.copy
    for name, tree in plan.editable.items():
        place, prefix = found.editable.get(name), plan.recorded.editable[name].prefix
        if place is not None:
            copies[Path(os.path.realpath(place))] = tree.folder / prefix
    return copies


def _labels(plan: Plan) -> dict[str, str]:
    """What makes the new run one of this book, and a child of the run."""
    identity = plan.run.identity
    group, tags = identity.get("group"), identity.get("tags")
    labels = {
        "LABBOOK_DIR": str(plan.book.root),
        "LABBOOK_PARENT": plan.run.id,
        "LABBOOK_NAME": f"{plan.run.name} again",
        "LABBOOK_DIRTY": "allow",  # the tree is what it was, dirty or not
    }
    if isinstance(group, str) and group:
        labels["LABBOOK_GROUP"] = group
    if isinstance(tags, list) and tags:
        labels["LABBOOK_TAGS"] = ",".join(str(tag) for tag in tags)
    return {name: value for name, value in labels.items() if "\0" not in value}


def _new_runs(plan: Plan, before: set[str], pid: int) -> list[str]:
    """The runs that the command recorded: first those of the process itself, if there are any."""
    found, own = [], []
    for run_id in sorted(set(plan.book.run_ids()) - before):
        try:
            reader = RunReader(plan.book.run(run_id))
        except FileNotFoundError:
            continue  # being made, by somebody else
        if reader.identity.get("parent") == plan.run.id:
            found.append(run_id)
            if reader.conditions.get("pid") == pid:
                own.append(run_id)
    return own or found
