"""Exponential smoothing without a loop over the points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from labbook_tui.curve import Curve

__all__ = ["automatic", "ema", "heard", "prepared", "told", "weight_for"]

_BLOCK = 64
_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)

Floats = NDArray[np.float64]


def ema(values: Floats, weight: float, x: Floats | None = None) -> Floats:
    """Debiased exponential moving average: every earlier value counts `weight**distance` as much.

    The distance is in points or, with `x` (ascending), in median distances of x, so that a gap
    forgets and a burst does not. Evenly spaced, this is `s[t] = w·s[t-1] + (1-w)·v[t]` over
    `1 - w**t` (Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980, section 3). Values that are
    not finite stay as they are and do not enter the average.
    """
    values = np.asarray(values, np.float64)
    if weight <= 0 or len(values) < 2:
        return values
    finite = np.isfinite(values)
    known = values if finite.all() else values[finite]
    if len(known) < 2:
        return values
    distance = None if x is None else np.diff(x if len(known) == len(values) else x[finite])
    scale = float(np.abs(known).max()) or 1.0
    if distance is None or distance.min() == distance.max():
        average = _even(known / scale, weight)
    else:
        average = _uneven(known / scale, weight, distance)
    average *= scale
    if len(known) == len(values):
        return average
    out = values.copy()
    out[finite] = average
    return out


def _even(values: Floats, weight: float) -> Floats:
    """The average of evenly spaced values."""
    sums = _summed(values, weight)
    sums *= 1 - weight
    # from where on `1 - w**t` is 1 in 64 bits
    debiased = min(len(sums), math.ceil(math.log(1e-17) / math.log(weight)))
    sums[:debiased] /= 1 - np.power(weight, np.arange(1, debiased + 1))
    return sums


def _summed(terms: Floats, decay: float) -> Floats:
    """`s[t] = decay·s[t-1] + terms[t]`; blocks as in `_decayed`."""
    n = len(terms)
    blocks = -(-n // _BLOCK)
    sums = _in_blocks(terms, blocks)
    for at in range(1, _BLOCK):
        sums[at] += sums[at - 1] * decay
    if blocks > 1:
        ends = _summed(sums[-1], decay**_BLOCK)
        powers = np.power(decay, np.arange(1, _BLOCK + 1))
        sums[:, 1:] += powers[:, None] * ends[:-1]
    return np.ascontiguousarray(sums.T).reshape(-1)[:n]


def _uneven(values: Floats, weight: float, distance: Floats) -> Floats:
    """The average of values at these distances from each other."""
    decay = np.full(len(values), weight)
    ordinary = float(np.median(distance))
    if ordinary > 0:
        decay[1:] = np.power(weight, distance / ordinary)
    sums = _decayed(np.stack([values, np.ones(len(values))]), decay)
    average: Floats = sums[0] / sums[1]
    return average


def _decayed(terms: Floats, decay: Floats) -> Floats:
    """`s[t] = decay[t]·s[t-1] + terms[t]` for terms (n_sums, points).

    All blocks advance together, one point a step; their ends obey the same rule.
    """
    n = len(decay)
    blocks = -(-n // _BLOCK)
    kept, sums = _in_blocks(decay, blocks), [_in_blocks(one, blocks) for one in terms]
    for at in range(1, _BLOCK):
        for one in sums:
            one[at] += one[at - 1] * kept[at]
        kept[at] *= kept[at - 1]
    if blocks > 1:
        ends = _decayed(np.stack([one[-1] for one in sums]), kept[-1])
        for one, end in zip(sums, ends, strict=True):
            one[:, 1:] += kept[:, 1:] * end[:-1]
    return np.stack([one.T.reshape(-1)[:n] for one in sums])


def _in_blocks(values: Floats, blocks: int) -> Floats:
    """Values as (place in a block, block), filled up with zeros."""
    padded = np.zeros(blocks * _BLOCK)
    padded[: len(values)] = values
    return np.ascontiguousarray(padded.reshape(blocks, _BLOCK).T)


def automatic(n_points: int) -> float:
    """A weight that averages over about 2 % of the points; none for short series.

    Few levels: each new one moves the whole curve of a live run.
    """
    wanted = 1 - 1 / max(1.0, 0.02 * n_points)
    return max((level for level in _LEVELS if level <= wanted), default=0.0)


def weight_for(curve: Curve, smooth: float | None) -> float:
    """The weight of a curve, None: by its length; 0 for exact points and for very short ones."""
    if curve.points or len(curve.y) <= 2:
        return 0.0
    return automatic(len(curve.y)) if smooth is None else smooth


def told(smooth: float | None) -> str:
    """A weight as a detail of a `Want`: "" for the automatic one."""
    return "" if smooth is None else repr(smooth)


def heard(text: str) -> float | None:
    """What `told` said."""
    return float(text) if text else None


def prepared(curve: Curve, smooth: float | None = None) -> Curve:
    """The curve, its average computed: for the reader thread, so that no frame waits for it."""
    weight = weight_for(curve, smooth)
    if weight > 0:
        curve.smoothed(weight)
    return curve
