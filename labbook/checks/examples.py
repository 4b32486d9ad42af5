"""The examples that a loader delivers, told apart by what is in them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from labbook.checks.bench import Bench
from labbook.checks.digests import row_digests

__all__ = ["MOST", "Examples", "training_examples", "validation"]

MOST = 20_000
"""Examples of a set that are read."""

SECONDS = 5.0


@dataclass
class Examples:
    """The examples that a loader delivers: digests with how often, and targets by digest."""

    rows: Counter[bytes] = field(default_factory=Counter)
    targets: dict[bytes, Any] = field(default_factory=dict)
    n: int = 0
    is_whole: bool = True


def validation(bench: Bench) -> Examples:
    """The examples of `val`; `bench.shared` it."""
    return _examples(bench, "val")


def training_examples(bench: Bench) -> Examples:
    """The examples of `loader`; `bench.shared` it."""
    return _examples(bench, "loader")


def _examples(bench: Bench, which: str) -> Examples:
    import torch

    found = Examples()
    end = time.monotonic() + SECONDS
    for batch in bench.stream(which):
        digests = row_digests((batch.args, batch.kwargs), batch.n)
        found.rows.update(digests)
        found.n += batch.n
        target = batch.target
        if isinstance(target, torch.Tensor) and target.ndim and len(target) == batch.n:
            found.targets.update(zip(digests, target, strict=True))
        if found.n > MOST or time.monotonic() > end:
            found.is_whole = False
            break
    return found
