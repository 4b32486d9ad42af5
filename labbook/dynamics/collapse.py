"""What is predicted, against what there is: the two histograms of each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labbook.dynamics.columns import Floats, Ints
from labbook.dynamics.grid import Grid

__all__ = ["Predicted", "predicted"]


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
    top, n_classes = np.full(n_steps, -1), np.full(n_steps, -1)
    share, variation = np.full(n_steps, np.nan), np.full(n_steps, np.nan)
    # (steps, examples): a step at a time, for classes may be any numbers
    values = np.ascontiguousarray(prediction.values.T)
    known = np.ascontiguousarray(prediction.known.T)
    for step in range(n_steps):
        classes, counts = np.unique(values[step][known[step]], return_counts=True)
        if len(classes):
            place = counts.argmax()
            top[step], share[step] = classes[place], counts[place] / counts.sum()
            n_classes[step] = len(classes)
        if label is not None:
            both = known[step] & (label >= 0)
            variation[step] = _variation(values[step][both], label[both])
    return Predicted(top, share, n_classes, variation)


def _variation(one: Ints, other: Ints) -> float:
    if not len(one):
        return float("nan")
    _, place = np.unique(np.concatenate([one, other]), return_inverse=True)
    difference = np.bincount(place[: len(one)], minlength=place.max() + 1) - np.bincount(
        place[len(one) :], minlength=place.max() + 1
    )
    return float(abs(difference).sum() / (2 * len(one)))
