"""From which line of the user's a loader or dataset was made, where that was seen.

Noted while a subject's file is imported and its function runs; never on the objects themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from labbook.checks.place import caller

__all__ = ["made_at", "origins_noted"]

_ORIGINS: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def made_at(thing: Any) -> str:
    """`train.py:41 in digits`; empty where nobody saw it."""
    try:
        return _ORIGINS.get(thing, "")
    except TypeError:  # cannot be hashed, or held weakly
        return ""


@contextmanager
def origins_noted() -> Iterator[None]:
    """Note where torch's loaders and datasets are made meanwhile."""
    from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset

    with ExitStack() as after:
        for kind in (DataLoader, TensorDataset, Subset, ConcatDataset):
            after.enter_context(_noted(kind))
        yield


@contextmanager
def _noted(kind: Any) -> Iterator[None]:
    original = kind.__init__

    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        try:
            _ORIGINS.setdefault(self, caller(2))
        except TypeError:
            pass

    kind.__init__ = made
    try:
        yield
    finally:
        kind.__init__ = original
