"""Compares a new result with the one before it, where both should be of one code and one data.

The key of a result is known before any work; what was really imported and read is known only
afterwards. A difference is said in the result: the two are then not comparable.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["Before"]

_METADATA_KEY = b"labbook"


class Before:
    """The newest result of each evaluation of each run, as far as this worker knows."""

    def __init__(self) -> None:
        self._known: dict[Path, dict[str, Any]] = {}

    def differences(self, target: Path, metadata: dict[str, Any]) -> list[str]:
        """What `metadata`, to be published at `target`, has otherwise than the one before it."""
        folder = target.parent
        before = self._known.get(folder) or _newest(folder)
        now = _digests(metadata)
        self._known[folder] = now
        if before is None:
            return []
        told = []
        is_same = all(before[name] == now[name] for name in ("mode", "key"))
        if is_same and before["imported"] != now["imported"]:
            told.append(f"other code was imported than for {before['of']}: not comparable")
        if before["data"] != now["data"] and None not in (before["data"], now["data"]):
            told.append(f"the data are not those of {before['of']}: not comparable")
        return told


def _digests(metadata: dict[str, Any]) -> dict[str, Any]:
    code, checkpoint = metadata.get("code"), metadata.get("checkpoint")
    code = code if isinstance(code, dict) else {}
    step = checkpoint.get("step") if isinstance(checkpoint, dict) else None
    return {
        "mode": code.get("mode"),
        "key": code.get("key_digest"),
        "imported": code.get("imported"),
        "data": metadata.get("data_digest"),
        "of": "the result before it" if step is None else f"step {step}",
    }


def _newest(folder: Path) -> dict[str, Any] | None:
    """The newest readable result in a folder; null when there is none."""
    try:
        names = [e for e in os.scandir(folder) if e.name.endswith(".parquet") and e.is_file()]
        newest = max(names, key=lambda entry: entry.stat().st_mtime_ns, default=None)
        if newest is None:
            return None
        raw = (pq.read_schema(newest.path).metadata or {}).get(_METADATA_KEY, b"null")
        found = json.loads(raw)
    except (OSError, ValueError, pa.ArrowException):
        return None  # doctor names what cannot be read
    return _digests(found) if isinstance(found, dict) else None
