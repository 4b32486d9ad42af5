"""`labbook restore`: a run's code and its lock file, in a new folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from labbook.book.runreader import RunReader
from labbook.errors import SnapshotError
from labbook.paths import BookPaths, component
from labbook.restore import recorded as conditions
from labbook.restore.lock import LOCK, lock_text
from labbook.restore.recorded import Recorded
from labbook.restore.tree import Restored, make_folder, restore_tree
from labbook.restore.writing import Folder

__all__ = ["CELLS", "Outcome", "code_of", "restore", "restore_editable"]

CELLS = "labbook.cells.py"
"""What a notebook had executed when the run began."""


@dataclass
class Outcome:
    """What `restore` wrote: the tree, the files beside it, and editable installs by name."""

    recorded: Recorded
    tree: Restored
    added: list[str] = field(default_factory=list)
    editable: dict[str, Restored] = field(default_factory=dict)


def restore(
    book: BookPaths,
    run: RunReader,
    folder: Path,
    *,
    attempt: int | None = None,
    editable: Path | None = None,
) -> Outcome:
    """Restore the code of a run (by default as of its newest attempt) into a new folder.

    The tree is as executed; `labbook.lock` lists the packages, and `labbook.cells.py` what a
    notebook had executed. `editable` is a second new folder, for the user's other repositories
    that were installed in editable mode. Raises `SnapshotError` when the code was not recorded or
    is damaged, and `MisuseError` for a folder that is not empty.
    """
    recorded = conditions.read(run, attempt)
    code = code_of(book, recorded)
    if editable is not None:
        make_folder(editable)
    tree = restore_tree(recorded.snapshot, code, folder, recorded.top)
    outcome = Outcome(recorded, tree)
    with Folder(folder) as into:
        lock = LOCK
        if LOCK in {*tree.files, *tree.links}:  # the user's own: a tree that was restored before
            lock = f"labbook-{component(recorded.run_id)}.lock"
        with into.file(lock) as file:
            file.write(lock_text(recorded).encode("utf-8", "replace"))
        outcome.added.append(lock)
        if recorded.snapshot.cells is not None:
            _write_cells(recorded.snapshot.cells, code, into)
            outcome.added.append(CELLS)
    if editable is not None:
        outcome.editable = restore_editable(book, recorded, editable)
    return outcome


def code_of(book: BookPaths, recorded: Recorded) -> Path:
    """Return the store with a run's code; raises `SnapshotError` when nothing was recorded."""
    snapshot = recorded.snapshot
    if snapshot.kind == "none":
        raise SnapshotError(
            f"run {recorded.run_id} has no code to restore: {snapshot.reason}. "
            "`labbook show` tells its commit, where there was one"
        )
    return book.code


def restore_editable(book: BookPaths, recorded: Recorded, folder: Path) -> dict[str, Restored]:
    """Restore the editable installs of a run below `folder`, each under its name."""
    found: dict[str, Restored] = {}
    for name, snapshot in recorded.editable.items():
        if snapshot.kind != "none":
            into = folder / component(name, "package")
            found[name] = restore_tree(snapshot, book.code, into)
    return found


def _write_cells(oid: str, code: Path, into: Folder) -> None:
    from labbook.conditions.objects import ObjectReader

    with ObjectReader(code) as reader, into.file(CELLS) as file:
        reader.copy(oid, file)
