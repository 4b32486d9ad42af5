"""The loss before the first step, and what predictors that see no input would get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labbook.checks.bench import Bench
from labbook.checks.descent import Free, free_of
from labbook.checks.losses import LOSS_KINDS
from labbook.checks.rule import Cannot
from labbook.checks.traced import Trace, trace

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Start", "start"]

EXAMPLES = 64
_STEPS, _RATE = 300, 0.1
_GROWTH = 3


@dataclass(frozen=True)
class Start:
    """On some examples, before the first step: the loss; the loss of outputs that are zero (before

    the last activation: uniform, for a softmax); the loss of the best constant output, and that
    output; the kind of the loss, where it calls one of torch's functions.
    """

    loss: float
    zero: float
    constant: float
    best: Tensor
    kind: str
    seen: Trace


def start(bench: Bench) -> Start:
    """Measured on 64 examples, or one batch; `bench.shared` it.

    Raises `Cannot` where the loss cannot be called on outputs alone, or is not finite.
    """
    import torch

    if not bench.has_free_loss:
        raise Cannot("the model computes its own loss: it cannot be called on outputs alone")
    try:
        batch = bench.examples(EXAMPLES)
    except Cannot:
        batch = bench.batch
    seen = trace(bench, bench.model(), batch)
    if seen.error is not None:
        raise seen.error
    if seen.loss is None:
        raise Cannot("the loss is not one number")
    free = free_of(bench, seen)
    with torch.no_grad():
        zero = free.value().item()  # the roots start there
    best, constant = _best_constant(bench, free, seen.batch.n)
    value = seen.loss.detach().item()
    if any(v - v != 0 for v in (value, zero, constant)):
        raise Cannot("the loss is not finite")
    kinds = {LOSS_KINDS[c.name] for c in seen.known()}
    kind = kinds.pop() if len(kinds) == 1 else ("several" if kinds else "unknown")
    return Start(value, zero, constant, best, kind, seen)


def _best_constant(bench: Bench, free: Free, n: int) -> tuple[Tensor, float]:
    """(the first root's constant, its loss): Adam over one output for all examples."""
    import torch

    if any(root.ndim == 0 or len(root) != n for root in free.roots):
        raise Cannot("the batch is not the first axis of the outputs")
    constants = [torch.zeros_like(root[:1]).requires_grad_() for root in free.roots]
    optimizer = torch.optim.Adam(constants, _RATE)
    best = float("inf")
    kept = constants[0].detach().clone()
    for step in range(_STEPS):
        bench.tick()
        loss = free.value_of([c.expand_as(r) for c, r in zip(constants, free.roots, strict=True)])
        value = loss.detach().item()
        if value < best:
            best, kept = value, constants[0].detach().clone()
        if value - value != 0 or not loss.requires_grad:
            break
        grads = torch.autograd.grad(loss, constants, allow_unused=True)
        for constant, grad in zip(constants, grads, strict=True):
            constant.grad = grad
        for group in optimizer.param_groups:  # far targets are reached too
            group["lr"] = _RATE * _GROWTH ** (step // 60)
        optimizer.step()
    return kept[0], best
