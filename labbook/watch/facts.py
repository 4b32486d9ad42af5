"""What the watcher knows of a run, read from its JSON files with the standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from labbook.errors import AmbiguousRun, RunNotFound
from labbook.paths import BookPaths, RunPaths
from labbook.watch.identity import canonical

__all__ = [
    "RunFacts",
    "arguments_digest",
    "read_facts",
    "read_json",
    "resolve_run",
    "slim",
    "step_of",
]

_STEP = re.compile(r"(?:step|iter|global_step|checkpoint)s?[-_=]?(\d+)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")
_OF_SNAPSHOT = ("kind", "reason", "tree", "base_tree", "overlay", "raw", "cells", "prefix")
_KEPT = ("host", "snapshot", "editable", "environment", "script", "cwd")


@dataclass(frozen=True)
class RunFacts:
    """A run as far as evaluation needs it. Times are by the training host's clock."""

    id: str
    name: str
    group: str | None
    created_ns: int
    ended_ns: int | None
    arguments: dict[str, Any]
    conditions: dict[str, Any] = field(repr=False)
    attempt: int = 0
    patterns: tuple[str, ...] = ()
    """Where else it saves, relative to the book's root folder."""
    file: Path | None = None
    """Where its conditions lie."""

    @property
    def is_over(self) -> bool:
        """True once its newest attempt has written how it ended."""
        return self.ended_ns is not None


def read_facts(paths: RunPaths) -> RunFacts | None:
    """Read a run; None while it has no identity yet."""
    identity = read_json(paths.run_json)
    if identity is None:
        return None
    attempt, file, conditions, end = _newest_attempt(paths)
    arguments = conditions.get("arguments") or {}
    values = arguments.get("values") if isinstance(arguments, dict) else None
    metas = [fact for fact in (read_json(path) for path in _json_files(paths.meta)) if fact]
    names = sorted(
        (int(fact.get("time_ns") or 0), str(fact["name"]))
        for fact in metas
        if fact.get("fact") == "name" and fact.get("name")
    )
    watched = [fact.get("pattern") for fact in metas if fact.get("fact") == "watch"]
    patterns = sorted({str(pattern) for pattern in watched if pattern})
    return RunFacts(
        id=paths.id,
        name=names[-1][1] if names else str(identity.get("name") or paths.id),
        group=identity.get("group"),
        created_ns=int(identity.get("created_ns") or 0),
        ended_ns=int(end.get("ended_ns") or 0) if end else None,
        arguments=values if isinstance(values, dict) else {},
        conditions=conditions,
        attempt=attempt,
        patterns=tuple(patterns),
        file=file,
    )


def slim(facts: RunFacts) -> RunFacts:
    """`facts` with what the supervisor needs of the conditions: it may know thousands of runs."""
    kept = {name: facts.conditions[name] for name in _KEPT if name in facts.conditions}
    kept["snapshot"] = _slim(kept.get("snapshot"))
    kept["editable"] = _each(kept.get("editable"))
    environment = kept.get("environment")
    path = environment.get("PYTHONPATH") if isinstance(environment, dict) else None
    kept["environment"] = {} if path is None else {"PYTHONPATH": path}
    return replace(facts, conditions=kept)


def _slim(snapshot: Any) -> Any:
    """A snapshot without the lists of files that no code is told apart by."""
    if not isinstance(snapshot, dict):
        return snapshot
    found = {name: snapshot[name] for name in _OF_SNAPSHOT if name in snapshot}
    return {**found, "nested": _each(snapshot.get("nested"))}


def _each(snapshots: Any) -> Any:
    if not isinstance(snapshots, dict):
        return snapshots
    return {name: _slim(each) for name, each in snapshots.items()}


def arguments_digest(arguments: dict[str, Any]) -> str:
    """Equal for runs with equal arguments."""
    return f"sha256:{hashlib.sha256(canonical(arguments)).hexdigest()}"


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None when it is absent, unreadable or not an object."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def step_of(name: str) -> int | None:
    """The step in a checkpoint's name: the number after `step`, else the last number."""
    match = _STEP.search(name)
    if match:
        return int(match[1])
    numbers = _NUMBER.findall(name.rpartition(".")[0] or name)
    return int(numbers[-1]) if numbers else None


def _newest_attempt(
    paths: RunPaths,
) -> tuple[int, Path | None, dict[str, Any], dict[str, Any] | None]:
    """Number, file, conditions and end of rank 0 (else the lowest rank) of the newest attempt."""
    numbers = sorted((int(name) for name in _names(paths.attempts) if name.isdigit()), reverse=True)
    for number in numbers:
        folder = paths.attempts / str(number)
        ranks = []
        for path in _json_files(folder):
            if not path.name.endswith(".end.json") and (found := read_json(path)):
                ranks.append((int(found.get("rank") or 0), path, found))
        if ranks:
            _, path, conditions = min(ranks, key=lambda entry: (entry[0], entry[1]))
            return number, path, conditions, read_json(path.with_name(f"{path.stem}.end.json"))
    return 0, None, {}, None


def _json_files(folder: Path) -> list[Path]:
    return [folder / name for name in sorted(_names(folder)) if name.endswith(".json")]


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def resolve_run(book: BookPaths, which: str) -> str:
    """The id of the run with this id, unique prefix of an id, or unique name.

    Raises `RunNotFound` or `AmbiguousRun`.
    """
    ids = book.run_ids()
    if which in ids:
        return which
    found = [each for each in ids if each.startswith(which)]
    if not found:
        facts = [read_facts(book.run(each)) for each in ids]
        found = [each.id for each in facts if each is not None and each.name == which]
    if len(found) > 1:
        some = ", ".join(found[:5])
        raise AmbiguousRun(f"{which!r} is {len(found)} runs: {some}; give more of the id")
    if not found:
        known = ", ".join(ids[:5]) or "none at all"
        raise RunNotFound(f"no run {which!r} in {book.root}; the newest are {known}")
    return found[0]
