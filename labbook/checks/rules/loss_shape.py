"""Shapes, order and size: what a loss does with a batch as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves, mapped
from labbook.checks.bench import Bench
from labbook.checks.descent import free_outputs
from labbook.checks.finding import Finding
from labbook.checks.looped import traces
from labbook.checks.losses import LOSS_KINDS
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.traced import Trace, traced

if TYPE_CHECKING:
    from torch import Tensor

    from labbook.checks.torch_calls import Call

BROADCAST = Rule(
    "loss/broadcast",
    kind="probe",
    stage="loss",
    says="outputs are compared with the targets of other examples, by broadcasting",
    formula="in the loss, an operation of one tensor from the outputs and one from the targets, "
    "of different numbers of axes, whose result is larger than both",
    follows=("init/nonfinite",),
    advice="check the shape: (N, 1) against (N,) makes (N, N)",
    causes=("outputs (N, 1) and targets (N,)", "a channel axis that only one of both has"),
    fix="output.squeeze(1), or target.unsqueeze(1)",
    false_positives="all pairs compared on purpose, without unsqueezing either side",
    source="torch's broadcasting rules; Shelhamer, DIY Deep Learning",
)

ORDER = Rule(
    "loss/order",
    kind="probe",
    stage="loss",
    says="the loss depends on the order of the examples in the batch",
    formula="outputs and targets reversed together: |loss′ - loss| > rel·|loss|, where the "
    "same order gives the same loss, and one of torch's loss functions gets the loader's targets",
    limits={"rel": 1e-4},
    follows=("init/nonfinite", "loss/broadcast", "loss/batch-softmax", "data/target-range"),
    advice="use backprop to chart dependencies: examples of a batch do not know each other",
    causes=("an index or a shift along the wrong axis", "targets reordered and outputs not"),
    fix="index and shift along axis 1, not along the batch",
    false_positives="batches that are a sequence, such as one long series",
    source="Karpathy, A Recipe for Training Neural Networks",
)

REDUCTION = Rule(
    "loss/reduction",
    kind="probe",
    stage="loss",
    says="the loss is a sum over the batch",
    formula="loss of the batch twice, joined, by the loss of the batch: within 0.05 of 2",
    follows=("init/nonfinite", "loss/broadcast"),
    advice="a sum grows with the batch size: so does the step",
    causes=('reduction="sum"', ".sum() instead of .mean()"),
    fix='reduction="mean", or a rate chosen for this batch size',
    source="torch.nn.functional; measured",
)

_CHECKED_NAMES = frozenset(
    [
        "sub",
        "__sub__",
        "rsub",
        "__rsub__",
        "subtract",
        "mul",
        "__mul__",
        "__rmul__",
        "multiply",
        "add",
        "__add__",
        "__radd__",
        "div",
        "__truediv__",
        "pow",
        "maximum",
        "minimum",
        "where",
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "poisson_nll_loss",
        "gaussian_nll_loss",
        "soft_margin_loss",
        "hinge_embedding_loss",
        "kl_div",
    ]
)


_ELEMENTWISE = frozenset(("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"))


@BROADCAST.on_subject
def broadcast(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at every operation of outputs with targets, in the loss and in the loop."""
    found = traces(bench)
    for seen in found:
        if seen is not found[-1] and bench.subject.loss is None and seen.n_model == 0:
            continue  # what a model does with its targets is its own
        ours = seen.of_target()
        for call in seen.loss_calls:
            pair = _pair(call, ours) if call.name in _CHECKED_NAMES else None
            if pair is None and call.name in _ELEMENTWISE:
                pair = _pair(call, {id(call.given(1, "target"))})
            if pair is not None and _is_too_wide(*pair) and seen.leads(call):
                output, target = (tuple(t.shape) for t in pair)
                size = _broadcast_numel(*pair)
                yield BROADCAST.fail(
                    value=float(size),
                    limit=float(max(t.numel() for t in pair)),
                    where=call.where or place_of(bench.subject.loss),
                    evidence=f"outputs {output} and targets {target} make {size} numbers",
                )
                return


