"""What kind of loss this is: seen from the torch functions it calls, not from its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves, mapped
from labbook.checks.rule import Cannot
from labbook.checks.torch_calls import Call, torch_calls

if TYPE_CHECKING:
    from torch import Tensor

    from labbook.checks.bench import Bench

__all__ = ["LOSS_KINDS", "assumed_loss", "inferred_task", "loss_calls", "loss_kind", "own_loss"]

LOSS_KINDS = {
    "cross_entropy": "ce",
    "nll_loss": "nll",
    "binary_cross_entropy_with_logits": "bce-logits",
    "binary_cross_entropy": "bce",
    "multilabel_soft_margin_loss": "bce-logits",
    "mse_loss": "mse",
    "l1_loss": "l1",
    "smooth_l1_loss": "huber",
    "huber_loss": "huber",
    "gaussian_nll_loss": "density",
    "poisson_nll_loss": "density",
    "kl_div": "kl",
    "hinge_embedding_loss": "hinge",
    "multi_margin_loss": "hinge",
    "multilabel_margin_loss": "hinge",
    "soft_margin_loss": "hinge",
    "margin_ranking_loss": "contrastive",
    "triplet_margin_loss": "contrastive",
    "cosine_embedding_loss": "contrastive",
    "ctc_loss": "ctc",
}
"""torch.nn.functional name -> what the rules call it."""

_TASK_OF = {
    "ce": "classification", "nll": "classification", "bce-logits": "binary", "bce": "binary",
    "mse": "regression", "l1": "regression", "huber": "regression",
}  # fmt: skip


def own_loss(output: Any) -> Tensor | None:
    """The loss that a model returns beside its output (`.loss`, `["loss"]`, a 0-d first part)."""
    import torch

    if isinstance(output, torch.Tensor):
        return output if output.ndim == 0 else None
    found = getattr(output, "loss", None)
    if found is None and isinstance(output, dict):
        found = output.get("loss")
    if found is None and isinstance(output, (tuple, list)) and output:
        found = next((t for t in output if isinstance(t, torch.Tensor) and t.ndim == 0), None)
    return found if isinstance(found, torch.Tensor) else None


def assumed_loss(output: Tensor, target: Any) -> Callable[[Any, Any], Tensor]:
    """The usual loss for these targets, where the subject brings none.

    Integers: cross-entropy over axis 1 (the last axis for a sequence); zeros and ones in the
    output's shape: binary cross-entropy with logits; other floats: mean squared error.
    """
    import torch
    from torch.nn import functional as F

    if not isinstance(target, torch.Tensor):
        raise Cannot("no loss= given, and the targets are no tensor")
    if not target.is_floating_point() and target.dtype != torch.bool:
        if output.ndim == target.ndim + 1:
            is_last = output.ndim > 2 and output.shape[:-1] == target.shape
            return lambda o, y: F.cross_entropy(o.movedim(-1, 1) if is_last else o, y.long())
        raise Cannot("no loss= given, and none fits the shapes of outputs and targets")
    if target.shape != output.shape:
        raise Cannot("no loss= given, and none fits the shapes of outputs and targets")
    if bool(((target == 0) | (target == 1)).all()):
        return lambda o, y: F.binary_cross_entropy_with_logits(o, y.to(o.dtype))
    return F.mse_loss


def loss_calls(bench: Bench) -> list[Call]:
    """The torch functions that the loss calls on one real batch, in order; `bench.shared` it."""
    import torch

    model = bench.model()
    with torch.no_grad():
        output = bench.forward(model, bench.batch)
    target = mapped(bench.batch.to(bench.device_of(model)).target, lambda t: t.clone())
    calls: list[Call] = []
    if bench.subject.loss is None and own_loss(output) is not None:
        with torch_calls(calls):
            bench.forward(model, bench.batch)
        return calls
    with torch_calls(calls):
        bench.loss(output, target)
    return calls


def loss_kind(bench: Bench) -> str:
    """ "ce", "nll", "bce-logits", "bce", "mse", "l1", "huber", "density", "kl", "hinge",
    "contrastive", "ctc", "several" or "unknown"; `bench.shared` it.
    """
    kinds = {LOSS_KINDS[c.name] for c in bench.shared(loss_calls) if c.name in LOSS_KINDS}
    if "ce" in kinds:  # F.cross_entropy may show its own nll_loss
        kinds.discard("nll")
    if len(kinds) > 1:
        return "several"
    return kinds.pop() if kinds else "unknown"


def inferred_task(bench: Bench) -> str:
    """The task by the loss's torch calls, else by the targets' type; `bench.shared` it."""
    target = next(leaves(bench.batch.target), None)
    kind = bench.shared(loss_kind)
    if kind == "ce" and _compares_examples(bench, target):
        return "other"
    if kind in _TASK_OF:
        task = _TASK_OF[kind]
        if task == "classification" and _is_language(bench, target):
            return "language"
        return task
    if target is None or kind != "unknown" or not _is_over_classes(bench, target):
        return "other"
    return _by_target(bench, target)


def _compares_examples(bench: Bench, target: Tensor | None) -> bool:
    """Whether the cross-entropy is between the examples of a batch, as in contrastive learning.

    Its targets are then 0, 1, 2 … n - 1 in some order, and not those of the loader.
    """
    import torch

    for call in bench.shared(loss_calls):
        given = call.given(1, "target") if call.name == "cross_entropy" else None
        if not isinstance(given, torch.Tensor) or given.is_floating_point() or given.ndim != 1:
            continue
        is_counted = torch.equal(given.cpu().sort().values, torch.arange(len(given)))
        is_own = target is not None and target.shape == given.shape
        if is_counted and not (is_own and torch.equal(target.cpu(), given.cpu())):  # type: ignore[union-attr]
            return True
    return False


def _is_over_classes(bench: Bench, target: Tensor) -> bool:
    """Whether a hand-written loss takes a softmax over classes that the targets may name."""
    if target.is_floating_point() or not target.numel():
        return False
    highest = int(target.max())
    for call in bench.shared(loss_calls):
        if call.name in {"log_softmax", "softmax", "logsumexp"} and call.args:
            given = call.args[0]
            axes = [n for n in given.shape[1:] if n > highest]
            if axes and given.shape[0] == target.shape[0]:
                return bool(given.shape[1] != given.shape[0] or given.ndim > 2)
    return False


def _is_language(bench: Bench, target: Tensor | None) -> bool:
    inputs = bench.batch.inputs
    return (
        target is not None
        and target.ndim >= 2
        and not target.is_floating_point()
        and bool(inputs)
        and not inputs[0].is_floating_point()
        and inputs[0].shape[:2] == target.shape[:2]
    )


def _by_target(bench: Bench, target: Tensor) -> str:
    """A loss of unknown torch calls says nothing certain: only integers speak for classes."""
    import torch

    model = bench.model().eval()
    with torch.no_grad():
        output = bench.tensor(bench.forward(model, bench.batch))
    if not target.is_floating_point() and target.dtype is not torch.bool and output.ndim >= 2:
        return "language" if _is_language(bench, target) else "classification"
    return "other"
