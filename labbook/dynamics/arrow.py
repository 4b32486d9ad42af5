"""Numpy columns as Arrow columns; what is not known becomes null."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from labbook.dynamics.columns import Bools, Floats, Ints

__all__ = ["choice", "floats", "known", "nothing", "whole"]


def known(values: Any, is_known: Bools, kind: Any = None) -> pa.Array:
    """Values, null where they are not known. NaN stays NaN."""
    return pa.array(values, kind, mask=~np.asarray(is_known, np.bool_))


def floats(values: Floats) -> pa.Array:
    """Computed numbers: NaN says that there was nothing to compute from, and becomes null."""
    return pa.array(values, pa.float64(), mask=np.isnan(values))


def whole(values: Ints, least: int = 0) -> pa.Array:
    """Whole numbers, those below `least` null."""
    return pa.array(values, pa.int64(), mask=values < least)


def choice(of: Ints, place: Ints) -> pa.Array:
    """`of[place]`, null where `place` is negative."""
    if not len(of):
        return nothing(pa.int64(), len(place))
    return pa.array(of[np.maximum(place, 0)], pa.int64(), mask=place < 0)


def nothing(kind: Any, n: int) -> pa.Array:
    """`n` nulls."""
    return pa.nulls(n, kind)
