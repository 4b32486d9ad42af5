"""Runs that differ only in their seed, as one row: what is equal, else mean and deviation."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

__all__ = ["Fold", "Spread", "common", "fold", "fold_key", "is_seed", "members", "row_id", "spread"]

_SEEDS = {"seed", "rng", "random_state"}


@dataclass(frozen=True)
class Fold:
    """A row that stands for several runs."""

    key: str
    runs: tuple[RunSummary, ...]
    is_open: bool = False

    @property
    def name(self) -> str:
        """What their names begin with."""
        names = [run.name for run in self.runs]
        if len(set(names)) == 1:
            return names[0]
        first, last = min(names), max(names)
        same = next((i for i, c in enumerate(first) if last[i : i + 1] != c), len(first))
        return first[:same].rstrip("-_./ 0123456789=") + "…"


@dataclass(frozen=True)
class Spread:
    """Mean and sample deviation of the runs that have a value; the latter None for one run."""

    mean: float
    deviation: float | None
    count: int


def members(row: RunSummary | Fold) -> tuple[RunSummary, ...]:
    """The runs of a row."""
    return row.runs if isinstance(row, Fold) else (row,)


def row_id(row: RunSummary | Fold) -> str:
    """What tells a row from all others."""
    return row.key if isinstance(row, Fold) else row.id


@lru_cache(maxsize=4096)
def is_seed(name: str) -> bool:
    """Whether an argument is a seed, by its name."""
    leaf = name.rsplit(".", 1)[-1].lower().replace("-", "_")
    return leaf in _SEEDS or leaf.endswith("_seed") or leaf.startswith("seed_")


def fold_key(run: RunSummary) -> str | None:
    """Equal for runs of the same code with the same arguments but for seeds; None: not known.

    Runs without recorded arguments stand alone: they may differ in anything.
    """
    if not run.arguments:
        return None
    arguments = sorted((n, repr(v)) for n, v in run.arguments.items() if not is_seed(n))
    same = repr((run.commit, run.dirty, run.group, arguments))
    return hashlib.blake2b(same.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


def fold(
    runs: Sequence[RunSummary],
    opened: frozenset[str] | set[str],
    key_of: Callable[[RunSummary], str | None] = fold_key,
) -> list[RunSummary | Fold]:
    """Rows in the order of each one's first run; one run alone is no fold."""
    groups: dict[str, list[RunSummary]] = {}
    for run in runs:
        key = key_of(run)
        groups.setdefault(run.id if key is None else key, []).append(run)
    return [
        found[0] if len(found) == 1 else Fold(key, tuple(found), key in opened)
        for key, found in groups.items()
    ]


def spread(values: Sequence[float | None]) -> Spread | None:
    """Over the values that were measured, None without any; a NaN is one and makes the mean NaN."""
    known = [float(value) for value in values if value is not None]
    if not known:
        return None
    mean = math.fsum(known) / len(known) if all(map(math.isfinite, known)) else sum(known)
    if len(known) < 2 or not math.isfinite(mean):
        return Spread(mean, None, len(known))
    squares = math.fsum((value - mean) ** 2 for value in known)
    return Spread(mean, math.sqrt(squares / (len(known) - 1)), len(known))


def common(row: RunSummary | Fold, get: Callable[[RunSummary], Any]) -> Any:
    """The value of a row: what all its runs have, else the mean of numbers, else None."""
    if not isinstance(row, Fold):
        return get(row)
    values = [get(run) for run in row.runs]
    if all(type(value) is type(values[0]) and value == values[0] for value in values):
        return values[0]
    known = [value for value in values if value is not None]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in known):
        return None
    found = spread(known)
    return found.mean if found else None
