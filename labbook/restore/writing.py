"""Writes files below one folder, whatever their paths say.

Each step of a path is opened from the folder before it and never through a link; nothing that is
there already is opened or replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from labbook.errors import SnapshotError

__all__ = ["Folder"]

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAKE_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder:
    """A folder being filled. Use `with`; paths are relative and use `/`; raises `SnapshotError`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = os.open(root, _OPEN_FOLDER)
        self._open: tuple[str, int] = ("", self._root)
        self._made: set[str] = {""}

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        os.close(self._root)

    @contextmanager
    def file(self, path: str, *, is_executable: bool = False) -> Iterator[IO[bytes]]:
        """Make a file, and the folders it needs, and open it for writing."""
        with self._telling(path):
            parent, name = self._parent(path)
            mode = 0o777 if is_executable else 0o666  # less the umask, as git makes them
            handle = os.open(name, _MAKE_FILE, mode, dir_fd=parent)
        with open(handle, "wb") as file:
            yield file

    def link(self, path: str, target: bytes) -> None:
        """Make a symbolic link; it is never followed."""
        with self._telling(path):
            parent, name = self._parent(path)
            os.symlink(target, os.fsencode(name), dir_fd=parent)

    def folder(self, path: str) -> None:
        """Make a folder, and those above it."""
        with self._telling(path):
            self._enter(path)

    @contextmanager
    def _telling(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError as error:
            text = f"{path!r} is twice in the code, or differs from another path only in case"
            raise SnapshotError(f"{text}: nothing was overwritten in {self.root}") from error
        except (OSError, ValueError) as error:
            raise SnapshotError(f"{path!r} cannot be written below {self.root}: {error}") from error

    def _parent(self, path: str) -> tuple[int, str]:
        parent, _, name = path.rpartition("/")
        return self._enter(parent), name

    def _enter(self, path: str) -> int:
        """Open a folder, making what is missing; the last one stays open, files come in order."""
        if path == self._open[0]:
            return self._open[1]
        self._leave()
        at, done = os.dup(self._root), ""
        try:
            for part in path.split("/") if path else []:
                if part in {"", ".", ".."}:
                    raise ValueError("it leads out of its folder")
                done = f"{done}/{part}"
                if done not in self._made:
                    os.mkdir(part, dir_fd=at)
                    self._made.add(done)
                inner = os.open(part, _OPEN_FOLDER, dir_fd=at)
                os.close(at)
                at = inner
        except BaseException:
            os.close(at)
            raise
        self._open = (path, at)
        return at

    def _leave(self) -> None:
        if self._open[1] != self._root:
            os.close(self._open[1])
        self._open = ("", self._root)
