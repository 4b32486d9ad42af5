"""Whether the outputs that a descent ended with are those that the targets ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench
from labbook.checks.descent import Path
from labbook.checks.losses import LOSS_KINDS
from labbook.checks.rule import Cannot
from labbook.checks.torch_calls import Call, torch_calls

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["agreement"]


def agreement(bench: Bench, path: Path) -> float:
    """Share of the outputs that agree with the targets, 0 to 1.

    Classes: arg-max equals target, the mean over classes. Zeros and ones (or ±1): on the right
    side, the mean over both. Other values: moved from the start towards the target. The targets
    are what torch's loss function got where there is exactly one, else the loader's.
    Raises `Cannot` where outputs and targets cannot be compared.
    """
    import torch

    calls: list[Call] = []
    with torch.no_grad(), torch_calls(calls):
        path.free.loss(path.output)
    known = [c for c in calls if c.name in LOSS_KINDS]
    output = bench.tensor(path.output)
    if len(known) == 1 and LOSS_KINDS[known[0].name] in _COMPARED:
        call = known[0]
        given, target = call.given(0, "input"), call.given(1, "target")
        if output.shape == given.shape:
            given = output
        kind = LOSS_KINDS[call.name]
        if kind in {"ce", "nll"}:
            return _by_class(given, target, int(call.given(4, "ignore_index", -100)), 1)
        return _by_value(bench, path, given, target, 0.5 if kind == "bce" else 0.0)
    found = next(leaves(path.free.seen.batch.target), None)
    if found is None or len(known) > 1:
        raise Cannot("outputs and targets cannot be compared")
    if not known and bench.subject.task is None and _may_be_distance(path, output, found):
        raise Cannot("zeros and ones may mean either to a loss of one's own: say task='binary'")
    return _by_shape(bench, path, output, found)


def _may_be_distance(path: Path, output: Tensor, target: Tensor) -> bool:
    """Whether targets are zeros and ones, and the model's outputs are never below zero.

    A distance falls where a probability rises.
    """
    if not target.is_floating_point() or not bool(((target == 0) | (target == 1)).all()):
        return False
    made = [t for t in leaves(path.free.seen.output) if t.shape == output.shape]
    return not path.free.tail and all(bool((t >= 0).all()) for t in made)


_COMPARED = {"ce", "nll", "bce", "bce-logits", "mse", "l1", "huber"}


def _by_shape(bench: Bench, path: Path, output: Tensor, target: Tensor) -> float:
    if not target.is_floating_point() and output.ndim == target.ndim + 1:
        axis = 1 if output.ndim == 2 or output.shape[2:] == target.shape[1:] else -1
        if int(target.min()) >= 0 and int(target.max()) < output.shape[axis] > 1:
            return _by_class(output, target, -100, axis)
    if output.numel() == target.numel():
        middle = 0.5 if path.free.tail & {"sigmoid", "softmax", "hardsigmoid"} else 0.0
        return _by_value(bench, path, output.reshape(target.shape), target, middle)
    raise Cannot("outputs and targets cannot be compared")


def _by_class(given: Tensor, target: Tensor, ignored: int, axis: int) -> float:
    import torch

    axis = axis if given.ndim > 1 else 0
    if target.is_floating_point():
        target = target.argmax(axis)
    chosen = given.argmax(axis)
    if chosen.shape != target.shape:
        raise Cannot("outputs and targets cannot be compared")
    keep = target != ignored
    right, target = (chosen == target)[keep].double(), target[keep]
    if target.numel() < 4:
        raise Cannot("too few targets in a batch to compare outputs with")
    _, at, counts = torch.unique(target, return_inverse=True, return_counts=True)
    hits = torch.zeros(len(counts), dtype=right.dtype, device=right.device)
    return float((hits.index_add_(0, at, right) / counts).mean())


def _by_value(bench: Bench, path: Path, given: Tensor, target: Tensor, middle: float) -> float:
    target = target.double()
    given = given.double()
    if given.shape != target.shape or target.numel() < 4:
        raise Cannot("outputs and targets cannot be compared")
    low, top = float(target.min()), float(target.max())
    if (low, top) in {(0.0, 1.0), (-1.0, 1.0)} and bool(((target == low) | (target == top)).all()):
        high = target == top
        up, down = (given > middle)[high].double(), (given < middle)[~high].double()
        return float((up.mean() + down.mean()) / 2)
    import torch

    path.free.start(seed=bench.seed)
    with torch.no_grad():
        start = bench.tensor(path.free.output()).double()
    if start.numel() != target.numel():
        raise Cannot("outputs and targets cannot be compared")
    start = start.reshape(target.shape)
    far = (target - start).abs() > 1e-3 * target.abs().max()
    towards = ((given - start) * (target - start) > 0)[far]
    if towards.numel() < 4:
        raise Cannot("outputs and targets cannot be compared")
    return float(towards.double().mean())
