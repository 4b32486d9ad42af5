"""Links into a restored tree what the original folder has and the snapshot lacks: data, mostly.

What is linked is what was there, unchanged, when the run began: older than its start. What is
newer the run itself wrote, or somebody since. So a rerun, which writes where the run wrote, finds
no link there and overwrites nothing of the user's: tests/restore/test_linking.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Linked", "link_rest"]

_NEVER = frozenset({
    ".git", ".hg", ".svn", ".labbook", "__pycache__", ".mypy_cache", ".pytest_cache",
    ".ruff_cache", ".ipynb_checkpoints",
})  # fmt: skip
_WHOLE = frozenset({".venv", "venv", "node_modules", ".tox", ".nox"})
"""Environments are linked whole: installing a package makes no output of a run."""


@dataclass
class Linked:
    """Paths below the folder: linked; newer than the run's start, so left where they are."""

    links: list[str] = field(default_factory=list)
    newer: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    original: Path
    copy: Path
    before: float
    without: frozenset[str]
    chosen: frozenset[str]
    real: frozenset[str]
    late: Callable[[str], bool]


def link_rest(
    original: Path,
    copy: Path,
    *,
    started_ns: int,
    without: Iterable[Path] = (),
    chosen: Iterable[str] = (),
    real: Iterable[str] = (),
    late: Callable[[str], bool] = lambda name: False,
) -> Linked:
    """Link what `original` has and `copy` lacks, and return what was linked.

    `started_ns` is when the run began. `without` are folders never linked (the book, the copy
    itself); `chosen` are paths linked however new they are; `real` are folders that must be real
    in the copy, because the program runs there. Files whose name `late` is true for are linked
    however new they are. Several processes may fill one copy at a time.
    """
    places = {path for folder in real for path in _ancestors(folder)}
    job = _Job(
        original,
        copy,
        started_ns / 1e9,
        frozenset(os.path.realpath(path) for path in without),
        frozenset(path.strip("/") for path in chosen),
        frozenset(places),
        late,
    )
    linked = Linked()
    _fill(job, "", linked)
    return linked


def _fill(job: _Job, folder: str, linked: Linked) -> None:
    """Fill a folder that is real in the copy."""
    for entry in _entries(job.original / folder):
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.name in _NEVER or os.path.realpath(entry.path) in job.without:
            continue
        is_folder = entry.is_dir(follow_symlinks=False)
        target = job.copy / path
        if path in job.chosen:
            if not os.path.lexists(target):
                _link(job, path, linked)
        elif os.path.lexists(target):
            if is_folder and target.is_dir() and not target.is_symlink():
                _fill(job, path, linked)
        elif not is_folder:
            if _is_old(entry, job):
                _link(job, path, linked)
            else:
                linked.newer.append(path)
        elif _may_link_whole(entry, path, job):
            _link(job, path, linked)
        else:
            _fill_mixed(job, path, linked)


def _fill_mixed(job: _Job, path: str, linked: Linked) -> None:
    """A folder with something new in it: a real folder, with links to what is old."""
    (job.copy / path).mkdir(exist_ok=True)
    n_links, n_newer = len(linked.links), len(linked.newer)
    _fill(job, path, linked)
    if len(linked.links) == n_links and len(linked.newer) > n_newer:  # all new: one line says so
        linked.newer[n_newer:] = [f"{path}/"]


def _may_link_whole(entry: os.DirEntry[str], path: str, job: _Job) -> bool:
    if path in job.real or any(name.startswith(f"{path}/") for name in job.chosen):
        return False
    if entry.name in _WHOLE or os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
        return True
    return _all_old(entry, job)


def _all_old(entry: os.DirEntry[str], job: _Job) -> bool:
    """Whether nothing in a folder changed since the start, the list of its entries included."""
    if os.path.realpath(entry.path) in job.without or not _is_old(entry, job):
        return False
    for inner in _entries(Path(entry.path)):
        if inner.is_dir(follow_symlinks=False):
            if not _all_old(inner, job):
                return False
        elif not _is_old(inner, job):
            return False
    return True


def _is_old(entry: os.DirEntry[str], job: _Job) -> bool:
    if job.late(entry.name):
        return True
    try:
        return entry.stat(follow_symlinks=False).st_mtime < job.before
    except OSError:
        return False


def _link(job: _Job, path: str, linked: Linked) -> None:
    target = job.copy / path
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(job.original / path)
    except FileExistsError:
        pass  # another process filled it at the same moment
    linked.links.append(path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as scan:
            return sorted(scan, key=lambda entry: entry.name)
    except OSError:
        return []


def _ancestors(folder: str) -> list[str]:
    parts = Path(folder).parts
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]
