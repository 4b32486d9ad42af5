"""Statistics of one input, batch by batch: of all its values, of each channel, of each example.

Means and variances are merged by Chan, Golub & LeVeque (1979), "Updating Formulae and a Pairwise
Algorithm for Computing Sample Variances"; standard deviations are the population's. Values that
are not finite are counted and take part in nothing else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from labbook.client.given_histogram import Histogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MOST_FEATURES", "Examples", "Features", "Pooled", "channel_axis", "plain"]

MOST_FEATURES: Final = 4096
"""With more channels or features none is described."""

GREY: Final = 1e-3
"""Channels that differ by less than this part of the batch's range are equal."""

_OUTLYING: Final = 6.0


class Pooled:
    """All values of an input together."""

    def __init__(self) -> None:
        self.n = self.n_zero = self.n_nan = self.n_inf = self.n_whole = 0
        self.mean = self.squares = 0.0
        self.low: float | None = None
        self.high: float | None = None
        self.histogram = Histogram()

    def add(self, values: NDArray[Any]) -> None:
        """Add float64 values of any shape."""
        import numpy as np

        flat = values.reshape(-1)
        finite = np.isfinite(flat)
        self.n += flat.size
        if not finite.all():
            self.n_nan += int(np.isnan(flat).sum())
            self.n_inf += int(np.isinf(flat).sum())
            flat = flat[finite]
        if not flat.size:
            return
        self.n_zero += int((flat == 0).sum())
        self.n_whole += int((flat == np.rint(flat)).sum())
        before = self.n - self.n_nan - self.n_inf - flat.size
        mean, squares = float(flat.mean()), float(flat.var()) * flat.size
        shift = mean - self.mean
        total = before + flat.size
        self.mean += shift * flat.size / total
        self.squares += squares + shift * shift * before * flat.size / total
        low, high = float(flat.min()), float(flat.max())
        self.low = low if self.low is None else min(low, self.low)
        self.high = high if self.high is None else max(high, self.high)
        self.histogram.add(flat)

    def as_json(self) -> dict[str, Any]:
        """Counts, range, mean, standard deviation, histogram; null where nothing was finite."""
        n = self.n - self.n_nan - self.n_inf
        return {
            "n": self.n,
            "n_zero": self.n_zero,
            "n_nan": self.n_nan,
            "n_inf": self.n_inf,
            "n_whole": self.n_whole,
            "min": self.low,
            "max": self.high,
            "mean": self.mean if n else None,
            "sd": (self.squares / n) ** 0.5 if n else None,
            "histogram": self.histogram.as_json(),
        }


