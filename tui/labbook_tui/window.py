"""A window over x: zoomed, moved and kept at the newest value."""

from __future__ import annotations

import math

__all__ = ["moved", "newest", "zoomed"]

Span = tuple[float, float]


def _to_log(span: Span) -> Span:
    return math.log10(span[0]), math.log10(span[1])


def zoomed(window: Span | None, whole: Span, at: float, factor: float, log: bool) -> Span | None:
    """The window made `factor` times as wide around `at`, inside the whole; None for all of it."""
    low, high = window or whole
    if log and min(low, at, whole[0]) > 0:
        found = zoomed(_to_log((low, high)), _to_log(whole), math.log10(at), factor, log=False)
        return None if found is None else (10.0 ** found[0], 10.0 ** found[1])
    at = min(max(at, low), high)
    least = 1e-9 * (whole[1] - whole[0])
    low = max(whole[0], at - (at - low) * factor)
    high = min(whole[1], at + (high - at) * factor)
    if high - low <= least:
        return window
    return None if low <= whole[0] and high >= whole[1] else (low, high)


def moved(window: Span, whole: Span, part: float) -> Span:
    """The window moved by a part of its width, as wide as before, inside the whole."""
    width = window[1] - window[0]
    low = min(max(window[0] + part * width, whole[0]), max(whole[0], whole[1] - width))
    return low, low + width


def newest(window: Span | None, whole: Span) -> Span:
    """The window at the end of the whole; without one the last tenth."""
    width = window[1] - window[0] if window else (whole[1] - whole[0]) / 10
    return whole[1] - width, whole[1]
