"""Makes a restored tree a git repository again, so that the rerun's snapshot equals the first.

A `.git` of our own making in the scratch folder: HEAD is the run's commit where its objects are
still to be had, unborn otherwise; objects are borrowed, never written to; what was linked in is
excluded. Nothing of the user's repository is touched, no setting of it or of the book is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from labbook.conditions import gitcommand, worktree
from labbook.conditions.gitcommand import GitFailed
from labbook.conditions.snapshot import Snapshot

__all__ = ["make_repository"]

_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tlogallrefupdates = false\n"
_SPECIAL = "\\*?[ !#"


def make_repository(
    copy: Path, snapshot: Snapshot, code_git: Path, original: Path | None, excluded: Iterable[str]
) -> str | None:
    """Make `copy` a repository; returns why its HEAD is not the run's commit, or null.

    `excluded` are paths below `copy`. A tree that was in no repository becomes one too: else a
    repository around the scratch folder (a home folder under git) would be taken for its own.
    """
    stores = [code_git / "objects"]
    found = None if original is None else worktree.find(original)
    if found is not None:
        stores.append(worktree.objects_of(found))
    git = copy / ".git"
    for folder in ("objects/info", "refs/heads", "info"):
        (git / folder).mkdir(parents=True)
    (git / "config").write_text(_CONFIG)
    (git / "HEAD").write_text("ref: refs/heads/rerun\n")
    (git / "objects/info/alternates").write_bytes(
        b"".join(os.fsencode(os.path.abspath(store)) + b"\n" for store in stores)
    )
    lines = "".join(f"/{_escaped(path.rstrip('/'))}\n" for path in excluded)
    (git / "info/exclude").write_bytes(os.fsencode(lines))
    failure = _set_head(copy, snapshot)
    for path, inner in snapshot.nested.items():
        if inner.kind != "none" and (copy / path).is_dir():
            below = None if original is None else original / path
            make_repository(copy / path, inner, code_git, below, ())
    return failure


def _set_head(copy: Path, snapshot: Snapshot) -> str | None:
    commit, tree = snapshot.base, snapshot.base_tree
    try:
        if commit is not None and tree is not None and _has(copy, commit):
            gitcommand.run(str(copy), "read-tree", tree, limit_s=60.0)
            (copy / ".git/HEAD").write_text(f"{commit}\n")
            return None
        if snapshot.tree is not None and snapshot.commit is not None:
            gitcommand.run(str(copy), "read-tree", snapshot.tree, limit_s=60.0)
    except GitFailed as error:
        return f"the copy is no complete git repository: {error}"
    return None if commit is None else f"commit {commit[:7]} is not in your repository any more"


def _has(copy: Path, commit: str) -> bool:
    try:
        return gitcommand.run(str(copy), "cat-file", "-t", commit).strip() == b"commit"
    except GitFailed:
        return False


def _escaped(path: str) -> str:
    return "".join(f"\\{c}" if c in _SPECIAL else c for c in path)
