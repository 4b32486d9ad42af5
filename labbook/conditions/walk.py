"""Lists the files of a folder that is in no git repository, leaving out what is not code."""

from __future__ import annotations

import os
import stat as modes
from dataclasses import dataclass, field
from pathlib import Path

from labbook.conditions.limits import OUT_OF_TIME, Candidate, Deadline, LeftOut, Limits
from labbook.conditions.trees import LINK_MODE

__all__ = ["Walk", "candidate", "files", "is_refused"]

_SKIPPED = frozenset({
    ".git", ".hg", ".svn", ".labbook", "__pycache__", "node_modules", "site-packages",
    ".venv", "venv", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".cache",
    ".ipynb_checkpoints", ".idea", ".vscode",
})  # fmt: skip
_SKIPPED_SUFFIXES = (".pyc", ".pyo", ".swp", "~")
_NOT_CODE = ("pyvenv.cfg", "book.json")
"""A folder that holds one of these is an environment, or a book."""
_CODE_SUFFIXES = (
    ".py", ".pyi", ".pyx", ".ipynb", ".sh", ".toml", ".yaml", ".yml", ".cfg", ".ini",
    ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp",
)  # fmt: skip
_DATA_FILES = 1000
"""So many files in one folder are data."""


def is_refused(top: Path) -> bool:
    """Whether a folder is too much to be one project's: `/`, the home folder, or one above it."""
    home = Path(os.path.realpath(os.path.expanduser("~")))
    return top == Path(top.anchor) or top == home or top in home.parents


@dataclass
class Walk:
    """The files of a folder, what was passed over as data, and why the walk ended early."""

    found: list[Candidate] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    cut: str | None = None


def files(top: Path, without: Path, limits: Limits) -> Walk:
    """List the files and links below `top`, nearest first; `without` is the book.

    Environments, caches, books, other repositories' insides and folders that cannot be read are
    passed over; of a folder with very many files only those that are code by their name are taken.
    Ends after `limits.files` files, or half of the time: the other half is for storing them.
    """
    deadline = Deadline(limits.seconds / 2)
    walk = Walk()
    folders = [top]
    for folder in folders:  # grows while it is walked: breadth first
        here: list[os.DirEntry[str]] = []
        for entry in _entries(folder):
            if entry.name in _SKIPPED or entry.path == os.fspath(without):
                continue
            if not entry.is_dir(follow_symlinks=False):
                here.append(entry)
            elif not any(os.path.exists(os.path.join(entry.path, name)) for name in _NOT_CODE):
                folders.append(Path(entry.path))
        _take(walk, top, folder, here)
        if len(walk.found) > limits.files:
            del walk.found[limits.files :]
            walk.cut = (
                f"more than {limits.files:,} files in no git repository: the nearest are kept"
            )
            break
        if deadline.passed():
            walk.cut = OUT_OF_TIME
            break
    return walk


def _take(walk: Walk, top: Path, folder: Path, here: list[os.DirEntry[str]]) -> None:
    """Add the files of one folder; of very many, those that are code."""
    code = [entry for entry in here if not entry.name.endswith(_SKIPPED_SUFFIXES)]
    if len(code) > _DATA_FILES:
        kept = [entry for entry in code if entry.name.endswith(_CODE_SUFFIXES)]
        name = "." if folder == top else folder.relative_to(top).as_posix()
        why = f"{len(code) - len(kept):,} files in one folder"
        walk.left_out.append(LeftOut(f"{name}/", 0, folder.lstat().st_mtime, why))
        code = kept
    for entry in code:
        found = candidate(top, os.path.relpath(entry.path, top), is_tracked=False)
        if found is not None:
            walk.found.append(found)


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
