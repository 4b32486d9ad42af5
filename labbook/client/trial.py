"""A user's loop that is only tried out (`labbook.check`): what it does is not recorded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["TRIALS", "is_trial", "trial"]

TRIALS: list[int] = []
"""Threads that try something out now: empty nearly always, so that looking costs nothing."""


def is_trial() -> bool:
    """Whether this thread only tries something out."""
    return bool(TRIALS) and threading.get_ident() in TRIALS


@contextmanager
def trial() -> Iterator[None]:
    """Try something out in this thread; others go on recording."""
    TRIALS.append(threading.get_ident())
    try:
        yield
    finally:
        TRIALS.remove(threading.get_ident())
