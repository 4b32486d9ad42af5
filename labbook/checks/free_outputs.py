"""How low the loss can get at all: descended over outputs that no model made.

The floor makes "does it fit" independent of the loss: cross-entropy with smoothing, a sum, a Huber
loss and a Poisson likelihood each have another one. The best constant output is what a model can
reach without looking at its input.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import Batch, leaves, mapped
from labbook.checks.bench import Bench
from labbook.checks.rule import Cannot

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["best_constant", "lowest"]

STEPS = 300
RATE = 0.1


def lowest(bench: Bench, batch: Batch) -> float:
    """The lowest loss that free outputs reach on exactly these targets, in 300 steps of Adam.

    Raises `Cannot` where the loss needs the model's own output, or is not finite.
    """
    return _descended(bench, batch, is_constant=False)


def best_constant(bench: Bench, batch: Batch) -> float:
    """The lowest loss of one output for all examples."""
    return _descended(bench, batch, is_constant=True)


def _descended(bench: Bench, batch: Batch, is_constant: bool) -> float:
    import torch

    if not bench.has_free_loss:
        raise Cannot("the loss is computed inside the model")
    with torch.no_grad():
        model = bench.model().eval()
        output = bench.forward(model, batch)
        target = batch.to(bench.device_of(model)).target
    free: list[Tensor] = []

    def start(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        shape = (1, *tensor.shape[1:]) if is_constant and tensor.ndim else tensor.shape
        free.append((0.01 * torch.randn(shape, device=tensor.device)).requires_grad_())
        return free[-1].expand(tensor.shape)

    made = mapped(output, start)
    if not free:
        raise Cannot("the model returns no floats")
    shapes = [t.shape for t in leaves(made) if t.is_floating_point()]
    optimizer = torch.optim.Adam(free, RATE)
    best = math.inf
    for _ in range(STEPS):
        bench.tick()
        parts = [t.expand(shape) for t, shape in zip(free, shapes, strict=True)]
        loss = bench.loss(_filled(output, parts), target)
        if not math.isfinite(float(loss.detach())):
            raise Cannot("the loss of free outputs is not finite")
        if not loss.requires_grad:
            raise Cannot("the loss does not depend on the outputs")
        best = min(best, float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return best


def _filled(output: Any, parts: list[Tensor]) -> Any:
    """The same structure with these in place of its tensors of floats, in order."""
    left = iter(parts)
    return mapped(output, lambda t: next(left) if t.is_floating_point() else t)
