"""Statistics of tensors, left on their device: nothing here waits for a GPU.

On the CPU, where a result is there at once, an expensive count is made only when a cheap one says
that it is not zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "BINS",
    "by_device",
    "flat",
    "histogram",
    "is_lazy",
    "is_measurable",
    "nonfinite",
    "norms",
    "stride_for",
]

BINS: Final = 32
"""Of a histogram, equally wide, from the least to the greatest value."""

CHUNK: Final = 1 << 24
"""Elements looked at together: bounds what is allocated beside the tensor."""

HISTOGRAM_SAMPLE: Final = 1 << 16


def is_measurable(tensor: Any) -> bool:
    """Whether this is an ordinary tensor of floating point numbers that has memory of its own."""
    import torch

    return (
        isinstance(tensor, torch.Tensor)
        and not is_lazy(tensor)
        and tensor.is_floating_point()
        and tensor.layout == torch.strided
        and not tensor.is_meta
        and tensor.numel() > 0
        and not tensor.is_inference()
    )


def is_lazy(tensor: Any) -> bool:
    """Whether this is a parameter whose shape the first forward pass will tell."""
    import torch.nn.parameter

    return isinstance(
        tensor, torch.nn.parameter.UninitializedParameter | torch.nn.parameter.UninitializedBuffer
    )


def norms(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean norms (n,) float32 of tensors on one device."""
    import torch

    exact = (torch.float32, torch.float64)
    if all(tensor.dtype in exact for tensor in tensors):
        found = list(torch._foreach_norm(list(tensors), 2))
    else:  # a half's own norm would overflow at 65504
        found = [torch.linalg.vector_norm(t, 2, dtype=torch.float32) for t in tensors]
    return torch.stack([norm.to(torch.float32) for norm in found])


def nonfinite(tensors: Sequence[Tensor], cheap: Tensor) -> Tensor:
    """How many elements are NaN or infinite, (n,) int64.

    `cheap` (n,) is finite where all elements of a tensor are: its norm, or its sum.
    """
    import torch

    if cheap.device.type != "cpu":
        return torch.stack([_count(tensor) for tensor in tensors])
    pairs = zip(tensors, cheap.tolist(), strict=True)
    return torch.tensor([0 if math.isfinite(c) else int(_count(tensor)) for tensor, c in pairs])


def _count(tensor: Tensor) -> Tensor:
    import torch

    # x - x is 0 for what is finite, else NaN: fewer kernels than isfinite
    parts = [torch.count_nonzero(part - part) for part in torch.split(flat(tensor), CHUNK)]
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum()


def flat(tensor: Tensor) -> Tensor:
    """All elements in the order of memory, a view of any tensor without gaps."""
    if not tensor.is_contiguous():
        strides = tensor.stride()
        order = sorted(range(tensor.ndim), key=lambda axis: -strides[axis])
        tensor = tensor.permute(order)
    return tensor.reshape(-1)


def stride_for(shape: Sequence[int], most: int) -> int:
    """A stride that leaves at most about `most` elements of a tensor, spread over all its parts.

    It shares no factor with any dimension, so that no row, column or channel is preferred.
    """
    n = int(math.prod(shape))
    stride = max(1, math.ceil(n / most))
    while stride > 1 and any(math.gcd(stride, size) != 1 for size in shape):
        stride += 1
    return stride


def histogram(tensor: Tensor) -> Tensor:
    """Least and greatest value and the counts of `BINS` bins between, (2 + BINS,) float32.

    Of a larger tensor 65,536 elements or a few less are counted. Meaningless where the least or the
    greatest is not finite.
    """
    import torch

    part = flat(tensor)[:: stride_for(tensor.shape, HISTOGRAM_SAMPLE)].to(torch.float32)
    low, high = part.aminmax()
    width = (high - low).clamp_min(torch.finfo(torch.float32).tiny)
    # before it is an index: a NaN as one would be a fault of the device
    at = ((part - low) / width * BINS).nan_to_num_(0.0, 0.0, 0.0).clamp_(0, BINS - 1).long()
    counts = torch.zeros(BINS, device=part.device).scatter_add_(0, at, torch.ones_like(part))
    return torch.cat([torch.stack([low, high]), counts])


def by_device(tensors: Sequence[tuple[str, Tensor]]) -> list[list[tuple[str, Tensor]]]:
    """Group named tensors by device."""
    groups: dict[Any, list[tuple[str, Tensor]]] = {}
    for name, tensor in tensors:
        groups.setdefault(tensor.device, []).append((name, tensor))
    return list(groups.values())
