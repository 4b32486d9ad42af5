"""Reads a book's code back from its object store `code.git`, trusting nothing but bytes.

A book may come from anyone. Git runs with an empty GIT_DIR of our own and only
`GIT_OBJECT_DIRECTORY` pointing at the store: no hook, alternate, filter or configuration of the
book, the user or the machine takes part, each object's name is checked against its bytes, and a
tree's paths are checked before anybody makes files of them.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from labbook.conditions import gitcommand
from labbook.conditions.trees import TREE_MODE, TreeEntry, object_id, parse_tree
from labbook.errors import SnapshotError

__all__ = ["File", "ObjectReader"]


_MOST_FILES = 2_000_000
_LONGEST_PATH = 4096
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class File:
    """One file of a whole tree: `mode` is 100644, 100755, 120000 (link) or 160000 (submodule)."""

    path: str
    mode: str
    oid: str


class ObjectReader:
    """The reading side: one `git cat-file --batch` that trusts nothing but bytes. Use `with`."""

    def __init__(self, code_git: str | os.PathLike[str], *, most_files: int = _MOST_FILES) -> None:
        self.root = Path(code_git)
        self._most_files = most_files
        objects = self.root / "objects"
        for name in ("info/alternates", "info/http-alternates"):
            if os.path.lexists(objects / name):
                raise SnapshotError(
                    f"{objects / name} leads out of the book: remove it to read the code"
                )
        if not os.path.isdir(objects):
            raise SnapshotError(f"no code is stored in this book: {objects} does not exist")
        self._folder = tempfile.TemporaryDirectory(prefix="labbook-git-")
        self._child: subprocess.Popen[bytes] | None = None
        for folder in ("objects", "refs"):
            os.mkdir(os.path.join(self._folder.name, folder))
        Path(self._folder.name, "HEAD").write_text("ref: refs/heads/none\n")

    def __enter__(self) -> ObjectReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End git and remove its folder."""
        if self._child is not None:
            gitcommand.end(self._child)
            self._child = None
        self._folder.cleanup()

    def environment(self) -> dict[str, str]:
        """Return the variables under which git sees these objects and no settings at all."""
        return {
            "GIT_DIR": self._folder.name,
            "GIT_OBJECT_DIRECTORY": os.path.abspath(self.root / "objects"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "HOME": self._folder.name,
            "XDG_CONFIG_HOME": self._folder.name,
        }

    def run(self, *arguments: str, limit_s: float = 30.0) -> bytes:
        """Run git over the objects (`diff-tree`, …) in an empty folder; raises `SnapshotError`."""
        try:
            return gitcommand.run(
                self._folder.name, *arguments, limit_s=limit_s, extra=self.environment()
            )
        except gitcommand.GitFailed as error:
            raise SnapshotError(f"git {arguments[0]} failed in {self.root}: {error}") from error

    def read(self, oid: str, kind: str = "blob") -> bytes:
        """Return an object's bytes; `SnapshotError` when missing, of another kind or damaged."""
        stream, size = self._ask(oid, kind)
        data = stream.read(size)
        stream.read(1)
        if object_id(kind, data) != oid:
            raise SnapshotError(f"{kind} {oid} in {self.root} is damaged")
        return data

    def copy(self, oid: str, target: IO[bytes]) -> int:
        """Copy a blob to an open file in pieces, check it, and return its size; `SnapshotError`."""
        stream, size = self._ask(oid, "blob")
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        left = size
        while left:
            piece = stream.read(min(left, _CHUNK))
            if not piece:
                break
            digest.update(piece)
            target.write(piece)
            left -= len(piece)
        stream.read(1)
        if digest.hexdigest() != oid:
            raise SnapshotError(f"blob {oid} in {self.root} is damaged")
        return size

    def has(self, oid: str) -> bool:
        """Whether an object is there."""
        try:
            self._drop(*self._ask(oid, None))
        except SnapshotError:
            return False
        return True

    def files(self, tree: str) -> Iterator[File]:
        """Yield every file below a tree in git's order; `SnapshotError` on a hostile path."""
        count = 0
        stack: list[tuple[bytes, TreeEntry]] = self._below(b"", tree)
        while stack:
            path, entry = stack.pop()
            if entry.mode == TREE_MODE:
                stack += self._below(path + b"/", entry.oid)
                continue
            count += 1
            if count > self._most_files:
                raise SnapshotError(f"tree {tree} has more than {self._most_files:,} files")
            yield File(os.fsdecode(path), entry.mode, entry.oid)

    def _below(self, prefix: bytes, tree: str) -> list[tuple[bytes, TreeEntry]]:
        if len(prefix) > _LONGEST_PATH:
            raise SnapshotError(f"tree {tree}: a path longer than {_LONGEST_PATH} bytes")
        entries = parse_tree(self.read(tree, "tree"))
        for entry in entries:
            check_name(entry, tree)
        return [(prefix + entry.name, entry) for entry in reversed(entries)]

    def _ask(self, oid: str, kind: str | None) -> tuple[IO[bytes], int]:
        if len(oid) != 40 or not oid.isalnum():
            raise SnapshotError(f"{oid!r} is no object id")
        try:
            stream, found, size = gitcommand.ask(self._started(), oid)
        except gitcommand.GitFailed as error:
            raise SnapshotError(f"{kind or 'object'} {oid} cannot be read: {error}") from error
        if kind is not None and found != kind:
            self._drop(stream, size)
            raise SnapshotError(f"{oid} in {self.root} is a {found}, not a {kind}")
        return stream, size

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            try:
                self._child = gitcommand.start(
                    self._folder.name, "cat-file", "--batch",
                    extra=self.environment(), stdin=subprocess.PIPE, quiet=True,
                )  # fmt: skip
            except gitcommand.GitFailed as error:
                raise SnapshotError(f"the code in {self.root} cannot be read: {error}") from error
        return self._child

    @staticmethod
    def _drop(stream: IO[bytes], size: int) -> None:
        left = size + 1
        while left and (piece := stream.read(min(left, _CHUNK))):
            left -= len(piece)


def check_name(entry: TreeEntry, tree: str) -> None:
    """Refuse an entry that leads out of its folder or into a `.git`; raises `SnapshotError`."""
    name = entry.name
    plain = name.lower().rstrip(b" .").partition(b":")[0]  # how other file systems would read it
    if name in {b"", b".", b".."} or b"/" in name or b"\0" in name or plain in {b".git", b"git~1"}:
        raise SnapshotError(f"tree {tree} has an entry named {name!r}: refused")
