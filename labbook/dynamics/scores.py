"""Outputs that are class scores: what probability the target and the highest class get.

Invariant: scores are read as logits or as probabilities by what all of them say together, and how
that was decided is kept. Outputs of any other shape, or without whole-number targets among their
classes, are no class scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from labbook.dynamics.columns import Bools, Floats, Ints, Numbers, Vectors

__all__ = ["ScoreKind", "Scores", "class_scores"]

ScoreKind = Literal["logits", "log-probabilities", "probabilities"]

TOLERANCE: Final = 0.01
"""How far a sum may be from 1: outputs may have been rounded to bfloat16."""

_LOSS_TOLERANCE: Final = 0.05
"""Nats by which a recorded loss may miss the cross-entropy of (rounded) logits."""

_SHARE: Final = 0.99


@dataclass(frozen=True, eq=False)
class Scores:
    """Class scores, a row each, (rows,).

    `target` is the probability of the target's class (unknown without a target), `top` the highest
    one, `prediction` its class (the first of equals). Rows that hold NaN or +inf are not known, and
    `n_nonfinite` counts them. `basis` is how `kind` was decided.
    """

    kind: ScoreKind
    basis: str
    n_classes: int
    n_nonfinite: int
    target: Numbers
    top: Numbers
    prediction: Numbers


@dataclass
class _Rows:
    """What is needed of each row to read it either way."""

    known: Bools
    prediction: Ints
    is_distribution: Bools
    log_sum: Floats
    raw_top: Floats
    raw_target: Floats

    @classmethod
    def empty(cls, n: int) -> _Rows:
        none, nan = np.zeros(n, np.bool_), np.full(n, np.nan)
        return cls(none, np.zeros(n, np.int64), none.copy(), nan, nan.copy(), nan.copy())


def class_scores(
    output: Vectors, keep: Bools, label: Ints, loss: Numbers | None, asked: ScoreKind | None
) -> Scores:
    """Read the outputs (rows, classes) of the rows in `keep`.

    `label` (rows,) is the target's class, -1 where there is none. `asked` settles the kind.
    Otherwise: probabilities, when no finite row has a negative score and each sums to 1;
    log-probabilities, when the exponentials of each do; else logits, whose softmax is taken.
    """
    rows = _Rows.empty(len(keep))
    n_nonfinite = 0
    for at, values in output.blocks(keep):
        n_nonfinite += _take(rows, at, values, label)
    kind, basis = (asked, "as asked") if asked else _kind(rows, loss)
    if kind == "probabilities":
        top, target = rows.raw_top, rows.raw_target
    else:
        top, target = np.exp(rows.raw_top - rows.log_sum), np.exp(rows.raw_target - rows.log_sum)
    return Scores(
        kind,
        basis,
        output.width,
        n_nonfinite,
        Numbers(target, rows.known & (label >= 0)),
        Numbers(top, rows.known),
        Numbers(rows.prediction, rows.known),
    )


def _take(
    rows: _Rows, at: np.ndarray[tuple[int], np.dtype[np.intp]], x: Floats, label: Ints
) -> int:
    """Put a block's rows in their places; return how many are not finite."""
    x = np.ascontiguousarray(x.T)  # (classes, rows): numpy is several times as fast this way
    highest = x.max(axis=0)
    is_finite = np.isfinite(highest)  # a score may be -inf: no chance
    if not is_finite.all():
        at, x, highest = at[is_finite], x[:, is_finite], highest[is_finite]
    rows.known[at] = True
    rows.prediction[at] = x.argmax(axis=0)
    rows.log_sum[at] = highest + np.log(np.exp(x - highest).sum(axis=0))
    rows.is_distribution[at] = (x.min(axis=0) >= 0) & (abs(x.sum(axis=0) - 1) <= TOLERANCE)
    rows.raw_top[at] = highest
    rows.raw_target[at] = x[np.maximum(label[at], 0), np.arange(len(at))]
    return int((~is_finite).sum())


def _kind(rows: _Rows, loss: Numbers | None) -> tuple[ScoreKind, str]:
    known = rows.known
    if not known.any():
        return "logits", "assumed: no score is finite"
    if rows.is_distribution[known].all():
        return "probabilities", "none is negative and each row sums to 1"
    if (abs(rows.log_sum[known]) <= TOLERANCE).all():
        return "log-probabilities", "the exponentials of each row sum to 1"
    if loss is not None:
        both = known & loss.known & np.isfinite(rows.raw_target) & np.isfinite(loss.values)
        miss = abs(rows.log_sum[both] - rows.raw_target[both] - loss.values[both])
        if both.any() and (miss <= _LOSS_TOLERANCE).mean() >= _SHARE:
            return "logits", "the recorded loss is the cross-entropy of their softmax"
    return "logits", "assumed: they are no probabilities, and the recorded loss does not tell"
