"""Whether a model's outputs have anything to do with the targets of held-out examples.

A net that has learned its examples by heart may have a higher held-out loss than one that ignores
its input, and still know much: it is too sure, not blind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import Batch
from labbook.checks.bench import Bench
from labbook.checks.rule import Cannot

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["FEWEST", "dependence"]

FEWEST = 50
"""Held-out targets below which neither a loss nor a dependence tells."""


def dependence(bench: Bench, model: nn.Module, batches: Sequence[Batch]) -> float:
    """In standard errors, how far outputs and targets are from independent.

    Classes: the share of right answers against what equal frequencies would give by chance, as in
    Cohen's kappa. Numbers: the correlation of each column about its mean. Raises `Cannot` where
    outputs and targets cannot be compared, or are fewer than 50.
    """
    import torch

    pairs: list[tuple[Tensor, Tensor]] = []
    model.eval()
    with torch.no_grad():
        for batch in batches:
            bench.tick()
            target = batch.target
            if not isinstance(target, torch.Tensor):
                raise Cannot("the targets are no tensor")
            output = bench.tensor(bench.forward(model, batch)).detach().cpu().double()
            pairs.append((output, target.detach().cpu()))
    output, target = _joined([o for o, _ in pairs]), _joined([t for _, t in pairs])
    if not target.is_floating_point() and output.ndim == target.ndim + 1:
        return _by_class(output, target)
    if output.numel() == target.numel():
        return _by_value(output.reshape(len(target), -1), target.double().reshape(len(target), -1))
    raise Cannot("outputs and targets cannot be compared")


def _joined(tensors: list[Any]) -> Any:
    import torch

    if len({t.shape[1:] for t in tensors}) != 1:
        raise Cannot("batches of different shapes cannot be joined")
    return torch.cat(tensors)


def _by_class(output: Tensor, target: Tensor) -> float:
    axis = -1 if output.shape[:-1] == target.shape else 1
    n_examples = len(target)  # the targets of one example are not independent of each other
    answer = output.argmax(axis).reshape(-1)
    target = target.reshape(-1)
    kept = target >= 0  # an ignored index is below zero
    answer, target = answer[kept], target[kept]
    n, n_classes = len(target), output.shape[axis]
    if n < FEWEST or bool((target >= n_classes).any()):
        raise Cannot(f"fewer than {FEWEST} held-out targets, or of other classes")
    share = float((answer == target).double().mean())
    of_answers = answer.bincount(minlength=n_classes).double() / n
    of_targets = target.long().bincount(minlength=n_classes).double() / n
    chance = float((of_answers * of_targets).sum())
    spread = math.sqrt(max(chance * (1 - chance), 1 / n) / min(n, n_examples))
    return (share - chance) / spread


def _by_value(output: Tensor, target: Tensor) -> float:
    n = len(target)
    if n < FEWEST:
        raise Cannot(f"fewer than {FEWEST} held-out targets")
    a, b = output - output.mean(0), target - target.mean(0)
    norm = float(a.norm() * b.norm())
    return float((a * b).sum()) / norm * math.sqrt(n) if norm else 0.0
