"""A histogram of numbers that come batch by batch, over a range that is not known beforehand.

Invariant: every finite value is in exactly one bin, from the first batch on. When a value lies
outside, bins are merged in pairs and the range doubles; nothing is counted anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BINS", "DISTINCT", "Histogram"]

BINS: Final = 128
"""An even number: bins are merged in pairs."""

DISTINCT: Final = 256
"""Up to so many different values are counted one by one: classes, bytes, quantised inputs."""

_PROBE: Final = 1 << 16


class Histogram:
    """Counts by bin, and by value while there are few different ones."""

    def __init__(self) -> None:
        self.low = 0.0
        self.width = 0.0
        """Of one bin; 0 before the first value."""
        self.counts: NDArray[Any] | None = None
        self._values: dict[float, int] | None = {}

    def add(self, values: NDArray[Any]) -> None:
        """Count finite float64 values, shape (n,)."""
        import numpy as np

        if not len(values):
            return
        self._add_distinct(values)
        low, high = float(values.min()), float(values.max())
        if self.counts is None:
            self.counts = np.zeros(BINS, np.int64)
            span = high - low
            # one value alone gets a bin of its own, in the middle
            self.width = span / BINS if span > 0 else max(abs(low) * 1e-6, 1e-6)
            self.low = low if span > 0 else low - self.width * BINS / 2
        self._widen(low, high)
        bins = ((values - self.low) / self.width).astype(np.int64).clip(0, BINS - 1)
        self.counts += np.bincount(bins, minlength=BINS)

    def as_json(self) -> dict[str, Any] | None:
        """Edges are `low + i * width`; `values` is null where too many differ."""
        if self.counts is None:
            return None
        values = self._values
        return {
            "low": self.low,
            "width": self.width,
            "counts": self.counts.tolist(),
            "values": None if values is None else [[v, values[v]] for v in sorted(values)],
        }

    def _widen(self, low: float, high: float) -> None:
        import numpy as np

        counts = self.counts
        assert counts is not None
        empty = np.zeros(BINS // 2, np.int64)
        # a double's range is doubled some 2,000 times at most
        for _ in range(2200):
            end = self.low + self.width * BINS
            # the greatest value of the first batch lies at the end itself, give or take rounding
            if low >= self.low and high <= end + self.width * 1e-6:
                break
            merged = counts.reshape(-1, 2).sum(1)
            if low < self.low:
                self.low -= self.width * BINS
                counts = np.concatenate([empty, merged])
            else:
                counts = np.concatenate([merged, empty])
            self.width *= 2
        self.counts = counts

    def _add_distinct(self, values: NDArray[Any]) -> None:
        import numpy as np

        if self._values is None:
            return
        # sorting millions to learn that they all differ would be a waste
        if len(values) > _PROBE and len(np.unique(values[:_PROBE])) > DISTINCT:
            self._values = None
            return
        found, counts = np.unique(values, return_counts=True)
        for value, n in zip(found[: DISTINCT + 1].tolist(), counts.tolist(), strict=False):
            self._values[value] = self._values.get(value, 0) + n
        if len(self._values) > DISTINCT:
            self._values = None
