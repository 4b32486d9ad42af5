"""Lists the files of a folder that is in no git repository, leaving out what is not code."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Iterator
from pathlib import Path

from labbook.conditions.limits import Candidate, Deadline
from labbook.conditions.trees import LINK_MODE

__all__ = ["candidate", "files", "is_refused"]

_SKIPPED = frozenset({
    ".git", ".hg", ".svn", ".labbook", "__pycache__", "node_modules", "site-packages",
    ".venv", "venv", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".cache",
    ".ipynb_checkpoints", ".idea", ".vscode",
})  # fmt: skip
_SKIPPED_SUFFIXES = (".pyc", ".pyo", ".swp", "~")


def is_refused(top: Path) -> bool:
    """Whether a folder is too much to be one project's: `/`, the home folder, or one above it."""
    home = Path(os.path.realpath(os.path.expanduser("~")))
    return top == Path(top.anchor) or top == home or top in home.parents


def files(top: Path, without: Path, deadline: Deadline) -> Iterator[Candidate]:
    """Yield the files and links below `top`, nearest first; `without` is the book.

    Environments, caches, other repositories' insides and folders that cannot be read are passed
    over. Ends early when the deadline has passed.
    """
    folders = [top]
    for folder in folders:  # grows while it is walked: breadth first
        if deadline.passed():
            return
        for entry in _entries(folder):
            path = Path(entry.path)
            if entry.name in _SKIPPED or path == without:
                continue
            if entry.is_dir(follow_symlinks=False):
                if not os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
                    folders.append(path)
            elif not entry.name.endswith(_SKIPPED_SUFFIXES):
                found = candidate(top, path.relative_to(top).as_posix(), is_tracked=False)
                if found is not None:
                    yield found


def candidate(
    top: Path, path: str, *, is_tracked: bool, mode: str = "", modes_count: bool = True
) -> Candidate | None:
    """Return a file or link as a candidate; None when it is gone or is neither.

    `mode` is what git says, where git knows the file; `modes_count` is `core.fileMode`.
    """
    try:
        stat = os.lstat(top / path)
    except OSError:
        return None
    if modes.S_ISLNK(stat.st_mode):
        return Candidate(path, stat, is_tracked, LINK_MODE)
    if not modes.S_ISREG(stat.st_mode):
        return None
    if mode not in {"100644", "100755"}:
        mode = "100755" if modes_count and stat.st_mode & 0o100 else "100644"
    return Candidate(path, stat, is_tracked, mode)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as scan:
            return sorted(scan, key=lambda entry: entry.name)
    except OSError:
        return []
