"""Which files of a live run's working tree are no longer as they were when it began.

Cheap and harmless: one `git status` through a private copy of the index, and only files that git
says differ are hashed. Nothing is written to the user's repository or to the book.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from labbook.book.facts import Facts, as_text
from labbook.book.states import derive
from labbook.client.settings import private_cache
from labbook.conditions import gitcommand, worktree
from labbook.conditions.cache import Cache
from labbook.conditions.gitcommand import GitFailed
from labbook.conditions.limits import Deadline
from labbook.conditions.objects import ObjectReader
from labbook.conditions.trees import object_id
from labbook.conditions.worktree import Worktree
from labbook.errors import SnapshotError
from labbook.paths import BookPaths

__all__ = ["SECONDS", "changed_since_start"]

SECONDS: Final = 2.0
"""All of it ends within about this time; what is not known by then is not known."""

_MOST: Final = 500
"""Files that are hashed; more than these have changed as a whole."""

_CODE: Final = frozenset({
    ".py", ".pyx", ".pyi", ".ipynb", ".sh", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp",
    ".yaml", ".yml", ".toml", ".ini", ".cfg",
})  # fmt: skip
"""Untracked files that count: logs and outputs change while a run lives, and are not its code."""


def changed_since_start(
    book: BookPaths, facts: Facts, private: Path | None = None, seconds: float = SECONDS
) -> tuple[str, ...] | None:
    """Return the paths that differ from the run's snapshot, new ones last, from the tree's top.

    None where that is not known: the run does not live on this host, its code was not stored
    whole, it is in no git repository of this user, or git took too long. `private` is a folder
    for the copy of the index, default one in the user's cache. Raises nothing.
    """
    process = facts.newest()
    if process is None or derive(facts.paths, process).name != "running":
        return None
    snapshot = process.conditions.get("snapshot")
    folder = os.path.dirname(as_text(process.conditions.get("script")) or "") or as_text(
        process.conditions.get("cwd")
    )
    if not isinstance(snapshot, dict) or snapshot.get("kind") != "complete" or not folder:
        return None
    try:
        tree = worktree.find(folder)
        if tree is None or os.stat(tree.top).st_uid != os.getuid():
            return None  # git would run the filters that its owner configured
        private = private or private_cache(os.environ) / "drift"
        return _compare(tree, snapshot, book, private, Deadline(seconds))
    except (GitFailed, SnapshotError, OSError):
        return None


def _compare(
    tree: Worktree, snapshot: dict[str, Any], book: BookPaths, private: Path, deadline: Deadline
) -> tuple[str, ...] | None:
    base, root = as_text(snapshot.get("base")), as_text(snapshot.get("tree"))
    if root is None:
        return None
    cache = Cache.open(private, tree.top, book.code)
    with worktree.private_index(tree, cache, deadline) as index:
        status = worktree.status(tree, index, deadline)
    cache.save()
    if not status.untracked_known:
        return None
    now = [
        entry.path
        for entry in status.entries
        if not entry.path.endswith("/")
        and not entry.is_submodule
        and (entry.status != "untracked" or _is_code(entry.path))
    ]
    now += [entry.old_path for entry in status.entries if entry.old_path]
    then = [path for name in ("files_modified", "deleted") for path in snapshot.get(name) or ()]
    then += [path for path in snapshot.get("files_untracked") or () if _is_code(path)]
    moved = _between(tree, base, status.commit, deadline) if base != status.commit else []
    own = os.path.relpath(book.root, tree.top)
    unasked = {str(path) for path in snapshot.get("omitted") or ()}
    paths = [
        path
        for path in dict.fromkeys([*now, *then, *moved])
        if isinstance(path, str) and path not in unasked and not _is_below(path, own)
    ]
    if not paths:
        return ()
    with ObjectReader(book.code) as reader:
        recorded = _recorded(reader, root, paths[:_MOST], deadline)
    present = _present(tree, paths[:_MOST], deadline)
    changed = [path for path in paths[:_MOST] if recorded.get(path) != present.get(path)]
    # files that came only later are the least of it
    order = sorted([*changed, *paths[_MOST:]], key=lambda path: (path not in recorded, path))
    return tuple(order)


def _is_code(path: object) -> bool:
    return os.path.splitext(str(path))[1].lower() in _CODE


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _between(tree: Worktree, base: str | None, head: str | None, deadline: Deadline) -> list[str]:
    """Paths that differ between the run's commit and the present one."""
    if base is None or head is None:
        return []
    if not base.isalnum():
        raise GitFailed(f"{base!r} is no commit")
    out = gitcommand.run(
        str(tree.top), "diff-tree", "-r", "-z", "--name-only", "--no-ext-diff", base, head,
        limit_s=deadline.left(),
    )  # fmt: skip
    return [os.fsdecode(path) for path in out.split(b"\0") if path]


def _recorded(
    reader: ObjectReader, root: str, paths: Iterable[str], deadline: Deadline
) -> dict[str, str]:
    """The blobs of these paths in the snapshot."""
    if not root.isalnum():
        raise SnapshotError(f"{root!r} is no tree")
    out = reader.run("ls-tree", "-z", "--full-tree", root, "--", *paths, limit_s=deadline.left())
    found = {}
    for line in out.split(b"\0"):
        about, _, path = line.partition(b"\t")
        if path:
            found[os.fsdecode(path)] = about.split()[2].decode("ascii", "replace")
    return found


def _present(tree: Worktree, paths: Iterable[str], deadline: Deadline) -> dict[str, str]:
    """The blobs that these files would be if they were added now; absent files have none."""
    found: dict[str, str] = {}
    files: list[str] = []
    for path in paths:
        try:
            mode = os.lstat(tree.top / path).st_mode
            if stat.S_ISLNK(mode):
                found[path] = object_id("blob", os.fsencode(os.readlink(tree.top / path)))
            elif stat.S_ISREG(mode) and "\n" not in path:
                files.append(path)
        except OSError:
            continue  # gone
    if files:
        data = b"".join(os.fsencode(path) + b"\n" for path in files)
        out = gitcommand.run(
            str(tree.top), "hash-object", "--stdin-paths", data=data, limit_s=deadline.left()
        )
        found |= dict(zip(files, out.decode().split(), strict=True))
    return found
