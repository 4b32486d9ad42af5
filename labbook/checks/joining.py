"""Several batches as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labbook.checks.batch import Batch
from labbook.checks.rule import Cannot

__all__ = ["joined"]


def joined(batches: Sequence[Batch]) -> Batch:
    """One batch of all examples. Raises `Cannot` where their shapes differ."""
    if len(batches) == 1:
        return batches[0]
    return Batch(
        _joined([b.args for b in batches]),
        _joined([b.kwargs for b in batches]),
        _joined([b.target for b in batches]),
        _joined([b.raw for b in batches]),
    )


def _joined(values: Sequence[Any]) -> Any:
    import torch

    head = values[0]
    if isinstance(head, torch.Tensor):
        if head.ndim == 0:
            return head
        if any(v.shape[1:] != head.shape[1:] for v in values):
            raise Cannot("batches of different shapes cannot be joined")
        return torch.cat(list(values))
    if isinstance(head, Mapping):
        return {name: _joined([v[name] for v in values]) for name in head}
    if isinstance(head, tuple) and hasattr(head, "_fields"):
        return type(head)(*(_joined(parts) for parts in zip(*values, strict=True)))
    if isinstance(head, (tuple, list)):
        if any(len(v) != len(head) for v in values) or not all(
            isinstance(part, (torch.Tensor, Mapping, tuple, list)) for part in head
        ):
            return type(head)(part for value in values for part in value)
        return type(head)(_joined(parts) for parts in zip(*values, strict=True))
    return head
