"""Remembers what a checkpoint's content was, so that it is examined once and not at every start.

One small file a checkpoint in `watch/digests/`, derived and safe to delete. It also says which
result belongs to a checkpoint that has been removed since.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from labbook.paths import RunPaths
from labbook.watch.complete import Whole
from labbook.watch.discover import Found
from labbook.watch.facts import read_json
from labbook.watch.identity import Identity
from labbook.watch.reasons import file_key

__all__ = ["digests_folder", "recall", "remember"]

_RACY_NS = 2_000_000_000  # changed this recently, a second change could leave the same time


def digests_folder(paths: RunPaths) -> Path:
    """Where they are kept."""
    return paths.watch / "digests"


def remember(paths: RunPaths, found: Found, whole: Whole, now_ns: int) -> None:
    """Keep a verdict."""
    folder = digests_folder(paths)
    row = {
        "format": 1,
        "file": found.file,
        "kind": whole.kind,
        "digest": whole.digest,
        "completeness": whole.completeness,
        "identity": whole.identity.files,
        "is_racy": now_ns - whole.identity.mtime_ns < _RACY_NS,
    }
    temporary = folder / f".{file_key(found)}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(row))
        os.replace(temporary, folder / f"{file_key(found)}.json")
    except OSError:
        pass  # a cache: without it the file is examined again


def recall(paths: RunPaths, found: Found, now: Identity | None) -> Whole | None:
    """What is known of a file whose identity is `now`; with None, of the last one of that name."""
    row = read_json(digests_folder(paths) / f"{file_key(found)}.json")
    if row is None:
        return None
    try:
        identity = Identity(tuple((str(n), d, i, s, m) for n, d, i, s, m in row["identity"]))
        whole = Whole(row["kind"], row["digest"], identity, row["completeness"])
    except (KeyError, TypeError, ValueError):
        return None
    if now is None:
        return whole
    return whole if identity == now and not row.get("is_racy") else None
