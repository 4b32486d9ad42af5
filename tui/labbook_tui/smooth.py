"""Exponential smoothing without a loop over the points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["automatic", "ema"]

_BLOCK = 64
_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)

Floats = NDArray[np.float64]


def ema(values: Floats, weight: float) -> Floats:
    """Debiased exponential moving average, `s[t] = w·s[t-1] + (1-w)·x[t]` over `1 - w**t`.

    (Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980, section 3.) Values that are not finite
    stay as they are and do not enter the average. Blocks of 64 points are one matrix product each,
    so that a million points take milliseconds.
    """
    values = np.asarray(values, np.float64)
    if weight <= 0 or len(values) < 2:
        return values
    finite = np.isfinite(values)
    known = values[finite]
    n = len(known)
    blocks = -(-n // _BLOCK)
    padded = np.zeros(blocks * _BLOCK)
    padded[:n] = known
    lag = np.arange(_BLOCK)[:, None] - np.arange(_BLOCK)[None, :]
    kernel = np.where(lag >= 0, (1 - weight) * weight ** np.maximum(lag, 0), 0.0)  # (t, s)
    inner = padded.reshape(blocks, _BLOCK) @ kernel.T  # (blocks, 64), each begun at zero
    carry, last, decay = np.zeros(blocks), 0.0, weight**_BLOCK
    for block, end in enumerate(inner[:, -1].tolist()):
        carry[block] = last
        last = last * decay + end
    inner += carry[:, None] * weight ** np.arange(1, _BLOCK + 1)
    out = values.copy()
    out[finite] = inner.reshape(-1)[:n] / -np.expm1(np.arange(1, n + 1) * np.log(weight))
    return out


def automatic(n_points: int) -> float:
    """A weight that averages over about 2 % of the points; none for short series.

    Few levels: each new one moves the whole curve of a live run.
    """
    wanted = 1 - 1 / max(1.0, 0.02 * n_points)
    return max((level for level in _LEVELS if level <= wanted), default=0.0)
