"""Which examples a model was given: digests of a batch, and of each of its rows."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["digest", "row_digests"]

_BYTES = 1 << 22
"""Of a tensor, that a digest reads; a larger one is sampled evenly."""


def digest(value: Any) -> bytes:
    """Of all tensors in some arguments, with their shapes."""
    whole = hashlib.blake2b(digest_size=12)
    for tensor in leaves(value):
        whole.update(str((tuple(tensor.shape), tensor.dtype)).encode())
        whole.update(_bytes(tensor.detach().reshape(1, -1))[0])
    return whole.digest()


def row_digests(value: Any, n: int) -> list[bytes]:
    """One for each of `n` examples: of that row of every tensor that has `n` rows."""
    rows = [hashlib.blake2b(digest_size=12) for _ in range(n)]
    for tensor in leaves(value):
        if tensor.ndim and len(tensor) == n and tensor.numel():
            for row, data in zip(rows, _bytes(tensor.detach().reshape(n, -1)), strict=True):
                row.update(data)
    return [row.digest() for row in rows]


def _bytes(rows: Tensor) -> list[bytes]:
    import torch

    size = rows.element_size()
    stride = -(-rows.numel() * size // _BYTES)
    rows = rows[:, ::stride].contiguous().cpu()
    if rows.dtype == torch.bool:
        rows = rows.to(torch.uint8)
    return [bytes(row) for row in rows.view(torch.uint8).numpy()]
