"""Whether the loss looks at the target at all, and how it treats labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labbook.checks.batch import Batch, leaves, mapped
from labbook.checks.bench import Bench, UserError
from labbook.checks.losses import loss_calls
from labbook.checks.rule import Cannot

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ignored_label", "n_classes", "target_matters"]

_CLASS_LOSSES = {"cross_entropy", "nll_loss"}


def target_matters(bench: Bench) -> bool:
    """Whether another target gives another loss; `bench.shared` it.

    A loss that refuses the other target looks at it too.
    """
    import torch

    batch = bench.batch
    if next(leaves(batch.target), None) is None:
        return False
    model = bench.model().eval()
    with torch.no_grad():
        before = bench.run(model, batch).loss
        try:
            after = bench.run(model, _other(batch)).loss
        except UserError:
            return True
    return not torch.equal(before, after)


def _other(batch: Batch) -> Batch:
    """The batch with a changed target, in a mapping given to the model too."""

    def changed(t: Tensor) -> Tensor:
        import torch

        if t.dtype is torch.bool:
            return ~t
        if t.is_floating_point():
            return 1 - t + 0.5 * (t == 0.5)
        return torch.where(t == 0, torch.ones_like(t), torch.zeros_like(t))

    target = mapped(batch.target, changed)
    kwargs = {name: target if part is batch.target else part for name, part in batch.kwargs.items()}
    return Batch(batch.args, kwargs, target, batch.raw)


def n_classes(bench: Bench) -> int:
    """The length of the class axis that the loss is given; `bench.shared` it."""
    for call in _class_calls(bench):
        given = call[0]
        return int(given.shape[1] if given.ndim > 1 else given.shape[0])
    import torch

    model = bench.model().eval()
    with torch.no_grad():
        output = bench.tensor(bench.forward(model, bench.batch))
    if output.ndim < 2:
        raise Cannot("the output has no axis of classes")
    target = next(leaves(bench.batch.target), None)
    is_last = target is not None and output.shape[:-1] == target.shape
    return int(output.shape[-1] if is_last else output.shape[1])


def ignored_label(bench: Bench) -> int | None:
    """The label that cross-entropy leaves out; None where it cannot be seen."""
    for _, ignored in _class_calls(bench):
        return ignored
    return None


def _class_calls(bench: Bench) -> list[tuple[Tensor, int]]:
    """(scores, ignore_index) of the loss's calls of cross-entropy."""
    try:
        calls = bench.shared(loss_calls)
    except Cannot:
        return []
    found = []
    for call in calls:
        if call.name in _CLASS_LOSSES and call.args:
            ignored = call.kwargs.get("ignore_index", call.args[4] if len(call.args) > 4 else -100)
            found.append((call.args[0], int(ignored)))
    return found
