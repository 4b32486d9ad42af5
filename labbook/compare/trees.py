"""Which files differ between two trees of a book's `code.git`, by git's plumbing alone.

`diff-tree` runs in an empty GIT_DIR with no configuration and no working tree, so no attribute,
driver, filter or external diff of a book can take part; both switches that would allow one are
turned off besides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from labbook.conditions.objects import ObjectReader
from labbook.conditions.trees import EMPTY_TREE
from labbook.errors import SnapshotError

__all__ = ["FileChange", "changed_files", "patch"]

_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-commit-id", "-r")

_KINDS = {"A": "added", "D": "removed", "M": "changed", "R": "renamed", "T": "type changed"}

_LARGEST_TEXT = "core.bigFileThreshold=32m"
"""Larger files are compared as binary: git would hold both in memory."""


@dataclass(frozen=True)
class FileChange:
    """One file; `added` and `removed` count lines, None for what is not text.

    `status`: added, removed, changed, renamed, type changed (a file that became a link), mode (of a
    file that became executable), bytes (git's form of it is the same, its bytes were not:
    line endings, or a filter).
    """

    path: str
    status: str
    old_path: str | None = None
    added: int | None = None
    removed: int | None = None
    is_binary: bool = False
    is_elsewhere: bool = False
    """In one of the user's other repositories, whose name begins the path."""

    def inside(self, folder: str, *, is_elsewhere: bool = False) -> FileChange:
        """The same file seen from above a folder."""
        if not folder:
            return self
        old = None if self.old_path is None else f"{folder}/{self.old_path}"
        return replace(self, path=f"{folder}/{self.path}", old_path=old, is_elsewhere=is_elsewhere)


def changed_files(reader: ObjectReader, a: str | None, b: str | None) -> list[FileChange]:
    """Return the files that differ between two trees (None: empty), by path.

    Raises `SnapshotError`.
    """
    out = _git(reader, "-M", "-z", "--raw", "--numstat", a or EMPTY_TREE, b or EMPTY_TREE)
    words = iter(out.split(b"\0"))
    return sorted(_parse(words), key=lambda change: change.path)


def patch(reader: ObjectReader, a: str | None, b: str | None) -> str:
    """Return the unified diff of two trees (None: empty). Raises `SnapshotError`.

    Bytes that are no UTF-8 are written as `\\xe9`.
    """
    out = _git(reader, "-M", "-p", "--histogram", a or EMPTY_TREE, b or EMPTY_TREE)
    return out.decode("utf-8", "backslashreplace")


def _git(reader: ObjectReader, *arguments: str) -> bytes:
    return reader.run("-c", _LARGEST_TEXT, "diff-tree", *_PLAIN, *arguments)


def _parse(words: Iterator[bytes]) -> Iterator[FileChange]:
    """Read the raw records, then the numbers: git writes them one list after the other."""
    changes: dict[str, FileChange] = {}
    for word in words:
        if word.startswith(b":"):
            change = _raw(word, words)
            changes[change.path] = change
        elif word:
            _count(word, words, changes)
    yield from changes.values()


def _raw(word: bytes, words: Iterator[bytes]) -> FileChange:
    """`:100644 100755 <oid> <oid> M`, and one path, or two for a rename."""
    fields = word[1:].split()
    if len(fields) != 5:
        raise SnapshotError(f"git diff-tree said {word!r}")
    old_mode, new_mode, old, new, letter = fields
    status = _KINDS.get(letter[:1].decode("ascii", "replace"), "changed")
    path = os.fsdecode(next(words))
    if status == "renamed":
        return FileChange(os.fsdecode(next(words)), status, old_path=path)
    if old == new and old_mode != new_mode:
        status = "mode"
    return FileChange(path, status)


def _count(word: bytes, words: Iterator[bytes], changes: dict[str, FileChange]) -> None:
    """`<added>\\t<removed>\\t<path>`; an empty path is that of a rename, and both follow."""
    fields = word.split(b"\t", 2)
    if len(fields) != 3:
        raise SnapshotError(f"git diff-tree said {word!r}")
    added, removed, name = fields
    if not name:
        next(words)
        name = next(words)
    path = os.fsdecode(name)
    if path not in changes:
        return
    if added == b"-":
        changes[path] = replace(changes[path], is_binary=True)
    else:
        changes[path] = replace(changes[path], added=int(added), removed=int(removed))
