"""Nearest neighbours among the examples a loader delivers.

Distances are between standardized inputs of at most 3,072 numbers: pictures are averaged over
areas, of longer rows every so many numbers is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from labbook.checks.bench import Bench
from labbook.checks.passes import Pass, train_pass
from labbook.checks.rule import Cannot

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["K", "Near", "dimension", "embedded", "near", "nearest", "standardized", "train_near"]

K: Final = 20
MOST: Final = 1500
"""Examples that take part."""

WIDEST: Final = 3072
_SIDE: Final = 32


@dataclass(frozen=True)
class Near:
    """Of each query row the `K` nearest rows: `distances` ascending and `places`, (queries, K)."""

    distances: Tensor
    places: Tensor


def embedded(seen: Pass, most: int = MOST) -> Tensor:
    """The main input of the first examples as rows of at most 3,072 numbers."""
    import torch
    from torch.nn import functional as F

    stacked = seen.stacked[:most]
    if not stacked.is_floating_point() and stacked.dtype is not torch.uint8:
        raise Cannot("inputs are whole numbers: their distances mean nothing")
    stacked = torch.nan_to_num(stacked.float())
    is_picture = stacked.ndim == 4 and stacked.shape[1] in (1, 3)
    if is_picture and stacked[0].numel() > WIDEST:
        sides = [min(_SIDE, side) for side in stacked.shape[2:]]
        stacked = F.adaptive_avg_pool2d(stacked, (sides[0], sides[1]))
    rows = stacked.reshape(len(stacked), -1)
    if rows.shape[1] > WIDEST:
        rows = rows[:, :: math.ceil(rows.shape[1] / WIDEST)]
    return rows


def standardized(rows: Tensor, like: Tensor | None = None) -> Tensor:
    """Rows with each column centred and scaled, by the columns of `like`; constant ones dropped."""
    like = rows if like is None else like
    mean, sd = like.mean(0), like.std(0, correction=0)
    kept = sd > 1e-6 * sd.max().clamp(min=1e-30)
    return (rows[:, kept] - mean[kept]) / sd[kept]


def nearest(queries: Tensor, rows: Tensor, *, among_itself: bool) -> Near:
    """The `K` nearest `rows` of each query; without itself where both are the same."""
    import torch

    if len(rows) <= K + 1:
        raise Cannot(f"{len(rows)} examples are too few for neighbours")
    distances = torch.cdist(queries, rows)
    if among_itself:
        distances.fill_diagonal_(torch.inf)
    places = distances.topk(K, dim=1, largest=False).indices
    # cdist multiplies matrices: what is nearly zero comes out wrong, so once more, one by one
    exact = torch.stack([(queries - rows[places[:, k]]).norm(dim=1) for k in range(K)], 1)
    return Near(exact, places)


def train_near(bench: Bench) -> Near:
    """Among the training examples; `bench.shared` it."""
    rows = standardized(embedded(bench.shared(train_pass)))
    return nearest(rows, rows, among_itself=True)


def near(bench: Bench, other: Pass) -> Near:
    """The nearest training examples of the examples of another pass."""
    ours = embedded(bench.shared(train_pass))
    theirs = embedded(other)
    if ours.shape[1] != theirs.shape[1]:
        raise Cannot("training and validation inputs differ in shape")
    return nearest(standardized(theirs, ours), standardized(ours), among_itself=False)


def dimension(distances: Tensor) -> float:
    """How many dimensions the data fills, from the 10th and the 20th neighbour's distance.

    As Levina & Bickel, Maximum Likelihood Estimation of Intrinsic Dimension (2004), with two
    distances: the nearest ones may be copies.
    """
    ratio = (distances[:, 19] / distances[:, 9].clamp(min=1e-12)).log().median()
    return math.log(2) / max(float(ratio), 1e-6)
