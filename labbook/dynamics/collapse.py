"""What is predicted, against what there is: the two histograms of each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from labbook.dynamics.columns import Bools, Floats, Ints
from labbook.dynamics.grid import Grid

__all__ = ["Predicted", "predicted"]

CELLS: Final = 1 << 20
"""Steps × classes that are counted together: classes may be any numbers, and many."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """Of each step, (steps,); NaN and -1 where nothing was predicted.

    `top_class`: the commonest prediction (the smallest of equals), `top_share` its share.
    `n_classes`: how many different ones there are. `total_variation`: ½ Σ_c |p_c - q_c| between the
    shares of the predictions and of the targets of the same examples (Levin, Peres and Wilmer,
    Markov Chains and Mixing Times, §4.1): 0 when they are the same, near 1 - 1/C when one of C
    balanced classes is all that is predicted.
    """

    top_class: Ints
    top_share: Floats
    n_classes: Ints
    total_variation: Floats


def predicted(prediction: Grid, label: Ints | None) -> Predicted:
    """Compare predictions (examples, steps) with targets (examples,), -1 for none."""
    n_steps = prediction.known.shape[1]
    label = np.full(len(prediction.known), -1) if label is None else label
    classes = np.unique(np.concatenate([prediction.values[prediction.known], label[label >= 0]]))
    top, n_classes = np.full(n_steps, -1), np.full(n_steps, -1)
    share, variation = np.full(n_steps, np.nan), np.full(n_steps, np.nan)
    n = max(1, CELLS // max(1, len(classes)))
    for start in range(0, n_steps if len(classes) else 0, n):
        part = slice(start, start + n)
        found, known = prediction.values[:, part], prediction.known[:, part]
        wanted = np.broadcast_to(label[:, None], known.shape)
        both = known & (wanted >= 0)
        counts = _counts(classes, found, known)  # (steps, classes)
        apart = abs(_counts(classes, found, both) - _counts(classes, wanted, both)).sum(axis=1)
        is_known, most = known.any(axis=0), counts.argmax(axis=1)
        top[part] = np.where(is_known, classes[most], -1)
        n_classes[part] = np.where(is_known, (counts > 0).sum(axis=1), -1)
        with np.errstate(invalid="ignore"):
            share[part] = counts.max(axis=1) / known.sum(axis=0)
            variation[part] = apart / (2 * both.sum(axis=0))
    return Predicted(top, share, n_classes, variation)


def _counts(classes: Ints, values: Ints, known: Bools) -> Ints:
    """How often each class occurs at each step, (steps, classes)."""
    shape = known.shape[1], len(classes)
    _, step = np.nonzero(known)
    cell = step * len(classes) + np.searchsorted(classes, values[known])
    return np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
