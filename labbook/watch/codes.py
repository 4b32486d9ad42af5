"""Which code a run's checkpoints are evaluated in, as far as that is known before any work.

By default that is the run's own snapshot. Its name here (`Code.id`) is made of the ids of the
recorded trees, so that runs with one code share one folder and one worker. Standard library only:
nothing is read but the run's conditions, and nothing of the book is executed here.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labbook.paths import RunPaths
from labbook.watch.facts import RunFacts
from labbook.watch.identity import canonical

__all__ = ["CURRENT", "Code", "Refusal", "code_of", "content_of", "folder_of"]

_TREE = re.compile(r"[0-9a-f]{40}")
_DEEPEST = 20


@dataclass(frozen=True)
class Code:
    """A code to evaluate in. `mode` is `run`, or `current`: the files as they are now.

    `run_root` is a run that has it. `why` says why it is the current one, where the run's own was
    asked for.
    """

    id: str
    mode: str
    tree: str | None = None
    run_root: Path | None = field(default=None, compare=False)
    why: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return "the current code" if self.tree is None else f"code {self.tree[:7]}"


CURRENT = Code("current", "current")


@dataclass(frozen=True)
class Refusal:
    """Why nothing can be evaluated in a code."""

    text: str


def code_of(facts: RunFacts, paths: RunPaths, mode: str, is_trusting: bool) -> Code | Refusal:
    """The code for a run's checkpoints, under `--code mode`.

    A run of which no code was recorded gets the current one, and its results say so. Code that
    another user or host recorded is refused unless `is_trusting`: evaluating executes it.
    """
    if mode == "current":
        return CURRENT
    snapshot = facts.conditions.get("snapshot")
    kind = snapshot.get("kind") if isinstance(snapshot, dict) else None
    if not isinstance(snapshot, dict) or kind in {None, "none"}:
        reason = snapshot.get("reason") if isinstance(snapshot, dict) else None
        why = f"no code was recorded for this run{f' ({reason})' if reason else ''}"
        return Code(CURRENT.id, CURRENT.mode, why=why)
    foreign = _foreign(facts, paths)
    if foreign is not None and not is_trusting:
        return Refusal(
            f"its code was recorded {foreign}, and evaluating executes it: read it first "
            f"(labbook restore {paths.id} DIR), then pass --yes; or evaluate with --code current"
        )
    tree = snapshot.get("tree") or snapshot.get("base_tree")
    if not isinstance(tree, str) or not _TREE.fullmatch(tree):
        return Refusal(
            f"its code cannot be made: {paths.id} names no tree. Evaluate with --code current"
        )
    return Code(folder_of(facts.conditions), "run", tree, paths.root)


def content_of(conditions: Mapping[str, Any]) -> str:
    """A digest of the code itself, wherever it lies: part of the keys of results."""
    editable = conditions.get("editable")
    others = editable if isinstance(editable, dict) else {}
    snapshot = conditions.get("snapshot")
    prefix = snapshot.get("prefix") if isinstance(snapshot, dict) else None
    names = {str(name): _essence(other) for name, other in others.items()}
    return _digest(["run", _essence(snapshot), str(prefix or ""), names])


def folder_of(conditions: Mapping[str, Any]) -> str:
    """A digest of the code and of where the run had it: data that is linked in lies there."""
    environment = conditions.get("environment")
    path = environment.get("PYTHONPATH") if isinstance(environment, dict) else None
    where = [conditions.get("script"), conditions.get("cwd"), path]
    return _digest([content_of(conditions), [str(each) for each in where]])


def _essence(snapshot: Any, depth: int = 0) -> list[Any]:
    """What decides which files a snapshot has, and their bytes."""
    if not isinstance(snapshot, dict) or depth > _DEEPEST:
        return []
    nested = snapshot.get("nested")
    inner = nested if isinstance(nested, dict) else {}
    parts = [snapshot.get(name) for name in ("kind", "tree", "overlay", "raw", "cells")]
    return [*parts, {str(path): _essence(each, depth + 1) for path, each in inner.items()}]


def _digest(value: list[Any]) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()[:32]


def _foreign(facts: RunFacts, paths: RunPaths) -> str | None:
    """Who recorded it, when that was not this user on this host."""
    host = facts.conditions.get("host")
    if host != os.uname().nodename:
        return f"on host {host}"
    try:
        owner = (facts.file or paths.run_json).lstat().st_uid
    except OSError:
        return "by somebody unknown"
    return f"by the user with id {owner}" if owner != os.getuid() else None
