"""Finds the user's working tree and asks git about it through a private copy of its index.

The copy keeps what git knows of the files' times, so that asking again is cheap, and lets git
refresh it without touching the user's. It follows the user's index (a new one replaces the copy)
but not its `assume-unchanged` and `skip-worktree` bits, behind which edits would hide.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labbook.conditions import gitcommand, repository
from labbook.conditions.cache import Cache
from labbook.conditions.gitcommand import GitFailed
from labbook.conditions.limits import Deadline
from labbook.conditions.repository import Status

__all__ = ["Worktree", "find", "objects_of", "private_index", "status"]


@dataclass(frozen=True)
class Worktree:
    """A working tree: its top folder, and the git folder that is its own."""

    top: Path
    git_dir: Path

    @property
    def index(self) -> Path:
        """The user's index. Read only."""
        return self.git_dir / "index"


def find(folder: str | os.PathLike[str]) -> Worktree | None:
    """Return the innermost working tree that holds `folder`; None when there is none."""
    start = Path(os.path.realpath(folder))
    for top in (start, *start.parents):
        git_dir = _git_dir(top / ".git")
        if git_dir is not None:
            return Worktree(top, git_dir)
    return None


def objects_of(tree: Worktree) -> Path:
    """Return the folder of the user's objects; a linked worktree shares its repository's."""
    try:
        common = tree.git_dir / (tree.git_dir / "commondir").read_text().strip()
    except OSError:
        common = tree.git_dir
    return common / "objects"


@contextmanager
def private_index(tree: Worktree, cache: Cache, deadline: Deadline) -> Iterator[Path]:
    """Give a copy of the index for one start; keeps it for the next unless something failed."""
    own = cache.folder / f"index.{secrets.token_hex(6)}"
    kept = cache.folder / "index"
    try:
        signature = _copy(tree.index, own)
        if signature is not None and cache.notes.get("index") == signature and os.path.exists(kept):
            _copy(kept, own)
        elif signature is not None:
            _clear_bits(tree, own, deadline)
        yield own
        if signature is not None:
            os.replace(own, kept)
        cache.note("index", signature)
    except GitFailed:
        kept.unlink(missing_ok=True)  # should it be the cause, the next start is spared
        raise
    finally:
        for leftover in (own, Path(f"{own}.lock")):
            leftover.unlink(missing_ok=True)


def status(tree: Worktree, index: Path, deadline: Deadline) -> Status:
    """Return git's status of the whole tree, refreshing the private index; raises `GitFailed`."""
    extra = {"GIT_INDEX_FILE": str(index), "GIT_OPTIONAL_LOCKS": "1"}
    return repository.read_status(str(tree.top), limit_s=deadline.left(), extra=extra)


def _git_dir(dot_git: Path) -> Path | None:
    """The folder `.git` is or, in submodules and linked worktrees, names."""
    if os.path.isfile(dot_git):
        try:
            text = dot_git.read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None
        target = dot_git.parent / text.removeprefix("gitdir:").strip()
        return target if text.startswith("gitdir:") and os.path.exists(target / "HEAD") else None
    return dot_git if os.path.exists(dot_git / "HEAD") else None


def _copy(source: Path, target: Path) -> list[int] | None:
    """Copy an index and return its signature; None when there is none yet.

    The time goes along: git re-reads files that are as young as the index that lists them.
    """
    try:
        with open(source, "rb") as file:
            stat = os.fstat(file.fileno())
            data = file.read()
    except FileNotFoundError:
        return None
    target.write_bytes(data)
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return [stat.st_mtime_ns, stat.st_size, stat.st_ino]


def _clear_bits(tree: Worktree, index: Path, deadline: Deadline) -> None:
    """Clear the bits that hide edits; in a sparse checkout git itself clears what is on disk."""
    extra = {"GIT_INDEX_FILE": str(index)}
    top = str(tree.top)
    out = gitcommand.run(top, "ls-files", "-v", "-z", limit_s=deadline.left(), extra=extra)
    lines = [line for line in out.split(b"\0") if line and not line.startswith(b"H ")]
    assumed = [line[2:] for line in lines if line[:1].islower()]
    skipped = [line[2:] for line in lines if line[:1] in {b"S", b"s"}]
    if skipped and _is_sparse(top):
        skipped = []
    for paths, bit in ((assumed, "--no-assume-unchanged"), (skipped, "--no-skip-worktree")):
        if paths:
            gitcommand.run(
                top, "update-index", bit, "-z", "--stdin",
                limit_s=deadline.left(), extra=extra, data=b"\0".join(paths) + b"\0",
                config=("core.splitIndex=false",),
            )  # fmt: skip


def _is_sparse(top: str) -> bool:
    try:
        return gitcommand.run(top, "config", "--bool", "core.sparseCheckout").strip() == b"true"
    except GitFailed:
        return False
