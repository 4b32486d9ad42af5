"""How low the loss can get at all: descended over outputs that no model made.

The floor makes "does it fit" independent of the loss: cross-entropy with smoothing, a sum, a Huber
loss and a Poisson likelihood each have another one. The best constant output is what a model can
reach without looking at its input. The last activation stays where the loss takes probabilities.
"""

from __future__ import annotations

import math

from labbook.checks.batch import Batch
from labbook.checks.bench import Bench
from labbook.checks.descent import HARD, free_of
from labbook.checks.losses import loss_kind
from labbook.checks.rule import Cannot
from labbook.checks.traced import trace

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
    # a probability or its logarithm is none without the activation that makes it
    with_tail = bench.shared(loss_kind) in {"nll", "bce", "kl", "several"}
    made = free_of(bench, trace(bench, bench.model().eval(), batch), with_tail)
    free = [
        (0.01 * torch.randn((1, *root.shape[1:]) if is_constant else root.shape)).to(root.device)
        for root in made.roots
    ]
    for numbers in free:
        if made.tail & HARD:  # where such an end of the model is not flat
            numbers.abs_().add_(0.3)
        numbers.requires_grad_()
    optimizer = torch.optim.Adam(free, RATE)
    losses: list[float] = []
    for _ in range(STEPS):
        bench.tick()
        parts = [t.expand(root.shape) for t, root in zip(free, made.roots, strict=True)]
        loss = made.value_of(parts)
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise Cannot("the loss of free outputs is not finite")
        if not loss.requires_grad:
            raise Cannot("the loss does not depend on the outputs")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    best = min(losses)
    if best < -1e-3 and best < losses[2 * STEPS // 3] - 0.1 * abs(best):
        raise Cannot("the loss has no smallest value")
    return best
