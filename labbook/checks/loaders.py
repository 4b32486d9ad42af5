"""A user's DataLoader, read in this process: no workers are forked inside a check."""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["in_process"]


def in_process(loader: Any) -> Any:
    """The same loader without workers; anything else as it is."""
    from torch.utils.data import DataLoader

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
    return sibling
