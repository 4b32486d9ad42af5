"""A user's DataLoader, read in this process: no workers are forked inside a check."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator
from typing import Any

__all__ = ["in_process", "plain"]


def plain(loader: Any) -> Any:
    """A loader without what `run.loader` put around it."""
    from labbook.client.throughput import Loader

    return loader._wrapped if isinstance(loader, Loader) else loader


def in_process(loader: Any, noted: list[list[int]] | None = None) -> Any:
    """The same loader without workers; anything else as it is.

    `noted` gets, for each batch of a map-style dataset, the indices of its examples.
    """
    from torch.utils.data import DataLoader

    loader = plain(loader)
    if not isinstance(loader, DataLoader):
        return loader
    sibling = copy.copy(loader)
    # past DataLoader.__setattr__, which refuses some of these
    vars(sibling).update(
        num_workers=0,
        prefetch_factor=None,
        persistent_workers=False,
        timeout=0,
        pin_memory=False,
        _iterator=None,
    )
    vars(sibling)["_DataLoader__multiprocessing_context"] = None
    if noted is not None and sibling.batch_sampler is not None and hasattr(sibling, "dataset"):
        vars(sibling)["batch_sampler"] = _Noting(sibling.batch_sampler, noted)
    return sibling


class _Noting:
    """A batch sampler that notes what it hands out; without workers nothing is asked for ahead."""

    def __init__(self, source: Any, noted: list[list[int]]) -> None:
        self.source = source
        self.noted = noted

    def __iter__(self) -> Iterator[Any]:
        for indices in self.source:
            self.noted.append(_whole_numbers(indices))
            yield indices

    def __len__(self) -> int:
        return len(self.source)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)


def _whole_numbers(indices: Any) -> list[int]:
    """Empty for keys that are none."""
    try:
        return [operator.index(i) for i in indices]
    except TypeError:
        return []
