"""Makes the files of a snapshot again, byte for byte, and names what it lacks.

Bytes come from the book's own store; where a snapshot is partial, and says of what commit, from the
user's repository too. Objects are checked against their names, whoever kept them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from labbook.conditions import worktree
from labbook.conditions.objects import File, ObjectReader
from labbook.conditions.snapshot import Snapshot
from labbook.conditions.store import ObjectStore
from labbook.conditions.trees import GITLINK_MODE, LINK_MODE
from labbook.errors import MisuseError, SnapshotError
from labbook.restore.writing import Folder

__all__ = ["Missing", "Restored", "fill", "make_folder", "restore_tree"]

_Source = tuple[File, ObjectReader]
_GIT_FORM = "its form in git is recorded"
_LONGEST_LINK = 1 << 16


@dataclass(frozen=True)
class Missing:
    """A path of the executed tree that was not restored as it was, and why."""

    path: str
    why: str
    bytes: int = 0
    mtime: float = 0.0

    @property
    def is_replaced(self) -> bool:
        """Whether something else stands in its place: the form that git keeps of it."""
        return self.why.endswith(_GIT_FORM)


@dataclass
class Restored:
    """What was written below `folder`, by path; `outward` are the links that lead out of it."""

    folder: Path
    files: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    bytes: int = 0
    missing: list[Missing] = field(default_factory=list)
    outward: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One file to write: where to, and who has its bytes."""

    path: str
    mode: str
    oid: str
    reader: ObjectReader


