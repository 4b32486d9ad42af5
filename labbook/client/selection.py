"""Which examples a chosen set holds: decided by the length of the data and the seed alone.

Invariant: the choice is the same on every machine, Python version and run. No global random
generator is read or moved; `random.Random` is not used either, because the language promises
nothing about its sequences of choices.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable
from typing import Any

from labbook.errors import MisuseError

__all__ = ["draw", "given_indices"]


def draw(length: int, n: int, seed: int, salt: str = "") -> list[int]:
    """Draw `n` of `range(length)` without replacement, in ascending order; all when n ≥ length.

    `salt` tells draws for different purposes apart. Robert Floyd's algorithm (Bentley & Floyd, CACM
    30(9), 1987) over SHA-256 of a counter.
    """
    if n >= length:
        return list(range(length))
    taken: set[int] = set()
    for top in range(length - n, length):
        candidate = _number(seed, length, top, salt) % (top + 1)
        taken.add(top if candidate in taken else candidate)
    return sorted(taken)


def _number(seed: int, length: int, counter: int, salt: str) -> int:
    """128 bits: the remainder by any real length is uniform to within 2**-80."""
    text = f"labbook chosen set 1{salt}:{seed}:{length}:{counter}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def given_indices(by: Iterable[Any], length: int | None) -> list[int]:
    """Check indices that the user gives; `length` None means unknown."""
    try:
        indices = [operator.index(i) for i in by]
    except TypeError as error:
        raise MisuseError(f"choose(by=…) wants whole numbers: {error}") from error
    if not indices:
        raise MisuseError("choose(by=…) was given no indices")
    if len(set(indices)) != len(indices):
        twice = next(i for i in indices if indices.count(i) > 1)
        raise MisuseError(f"choose(by=…) names example {twice} more than once")
    wrong = [i for i in indices if i < 0 or (length is not None and i >= length)]
    if wrong:
        raise MisuseError(
            f"choose(by=…) names example {wrong[0]}, but the data has {length} examples"
        )
    return indices
