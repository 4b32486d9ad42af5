"""Expected calibration error: how far what the net is sure of is from how often it is right."""

from __future__ import annotations

from typing import Final

import numpy as np

from labbook.dynamics.columns import Floats
from labbook.dynamics.grid import Grid

__all__ = ["BINS", "calibration_error"]

BINS: Final = 15


def calibration_error(top: Grid, is_right: Grid, n_bins: int = BINS) -> Floats:
    """Σ_b (n_b / n) · |share right in b - mean probability in b|, of each step, (steps,).

    `top`: the highest class probability; `is_right`: whether that class is the target's. The bins
    are ((b - 1) / n_bins, b / n_bins], of equal width. Naeini, Cooper and Hauskrecht, Obtaining
    Well Calibrated Probabilities Using Bayesian Binning (AAAI 2015), §3; Guo et al., On Calibration
    of Modern Neural Networks (ICML 2017), eq. 3, with their 15 bins. NaN where nothing is known. Of
    a few dozen examples the error is large by chance alone: bins hold few, and it adds up sizes.
    """
    known = top.known & is_right.known
    n_steps = known.shape[1]
    probability = np.where(known, top.values, 0.0)
    place = np.clip(np.ceil(probability * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    cell = (np.arange(n_steps) * n_bins + place).ravel()
    excess = np.where(known, is_right.values - probability, 0.0).ravel()
    gap = np.bincount(cell, excess, n_steps * n_bins).reshape(n_steps, n_bins)
    with np.errstate(invalid="ignore"):
        error: Floats = abs(gap).sum(axis=1) / known.sum(axis=0)
    return error
