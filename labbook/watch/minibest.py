"""Which checkpoint is the best of its run on the mini set: it earns an evaluation on the whole one.

What decides is the first metric whose name says which way is better (`labbook.direction`). Results
never change, so each is read once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from labbook.client.footers import read_footer
from labbook.direction import direction

__all__ = ["MiniBests"]


class MiniBests:
    """Remembers what decides of each mini result: smaller is better."""

    def __init__(self) -> None:
        self._keys: dict[Path, float | None] = {}

    def best(self, results: Iterable[Path]) -> int | None:
        """The place of the best of these results, of equals the first; None without a metric."""
        found = [
            (key, place)
            for place, path in enumerate(results)
            if (key := self._key(path)) is not None
        ]
        return min(found)[1] if found else None

    def _key(self, path: Path) -> float | None:
        if path not in self._keys:
            try:
                self._keys[path] = _key_of(path)
            except OSError:
                return None  # not there yet, or not now
        return self._keys[path]


def _key_of(path: Path) -> float | None:
    metrics = (read_footer(str(path)) or {}).get("metrics")
    for name, value in metrics.items() if isinstance(metrics, dict) else ():
        way = direction(str(name))
        if way is not None and isinstance(value, int | float) and math.isfinite(value):
            return float(value) if way == "min" else -float(value)
    return None
