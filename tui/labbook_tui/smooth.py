"""Exponential smoothing without a loop over the points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["automatic", "ema"]

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
    decay = np.full(len(known), weight)
    if x is not None:
        distance = np.diff(x if len(known) == len(values) else x[finite])
        ordinary = float(np.median(distance))
        if ordinary > 0:
            decay[1:] = np.power(weight, distance / ordinary)
    scale = float(np.abs(known).max()) or 1.0
    sums = _decayed(np.stack([known / scale, np.ones(len(known))]), decay)
    average: Floats = sums[0] / sums[1] * scale
    if len(known) == len(values):
        return average
    out = values.copy()
    out[finite] = average
    return out


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