def make_folder(folder: Path) -> None:
    """Make the folder a tree goes into; raises `MisuseError` when something is in it already."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with os.scandir(folder) as scan:
            found = next(scan, None)
    except OSError as error:
        raise MisuseError(f"{folder} cannot hold the code: {error.strerror}") from error
    if found is not None:
        raise MisuseError(
            f"{folder} is not empty (it holds {found.name!r}): name a folder that is new or empty"
        )


def restore_tree(
    snapshot: Snapshot, code_git: Path, folder: Path, original: Path | None = None
) -> Restored:
    """Restore a snapshot into `folder`, which must be new or empty, and return what was done.

    `original` is the user's working tree, where a partial snapshot may find what it lacks. A
    restore that fails leaves the folder empty. Raises `SnapshotError`, and `MisuseError` for the
    folder.
    """
    make_folder(folder)
    try:
        return fill(snapshot, code_git, folder, original)
    except BaseException:
        _empty(folder)
        raise


def fill(
    snapshot: Snapshot, code_git: Path, folder: Path, original: Path | None = None
) -> Restored:
    """As `restore_tree`, into a folder that its maker has just made and removes on failure."""
    done = Restored(folder)
    with ExitStack() as stack:
        code = stack.enter_context(ObjectReader(code_git))
        into = stack.enter_context(Folder(folder))
        gather = _Gathering(code, stack, done)
        gather.add(snapshot, "", original)
        for leaf in gather.files:
            _write(leaf, into, done)
        for path in gather.folders:
            into.folder(path)
        # last: no file is ever written when there is a link that could lead it elsewhere
        for leaf in gather.links:
            _link(leaf, into, done)
    return done


class _Gathering:
    """Collects the files of a snapshot and of the repositories inside, each with its reader."""

    def __init__(self, code: ObjectReader, stack: ExitStack, done: Restored) -> None:
        self._code, self._stack, self._done = code, stack, done
        self.files: list[_Leaf] = []
        self.links: list[_Leaf] = []
        self.folders: list[str] = []

    def add(self, snapshot: Snapshot, prefix: str, original: Path | None) -> None:
        """Add a snapshot's files below `prefix`; raises `SnapshotError` when it has none."""
        for file, reader in self._sources(snapshot, original):
            path, raw = prefix + file.path, snapshot.raw.get(file.path)
            if file.mode == LINK_MODE:
                self.links.append(_Leaf(path, file.mode, file.oid, reader))
            elif file.mode != GITLINK_MODE:
                leaf = (file.oid, reader) if raw is None else (raw, self._code)
                self.files.append(_Leaf(path, file.mode, *leaf))
            elif file.path not in snapshot.nested:
                self.folders.append(path)  # a submodule that was not fetched
        self._lacks(snapshot, prefix)
        for path, inner in snapshot.nested.items():
            where = f"{prefix}{path}"
            try:
                self.add(inner, f"{where}/", None if original is None else original / path)
            except SnapshotError as error:
                self.folders.append(where)
                self._done.missing.append(Missing(f"{where}/", str(error)))

    def _sources(self, snapshot: Snapshot, original: Path | None) -> Iterable[_Source]:
        if snapshot.kind == "none" or snapshot.tree is None:
            raise SnapshotError(f"this code was not recorded: {snapshot.reason}")
        if snapshot.commit is not None or _is_kept(self._code, "trees", snapshot.tree):
            return ((file, self._code) for file in self._code.files(snapshot.tree))
        return self._partial(snapshot, original)

    def _partial(self, snapshot: Snapshot, original: Path | None) -> Iterable[_Source]:
        """The committed files less what was changed, under the changed files that were stored."""
        reader, base = self._base(snapshot, original)
        found = {path: (file, reader) for path, file in base.items()}
        for path in (*snapshot.deleted, *snapshot.omitted):
            found.pop(path, None)
        if snapshot.overlay is not None:
            own = self._code.files(snapshot.overlay)
            found |= {file.path: (file, self._code) for file in own}
        return found.values()

    def _base(
        self, snapshot: Snapshot, original: Path | None
    ) -> tuple[ObjectReader, dict[str, File]]:
        tree = snapshot.base_tree
        if tree is None:
            return self._code, {}
        if _is_kept(self._code, "base", tree):  # git finished its copy after the start
            return self._code, {file.path: file for file in self._code.files(tree)}
        found = None if original is None else worktree.find(original)
        if found is None:
            why = f"{original} is no repository" if original else "its repository is not known here"
        else:
            objects = worktree.objects_of(found)
            try:
                reader = self._stack.enter_context(ObjectReader(objects.parent))
                files = {file.path: file for file in reader.files(tree)}
            except SnapshotError as error:
                why = str(error)
            else:
                self._done.notes.append(f"files as committed were read from {found.top}")
                return reader, files
        what = f"all that was unchanged since commit {snapshot.base}"
        self._done.missing.append(Missing("./", f"{what}: {snapshot.reason}; {why}"))
        return self._code, {}

    def _lacks(self, snapshot: Snapshot, prefix: str) -> None:
        told = {item.path for item in snapshot.left_out}
        for item in snapshot.left_out:
            path = f"{prefix}{item.path}"
            self._done.missing.append(Missing(path, item.why, item.bytes, item.mtime))
        for path in snapshot.omitted:
            if path not in told:
                why = f"it was changed and not recorded: {snapshot.reason}"
                self._done.missing.append(Missing(f"{prefix}{path}", why))
        if snapshot.kind == "partial":
            why = f"whatever else was changed or untracked: {snapshot.reason}"
            self._done.missing.append(Missing(prefix or "./", why))


def _is_kept(code: ObjectReader, kind: str, tree: str) -> bool:
    """Whether a ref says that the store has all of a tree."""
    return ObjectStore(code.root).ref(f"{kind}/{tree}") is not None and code.has(tree)


def _write(leaf: _Leaf, into: Folder, done: Restored) -> None:
    with into.file(leaf.path, is_executable=leaf.mode == "100755") as target:
        done.bytes += leaf.reader.copy(leaf.oid, target)
    done.files.append(leaf.path)


def _link(leaf: _Leaf, into: Folder, done: Restored) -> None:
    target = leaf.reader.read(leaf.oid)
    if not target or len(target) > _LONGEST_LINK:
        raise SnapshotError(f"{leaf.path!r} is a link of {len(target)} bytes: refused")
    into.link(leaf.path, target)
    done.links.append(leaf.path)
    below = os.path.normpath(os.path.join(os.path.dirname(leaf.path), os.fsdecode(target)))
    if os.path.isabs(below) or below.split("/", 1)[0] == "..":
        done.outward.append(leaf.path)


def _empty(folder: Path) -> None:
    with os.scandir(folder) as scan:
        for entry in scan:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)
