"""Paired differences: the same examples, measured in both runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["CONFIDENCE", "Interval", "paired_interval", "t_quantile"]

CONFIDENCE = 0.95

_TINY = 1e-300
_STEPS = 300


@dataclass(frozen=True)
class Interval:
    """Means over the pairs, the mean difference b - a, and its 95 % confidence interval.

    `low` and `high` are None with fewer than two pairs. `n` counts the pairs used, `n_left_out`
    those with a value that is not finite.
    """

    n: int
    n_left_out: int
    mean_a: float | None
    mean_b: float | None
    difference: float | None
    low: float | None
    high: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    @property
    def stderr(self) -> float | None:
        """Standard error of the mean difference, s(d) / √n; None with fewer than two pairs."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / 2 / t_quantile(0.5 + CONFIDENCE / 2, self.n - 1)


def paired_interval(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> Interval:
    """Return the interval of the mean of b - a by the paired t procedure.

    `a`, `b`: (pairs,), float. With d = b - a, the mean of d ± t(0.975; n - 1) · s(d) / √n, see NIST
    e-Handbook of Statistical Methods, §7.3.1.1 (analysis of paired observations),
    https://www.itl.nist.gov/div898/handbook/prc/section3/prc311.htm. It holds for
    independent examples, and approximately for differences that are not normal when n is large
    (so it does for 0/1 columns). It says how sure the difference is over examples like these, not
    how sure it would be over another seed.
    """
    import numpy as np

    is_usable = np.isfinite(a) & np.isfinite(b)
    a, b = a[is_usable], b[is_usable]
    n, n_left_out = len(a), int((~is_usable).sum())
    if n == 0:
        return Interval(0, n_left_out, None, None, None, None, None)
    delta = b - a
    mean = float(delta.mean())
    low = high = None
    if n > 1:
        half = t_quantile(0.5 + CONFIDENCE / 2, n - 1) * float(delta.std(ddof=1)) / math.sqrt(n)
        low, high = mean - half, mean + half
    return Interval(n, n_left_out, float(a.mean()), float(b.mean()), mean, low, high)


def t_quantile(p: float, df: int) -> float:
    """Return the quantile of Student's t for 0.5 < p < 1, to about 1e-10.

    The distribution function is 1 - I(df/(df + t²); df/2, 1/2)/2 for t > 0, Abramowitz and Stegun
    26.7.1 with 26.5.27, inverted by bisection.
    """
    low, high = 0.0, 1.0
    while _t_distribution(high, df) < p:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _t_distribution(middle, df) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _t_distribution(t: float, df: int) -> float:
    return 1 - _incomplete_beta(df / (df + t * t), df / 2, 0.5) / 2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta I(x; a, b) by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges fast
        return 1 - _incomplete_beta(1 - x, b, a)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(scale + a * math.log(x) + b * math.log1p(-x)) / a
    return front / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """1 + d1/(1 + d2/(1 + …)) by Lentz's method (Press et al., Numerical Recipes, §5.2)."""
    value, c, d = 1.0, 1.0, 0.0
    for step in range(1, _STEPS):
        m, is_odd = divmod(step, 2)
        if is_odd:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / ((1 + term * d) or _TINY)
        c = (1 + term / c) or _TINY
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value
