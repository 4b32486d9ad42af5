"""`by="stratified"`: as many examples of each class as its share of the data asks for.

Invariant: which they are depends on the targets, n and the seed alone.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Final

from labbook.client.selection import draw

__all__ = ["BINS", "CLASSES", "stratified"]

CLASSES: Final = 20
"""Targets that are no whole numbers are classes up to so many different ones."""

BINS: Final = 10
"""Above it they are cut into so many bins of equal counts, by size."""


def stratified(targets: list[Any], n: int, seed: int) -> list[int]:
    """Choose `n` examples by class, in ascending order; all when n ≥ their number.

    Each class gets its share of n by the method of largest remainders, and at least one example
    where n is as large as the number of classes; with fewer, n classes are drawn, of each one.
    """
    if n >= len(targets):
        return list(range(len(targets)))
    strata = _strata(targets, n)
    if len(strata) > n:
        strata = [strata[k] for k in draw(len(strata), n, seed, " classes")]
    counts = _shares([len(members) for members in strata], n)
    chosen: list[int] = []
    for number, (members, count) in enumerate(zip(strata, counts, strict=True)):
        chosen += [members[k] for k in draw(len(members), count, seed, f" class {number}")]
    return sorted(chosen)


def _strata(targets: list[Any], n: int) -> list[list[int]]:
    """Positions by class, classes in the order of their values; or by bin."""
    groups: dict[tuple[str, Any], list[int]] = {}
    for index, value in enumerate(targets):
        groups.setdefault(_key(value), []).append(index)
    is_whole = all(kind != "number" or float(v).is_integer() for kind, v in groups)
    if not is_whole and len(groups) > CLASSES:
        return _bins(groups, min(BINS, n))
    return [groups[key] for key in sorted(groups)]


def _key(value: Any) -> tuple[str, Any]:
    if isinstance(value, str):
        return "text", value
    if not math.isfinite(value):
        return "not finite", str(value)
    return "number", value


def _bins(groups: dict[tuple[str, Any], list[int]], n_bins: int) -> list[list[int]]:
    """Bins of equal counts by rank; equal values stand in the order of the data."""
    ranked = [index for key in sorted(groups) for index in groups[key]]
    edges = [len(ranked) * k // n_bins for k in range(n_bins + 1)]
    bins = [ranked[a:b] for a, b in itertools.pairwise(edges)]
    return [sorted(members) for members in bins if members]


def _shares(sizes: list[int], n: int) -> list[int]:
    """How many of each: in proportion, at least one, no more than there are."""
    total = sum(sizes)
    counts = [min(size, max(1, n * size // total)) for size in sizes]

    def wanting(k: int) -> int:
        return n * sizes[k] - counts[k] * total  # in units of 1/total examples

    while sum(counts) < n:
        k = max(
            (k for k in range(len(sizes)) if counts[k] < sizes[k]), key=lambda k: (wanting(k), -k)
        )
        counts[k] += 1
    while sum(counts) > n:
        k = min((k for k in range(len(sizes)) if counts[k] > 1), key=lambda k: (wanting(k), k))
        counts[k] -= 1
    return counts
