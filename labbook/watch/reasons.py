"""Why a checkpoint has no result: one small JSON file each, in `watch/reasons/`.

Written only when something in it changes, removed when the result comes. `state` is waiting (ask
again), incomplete (damaged, and not being written any more), failed (given up) or skipped.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labbook.watch.discover import Found
from labbook.watch.facts import read_json

__all__ = ["Reason", "clear", "file_key", "read", "remove", "write"]


@dataclass(frozen=True)
class Reason:
    """`evaluation` is None where the checkpoint could not be used by any. `code` is what it was
    tried in: `mode` (run, current), `tree` of a run's, and `digest`, as keys of results hold it.
    """

    checkpoint: dict[str, Any]
    evaluation: str | None
    text: str
    state: str
    subset: str = "full"
    attempts: int = 0
    traceback: str | None = None
    code: dict[str, str | None] | None = None


def file_key(found: Found) -> str:
    """The name of a reason about a file whose content is not known."""
    return f"file-{hashlib.sha256(found.file.encode()).hexdigest()[:24]}"


def write(folder: Path, key: str, reason: Reason) -> bool:
    """Record a reason; False when exactly this one is on record already."""
    row: dict[str, Any] = {
        "format": 1,
        "checkpoint": reason.checkpoint,
        "evaluation": reason.evaluation,
        "subset": reason.subset,
        "reason": reason.text,
        "state": reason.state,
        "attempts": reason.attempts,
        "traceback": reason.traceback,
        "code": reason.code,
    }
    path = folder / f"{key}.json"
    old = read_json(path)
    if old is not None and {**old, "time_ns": 0} == {**row, "time_ns": 0}:
        return False
    temporary = folder / f".{key}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({**row, "time_ns": time.time_ns()}))
        os.replace(temporary, path)
    except OSError:
        pass  # said on the terminal all the same; the next look writes it
    return True


def read(folder: Path, key: str) -> dict[str, Any] | None:
    """The reason on record under `key`."""
    return read_json(folder / f"{key}.json")


def clear(folder: Path, done: Reason) -> None:
    """A result came: drop what was said against this content, by older codes too."""
    for path in list(folder.glob("*.json")):
        row = read_json(path) or {}
        checkpoint = row.get("checkpoint")
        digest = checkpoint.get("digest") if isinstance(checkpoint, dict) else None
        same = (digest, row.get("evaluation"), row.get("subset"))
        if same == (done.checkpoint.get("digest"), done.evaluation, done.subset):
            path.unlink(missing_ok=True)


def remove(folder: Path, key: str) -> None:
    """It does not hold any more."""
    try:
        os.unlink(folder / f"{key}.json")
    except OSError:
        pass  # not there, nearly always