class Features:
    """Each channel, or each feature, of an input: statistics over everything else."""

    def __init__(self) -> None:
        self.axis: int | None = None
        self.reason: str | None = None
        """Why there are none."""
        self._n: NDArray[Any] | None = None
        self._sums: dict[str, NDArray[Any]] = {}

    def add(self, values: NDArray[Any]) -> None:
        """Add a batch of float64 values, the first axis counting examples."""
        import numpy as np

        if self.reason is not None:
            return
        axis = channel_axis(values.shape)
        if axis is None:
            self.reason = "no axis beside the examples'"
            return
        length = values.shape[axis]
        if length > MOST_FEATURES:
            self.reason = f"axis {axis} is {length} long, over {MOST_FEATURES}"
        elif self._n is not None and (axis, length) != (self.axis, len(self._n)):
            self.reason = f"axis {axis} has another length in each batch"
        if self.reason is not None:
            self._n, self._sums = None, {}
            return
        self.axis = axis
        self._merge(np.moveaxis(values, axis, 0).reshape(length, -1))

    def _merge(self, rows: NDArray[Any]) -> None:
        import numpy as np

        finite = np.isfinite(rows)
        counts = finite.sum(1)
        known = np.where(finite, rows, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = known.sum(1) / counts
        mean = np.where(counts > 0, mean, 0.0)
        new = {
            "mean": mean,
            "squares": (np.where(finite, rows - mean[:, None], 0.0) ** 2).sum(1),
            "min": np.where(finite, rows, np.inf).min(1),
            "max": np.where(finite, rows, -np.inf).max(1),
            "zero": (finite & (rows == 0)).sum(1),
            "not_finite": (~finite).sum(1),
            "first": np.where(counts > 0, rows[np.arange(len(rows)), finite.argmax(1)], np.nan),
        }
        self._count_different(rows, finite, new["first"])
        old, n = self._sums, self._n
        if n is None:
            self._n, self._sums = counts, {**new, **self._sums}
            return
        total = np.maximum(n + counts, 1)
        shift = np.where(n > 0, new["mean"] - old["mean"], 0.0)
        old["mean"] = np.where(n > 0, old["mean"] + shift * counts / total, new["mean"])
        old["squares"] = old["squares"] + new["squares"] + shift**2 * n * counts / total
        old["min"] = np.minimum(old["min"], new["min"])
        old["max"] = np.maximum(old["max"], new["max"])
        old["zero"] = old["zero"] + new["zero"]
        old["not_finite"] = old["not_finite"] + new["not_finite"]
        self._n = n + counts

    def _count_different(
        self, rows: NDArray[Any], finite: NDArray[Any], first: NDArray[Any]
    ) -> None:
        """Note the first two different values of each feature, and whether there is a third."""
        import numpy as np

        kept = self._sums
        a = np.where(np.isnan(kept["a"]), first, kept["a"]) if "a" in kept else first
        b = kept["b"] if "b" in kept else np.full(len(rows), np.nan)
        other = finite & (rows != a[:, None])
        candidate = np.where(other.any(1), rows[np.arange(len(rows)), other.argmax(1)], np.nan)
        b = np.where(np.isnan(b), candidate, b)
        third = (other & (rows != b[:, None])).any(1)
        kept |= {"a": a, "b": b, "more": kept.get("more", False) | third}

    def as_json(self) -> dict[str, Any] | None:
        """Columns, one entry a feature; `distinct` is 0, 1, 2 or 3 for more than two."""
        import numpy as np

        if self._n is None or self.reason is not None:
            return None if self.reason is None else {"reason": self.reason}
        sums, n = self._sums, self._n
        is_known = n > 0
        sd = np.sqrt(sums["squares"] / np.maximum(n, 1))
        distinct = np.where(sums["more"], 3, 1 + ~np.isnan(sums["b"])) * is_known
        columns: dict[str, Any] = {"axis": self.axis, "n": n.tolist()}
        for name, column in (("min", sums["min"]), ("max", sums["max"])):
            columns[name] = plain(np.where(is_known, column, np.nan))
        columns["mean"] = plain(np.where(is_known, sums["mean"], np.nan))
        columns["sd"] = plain(np.where(is_known, sd, np.nan))
        columns["n_zero"] = sums["zero"].tolist()
        columns["n_not_finite"] = sums["not_finite"].tolist()
        columns["distinct"] = distinct.tolist()
        return columns


class Examples:
    """What each example is like, to find those that are like no other."""

    def __init__(self) -> None:
        self._columns: dict[str, list[NDArray[Any]]] = {n: [] for n in ("mean", "sd", "min", "max")}
        self.n = self.n_coloured = self.n_grey = 0

    def add(self, values: NDArray[Any]) -> None:
        """Add a batch of float64 values, the first axis counting examples."""
        import numpy as np

        if values.ndim < 2 or not values.size:
            return
        rows = values.reshape(len(values), -1)
        rows = np.where(np.isfinite(rows), rows, np.nan)
        rows = rows[~np.isnan(rows).all(1)]
        self.n += len(rows)
        for name, summary in (
            ("mean", np.nanmean),
            ("sd", np.nanstd),
            ("min", np.nanmin),
            ("max", np.nanmax),
        ):
            self._columns[name].append(summary(rows, axis=1) if len(rows) else rows[:, 0])
        axis = channel_axis(values.shape)
        if values.ndim == 4 and axis is not None and values.shape[axis] == 3:
            images = np.moveaxis(values, axis, 1)
            span = float(np.nanmax(rows) - np.nanmin(rows)) if len(rows) else 0.0
            apart = np.abs(images[:, :1] - images[:, 1:]).reshape(len(images), -1).max(1)
            self.n_coloured += len(images)
            self.n_grey += int((apart <= GREY * span).sum())

    def as_json(self) -> dict[str, Any] | None:
        """Per property: median, robust spread (1.4826 · MAD), and how many lie 6 of it away."""
        import numpy as np

        if not self.n:
            return None
        found: dict[str, Any] = {"n": self.n}
        for name, parts in self._columns.items():
            column = np.concatenate(parts)
            middle = float(np.median(column))
            spread = 1.4826 * float(np.median(np.abs(column - middle)))
            away = np.abs(column - middle)
            outlying = np.flatnonzero((away > _OUTLYING * spread) & (spread > 0))
            farthest = [int(i) for i in sorted(outlying, key=lambda i: -away[i])[:16]]
            found[name] = {
                "median": middle,
                "spread": spread,
                "n_outlying": len(outlying),
                "outlying": [[i, float(column[i])] for i in farthest],
            }
        if self.n_coloured:
            found["n_grey"] = self.n_grey
        return found


def channel_axis(shape: tuple[int, ...]) -> int | None:
    """The axis of channels or features: 1, or the last of pictures (N, H, W, C); None without."""
    if len(shape) < 2:
        return None
    if len(shape) == 4 and shape[1] not in (1, 3, 4) and shape[3] in (1, 3, 4):
        return 3
    return 1


def plain(column: NDArray[Any]) -> list[float | None]:
    """Numbers as JSON has them: null for what is not finite, seven digits as float32 has."""
    return [float(f"{v:.7g}") if math.isfinite(v) else None for v in column]
