"""Snapshots of the user's other repositories: editable installs are part of the code."""

from __future__ import annotations

import os
from dataclasses import replace
from os import PathLike

from labbook.conditions import packages, worktree
from labbook.conditions.limits import Deadline, Limits
from labbook.conditions.snapshot import Snapshot, take

__all__ = ["take_others"]


def take_others(
    folder: str | PathLike[str],
    code_git: str | PathLike[str],
    *,
    limits: Limits,
    private_cache: str | PathLike[str],
) -> dict[str, Snapshot]:
    """Return {distribution: snapshot} of editable installs outside the tree that holds `folder`.

    The limits hold for all of them together. Folders outside any repository are left to the
    package's version.
    """
    own = worktree.find(folder)
    deadline = Deadline(limits.seconds)
    by_top: dict[str, Snapshot] = {}
    found: dict[str, Snapshot] = {}
    for name, place in packages.editable().items():
        tree = worktree.find(place)
        if name == "labbook" or tree is None or (own is not None and tree.top == own.top):
            continue
        top = os.fspath(tree.top)
        if top not in by_top:
            left = replace(limits, seconds=deadline.left())
            by_top[top] = take(top, code_git, limits=left, private_cache=private_cache)
        found[name] = by_top[top]
    return found
