"""Tensors in nested batches: copied, cut by example, compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

__all__ = ["copied", "mapped", "picked", "same"]


def copied(batch: Any) -> Any:
    """Tensors of its own: step() may write into what it is given."""
    return mapped(batch, lambda tensor: tensor.clone())


def picked(batch: Any, places: list[int], n: int) -> Any:
    """The batch of some of its `n` examples.

    Raises `ValueError` where a tensor's first dimension does not count them.
    """

    def take(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim == 0 or len(tensor) != n:
            raise ValueError(f"a tensor of shape {tuple(tensor.shape)} cannot be cut by example")
        return tensor[torch.as_tensor(places, device=tensor.device)]

    return mapped(batch, take)


def mapped(batch: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A batch of the same shape with each tensor changed."""
    if isinstance(batch, torch.Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {name: mapped(value, change) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(mapped(value, change) for value in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(mapped(value, change) for value in batch)
    return batch


def same(a: Any, b: Any) -> bool:
    """Whether two batches hold the same tensors; what is no tensor is not looked at."""
    one, other = list(_tensors(a)), list(_tensors(b))
    if len(one) != len(other):
        return False
    return all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


def _tensors(batch: Any) -> Iterator[torch.Tensor]:
    if isinstance(batch, torch.Tensor):
        yield batch
    elif isinstance(batch, Mapping | tuple | list):
        for part in batch.values() if isinstance(batch, Mapping) else batch:
            yield from _tensors(part)
