"""Rows that equal another checkpoint's to the bit, though its weights were others."""

from __future__ import annotations

from dataclasses import dataclass, field

from labbook.watch.findings import Finding
from labbook.watch.fingerprints import Prints, changed, rows_print
from labbook.watch.rows import Rows

__all__ = ["Staleness"]


@dataclass
class Staleness:
    """Remembers the last result of each subset, in this worker."""

    _last: dict[str, tuple[str, Prints, int | None]] = field(default_factory=dict)

    def look(self, subset: str, rows: Rows, weights: Prints, step: int | None) -> Finding | None:
        """Compare with the result before, and remember this one.

        Rows of whole numbers alone cannot tell: two checkpoints may well be right about the same
        examples.
        """
        found = rows_print(rows)
        last = self._last.get(subset)
        if found is None or not weights:
            return None
        self._last[subset] = (found, weights, step)
        if last is None or last[0] != found:
            return None
        differ = [name for name in changed(last[1], weights) if "num_batches_tracked" not in name]
        if not differ:
            return None
        before = "the checkpoint before" if last[2] is None else f"step {last[2]}"
        return Finding(
            "stale",
            f"all rows equal those of {before} to the bit, though {len(differ)} of the weights "
            f"differ ({differ[0]}): answers from a cache, or another model than the one that the "
            "weights were loaded into",
            differ[0],
        )
