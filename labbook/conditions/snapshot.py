"""The snapshot: the code as executed, as a git tree in the book's `code.git`.

The tree is the one a commit of everything (tracked and untracked, not ignored) would have: equal
to `HEAD^{tree}` when nothing is dirty. Where git would convert a file on its way into a commit
(line endings, filters), the bytes as they are on disk are stored beside it (`raw`), so that a
restored file is the executed one byte for byte. Everything is stored in the book: it survives
whatever happens to the user's repository, which is only read.

What it costs depends on what changed, not on the size of the repository: one `git status` through
a private, refreshed copy of the index; files are hashed once; trees are rewritten only on the way
to a change; the commit's own objects are copied once, by git, into one pack.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from labbook.conditions import repository
from labbook.conditions.gitcommand import GitFailed
from labbook.conditions.limits import LeftOut, Limits
from labbook.conditions.notebook import executed_cells
from labbook.conditions.repository import Status
from labbook.conditions.store import ObjectStore
from labbook.conditions.trees import encode
from labbook.errors import SnapshotError

__all__ = ["LeftOut", "Limits", "Snapshot", "Taken", "take", "take_all"]


@dataclass(frozen=True)
class Snapshot:
    """The code of one working tree at one moment.

    `kind` is `complete` (everything within the limits is stored), `partial` (time ran out, or the
    commit could not be copied: `reason`) or `none` (`reason`; `tree` is null then). `tree` and
    `commit` are names in the store; two snapshots with one tree are one code. `base` is the
    user's commit. In a partial snapshot `overlay` is a tree of the stored files alone.
    `deleted` and `omitted` are tracked paths that the tree lacks: gone, or changed beyond the
    limits. `raw` maps paths to blobs of their very bytes. `prefix` leads from the top of the
    working tree to the folder asked for. `cells` is the blob of a notebook's executed cells.
    `nested` are the repositories inside, by path.
    """

    kind: str
    reason: str | None = None
    tree: str | None = None
    commit: str | None = None
    base: str | None = None
    base_tree: str | None = None
    prefix: str = ""
    files_modified: tuple[str, ...] = ()
    files_untracked: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    raw: dict[str, str] = field(default_factory=dict)
    overlay: str | None = None
    cells: str | None = None
    nested: dict[str, Snapshot] = field(default_factory=dict)
    n_hashed: int = 0
    seconds: float = 0.0

    @property
    def submodules(self) -> dict[str, Snapshot]:
        """The repositories inside this one: submodules, and repositories nobody added."""
        return self.nested

    def as_condition(self) -> dict[str, Any]:
        """Return the snapshot as JSON data."""
        found = asdict(replace(self, nested={}))
        for name in ("files_modified", "files_untracked", "deleted", "omitted", "left_out"):
            found[name] = list(found[name])
        found["nested"] = {path: inner.as_condition() for path, inner in self.nested.items()}
        return found


@dataclass(frozen=True)
class Taken:
    """A snapshot with what was learnt on the way, for the `git` object of the conditions."""

    snapshot: Snapshot
    status: Status | None = None
    settings: dict[str, str] = field(default_factory=dict)
    reason: str | None = None


def take(
    folder: str | PathLike[str],
    code_git: str | PathLike[str],
    *,
    limits: Limits | None = None,
    private_cache: str | PathLike[str],
) -> Snapshot:
    """Take the snapshot of the working tree (or, without git, the folder) that holds `folder`.

    `private_cache` is a folder of this user on this host. Never raises on what it meets: a store
    that cannot be written, a broken repository and lack of time are said in the snapshot.
    """
    return take_all(folder, code_git, limits=limits, private_cache=private_cache).snapshot


def take_all(
    folder: str | PathLike[str],
    code_git: str | PathLike[str],
    *,
    limits: Limits | None = None,
    private_cache: str | PathLike[str],
) -> Taken:
    """As `take`, with git's status and settings, so that git is asked once for both."""
    from labbook.conditions import capture

    started = time.monotonic()
    store = ObjectStore(code_git)
    try:
        taken = capture.capture(
            Path(folder).resolve(), store, Path(private_cache), limits or Limits()
        )
    except GitFailed as error:
        taken = Taken(Snapshot("none", str(error)), reason=repository.said(str(error), str(folder)))
    except (OSError, SnapshotError) as error:
        taken = Taken(Snapshot("none", f"the code cannot be stored: {error}"))
    except Exception as error:  # the outer border: no fault of ours may stop a training
        why = f"the snapshot failed: {type(error).__name__}: {error}"
        taken = Taken(Snapshot("none", why))
    if taken.snapshot.kind != "none":
        taken = replace(taken, snapshot=_with_cells(taken.snapshot, store))
    seconds = round(time.monotonic() - started, 4)
    return replace(taken, snapshot=replace(taken.snapshot, seconds=seconds))


def _with_cells(snapshot: Snapshot, store: ObjectStore) -> Snapshot:
    """Store what a notebook has executed, outside the tree: it is no file of the user's."""
    cells = executed_cells()
    if cells is None:
        return snapshot
    try:
        blob = store.write("blob", cells.encode("utf-8", "surrogatepass"))
        tree = store.write("tree", encode({b"cells.py": ("100644", blob)}))
        store.set_ref(f"files/{tree}", tree)
    except OSError:
        return snapshot  # said for the files already, if the store is full
    return replace(snapshot, cells=blob)
