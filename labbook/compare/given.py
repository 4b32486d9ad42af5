"""The data as two runs' models were given it: names, shapes, dtypes, and scales.

Batches differ from run to run by chance, so scales are compared with a tolerance: a range that
differs by a quarter of the wider one, a mean by half a standard deviation, standard deviations by
a factor of two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from labbook.book.facts import Facts
from labbook.book.given import Card, Input, newest_cards
from labbook.compare.values import Item

__all__ = ["Scales", "compare_scales", "given"]

Scales = dict[str, dict[str, float]]
"""Input -> min, max, mean, sd."""

_RANGE: Final = 0.25
_MEAN: Final = 0.5
_SD: Final = 2.0


def given(facts: Facts) -> tuple[dict[str, Any] | None, Scales]:
    """Return shapes and dtypes by name (None without a card), and the scales of all inputs."""
    values: dict[str, Any] = {}
    scales: Scales = {}
    cards = newest_cards(facts)
    for name, one in _inputs(cards):
        if one.dtypes:
            values[f"{name} dtype"] = "/".join(sorted(one.dtypes))
        if one.shape is not None:
            axes = ["N", *("?" if axis is None else str(axis) for axis in one.shape)]
            values[f"{name} shape"] = "×".join(axes)
        known = {"min": one.low, "max": one.high, "mean": one.mean, "sd": one.sd}
        scales[name] = {key: value for key, value in known.items() if value is not None}
    return values if cards else None, scales


def _inputs(cards: list[Card]) -> Iterator[tuple[str, Input]]:
    for card in cards:
        prefix = "" if card.name == "model" else f"{card.name}."
        mode = card.train or card.eval
        if mode is not None:
            yield from ((prefix + one.name, one) for one in (*mode.inputs, *mode.targets))


def compare_scales(a: Scales, b: Scales) -> tuple[Item, ...]:
    """Return ranges, means and standard deviations that chance does not explain."""
    found = []
    for name in a:
        left, right = a[name], b.get(name, {})
        if left.keys() == right.keys() and len(left) == 4:
            if _ranges_differ(left, right):
                found.append(Item(f"{name} range", "changed", _range(left), _range(right)))
            if _levels_differ(left, right):
                found.append(Item(f"{name} mean ± sd", "changed", _level(left), _level(right)))
    return tuple(found)


def _ranges_differ(a: dict[str, float], b: dict[str, float]) -> bool:
    span = max(a["max"] - a["min"], b["max"] - b["min"])
    return max(abs(a["min"] - b["min"]), abs(a["max"] - b["max"])) > _RANGE * span


def _levels_differ(a: dict[str, float], b: dict[str, float]) -> bool:
    low, high = sorted((a["sd"], b["sd"]))
    return abs(a["mean"] - b["mean"]) > _MEAN * high or high > _SD * low


def _range(scale: dict[str, float]) -> str:
    return f"{scale['min']:.4g} to {scale['max']:.4g}"


def _level(scale: dict[str, float]) -> str:
    return f"{scale['mean']:.4g} ± {scale['sd']:.4g}"