def _is_too_wide(output: Tensor, target: Tensor) -> bool:
    size = _broadcast_numel(output, target)
    return output.ndim != target.ndim and size > max(output.numel(), target.numel())


def _pair(call: Call, ours: set[int]) -> tuple[Tensor, Tensor] | None:
    """(from the outputs, from the targets) among the first two arguments."""
    import torch

    given = [a for a in (*call.args, *call.kwargs.values()) if isinstance(a, torch.Tensor)][:2]
    output = next((t for t in given if t.requires_grad), None)
    target = next((t for t in given if id(t) in ours), None)
    return (output, target) if output is not None and target is not None else None


def _broadcast_numel(one: Tensor, other: Tensor) -> int:
    axes = zip_longest(one.shape[::-1], other.shape[::-1], fillvalue=1)
    return math.prod(max(pair) for pair in axes)


@ORDER.on_subject
def order(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """The same examples in another order."""
    seen = _known_on_targets(bench)
    n = seen.batch.n
    output = mapped(seen.output, lambda t: t.detach())
    target = seen.batch.target
    tensors = [t for t in leaves((output, target)) if t.ndim > 0]
    if n < 3 or any(len(t) != n for t in tensors):
        raise Cannot("the batch is not the first axis of outputs and targets")
    first = _value(bench, output, target)
    if first != _value(bench, output, target):
        raise Cannot("the loss is random")
    other = _value(bench, mapped(output, lambda t: t.flip(0) if t.ndim else t),
                   mapped(target, lambda t: t.flip(0) if t.ndim else t))  # fmt: skip
    off = abs(other - first) / max(abs(first), 1e-12)
    if not off > limits["rel"]:
        return
    yield ORDER.fail(
        value=off,
        limit=limits["rel"],
        where=_shifting(seen) or place_of(bench.subject.loss),
        evidence=f"the loss of the same examples is {first:.6g}, in reverse order {other:.6g}",
    )


def _known_on_targets(bench: Bench) -> Trace:
    """The trace, where torch's loss functions get what comes from the targets."""
    free_outputs(bench)  # or says why not
    seen = bench.shared(traced)
    ours = seen.of_target()
    known = [c for c in seen.known() if LOSS_KINDS[c.name] not in {"ctc", "contrastive"}]
    if not known or not all(id(c.given(1, "target")) in ours for c in known):
        raise Cannot("the loss gives the targets to none of torch's loss functions")
    return seen


def _value(bench: Bench, output: Any, target: Any) -> float:
    import torch

    with torch.no_grad():
        copied = mapped(output, lambda t: t.clone())
        return bench.loss(copied, mapped(target, lambda t: t.clone())).double().item()


def _shifting(seen: Trace) -> str:
    """The line of what moves or picks examples in the loss."""
    names = {"__getitem__", "roll", "flip", "narrow", "select", "sort", "argsort", "diff", "T", "t"}
    return next((c.where for c in seen.loss_calls if c.name in names and c.where), "")


@REDUCTION.on_subject
def reduction(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """The batch twice."""
    import torch

    free_outputs(bench)
    seen = bench.shared(traced)
    n = seen.batch.n
    output = mapped(seen.output, lambda t: t.detach())
    tensors = [t for t in leaves((output, seen.batch.target)) if t.ndim > 0]
    if not tensors or any(len(t) != n for t in tensors):
        raise Cannot("the batch is not the first axis of outputs and targets")

    def twice(tensor: Tensor) -> Tensor:
        return torch.cat([tensor, tensor]) if tensor.ndim else tensor

    one = _value(bench, output, seen.batch.target)
    two = _value(bench, mapped(output, twice), mapped(seen.batch.target, twice))
    if one != 0 and abs(two / one - 2) < 0.05:
        yield REDUCTION.note(
            value=two / one,
            limit=2.0,
            where=place_of(bench.subject.loss),
            evidence=f"twice the batch, twice the loss: {one:.4g} and {two:.4g}",
        )
