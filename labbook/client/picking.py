"""Which examples `choose` takes: by chance, by class, far apart, the first, or as told.

Where the whole data would have to be read and that takes too long, examples are drawn at random
instead, and it is said: a start that depends on how fast a disk is must not fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from labbook.client.dataset import Source, is_array, is_tensor
from labbook.client.parts import Target, display_input, inputs_and_target
from labbook.client.selection import draw, given_indices
from labbook.client.spread import POOL, View, farthest_first, features, view
from labbook.client.strata import stratified
from labbook.client.targets import TooSlow, read_bounded, targets_of
from labbook.errors import MisuseError

__all__ = ["By", "Picked", "pick"]

By = Literal["random", "stratified", "spread", "first"] | Sequence[int]

_NOTICED_S: Final = 2.0
_ADVICE: Final = {
    "stratified": "a list or array `targets` on the dataset would save that",
    "spread": 'by="random" reads only what it chooses',
}


@dataclass(frozen=True)
class Picked:
    """The examples to read; `indices` None stands for the first n."""

    indices: list[int] | None
    by: str
    """How they were chosen in the end."""
    notice: str | None = None
    """What the user should know of it."""


def pick(
    source: Source,
    by: Any,
    n: int,
    seed: int,
    *,
    target: Target = None,
    show: Callable[[Any], Any] | None = None,
) -> Picked:
    """Decide which examples to take; raises `MisuseError` where `by` does not fit the data."""
    if not isinstance(by, str):
        if not hasattr(by, "__iter__"):
            raise _unknown(by)
        indices = list(by.tolist() if is_tensor(by) or is_array(by) else by)
        return Picked(given_indices(indices, source.length), "indices")
    if by not in ("random", "stratified", "spread", "first"):
        raise _unknown(by)
    if source.item_at is None or source.length is None:
        if by in ("stratified", "spread"):
            raise MisuseError(
                f'choose(by="{by}") needs data with a length and [i]; of {source.what}, which can '
                'only be iterated, the first n are taken: by="first"'
            )
        return Picked(None, "first")  # an iterable cannot be drawn from
    if by == "first":
        return Picked(None, "first")
    if by == "random" or n >= source.length:
        return Picked(draw(source.length, n, seed), by)
    began = time.monotonic()
    try:
        if by == "stratified":
            indices = stratified(targets_of(source, target, seed), n, seed)
        else:
            indices = _spread(source, n, seed, target, show)
    except TooSlow as reason:
        why = f'by="{by}" was given up and {n} examples are chosen at random: {reason}'
        return Picked(draw(source.length, n, seed), "random", why)
    took = time.monotonic() - began
    why = f'by="{by}" had to read {source.what} for {took:.1f} s; {_ADVICE[by]}'
    return Picked(indices, by, why if took > _NOTICED_S else None)


def _spread(
    source: Source, n: int, seed: int, target: Target, show: Callable[[Any], Any] | None
) -> list[int]:
    if n > POOL:
        raise MisuseError(f'choose(by="spread") takes {POOL:,} examples at most, not {n:,}')
    pool = draw(source.length or 0, POOL, seed, " pool")

    def look(example: Any) -> View:
        shown = show(example) if show else display_input(inputs_and_target(example, target)[0])
        return view(shown)

    views = read_bounded(source, pool, seed, look)
    return sorted(pool[at] for at in farthest_first(features(views), n))


def _unknown(by: Any) -> MisuseError:
    return MisuseError(
        f'choose(by=) must be "random", "stratified", "spread", "first" or indices, got {by!r}'
    )
