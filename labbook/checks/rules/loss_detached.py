"""A loss that no gradient leads back from."""

from __future__ import annotations

from collections.abc import Iterator

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.looped import rooted
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.traced import Trace, traced

DETACHED = Rule(
    "grad/loss-detached",
    kind="probe",
    stage="gradient",
    says="the loss has no gradient: nothing leads from it back to the outputs",
    formula="the outputs require a gradient and the loss does not, or it depends on none of them",
    follows=("init/nonfinite", "data/target-range"),
    advice="check for accidental non-differentiability",
    causes=(
        "arg-max or a comparison instead of scores",
        "detach(), item(), numpy() or torch.tensor() on the way",
        "the loss is computed under no_grad()",
    ),
    fix="compute the loss from the scores themselves",
    source="Shelhamer, DIY Deep Learning",
)

_CUTS = frozenset(
    [
        "detach",
        "detach_",
        "data",
        "argmax",
        "item",
        "numpy",
        "tolist",
        "argsort",
        "bool",
        "__bool__",
        "gt",
        "lt",
        "ge",
        "le",
        "eq",
        "ne",
        "__gt__",
        "__lt__",
        "__ge__",
        "__le__",
        "__eq__",
        "__ne__",
        "tensor",
        "round_",
        "topk",
        "max",
    ]
)


@DETACHED.on_subject
def detached(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Is there a way from the loss to the outputs?"""
    import torch

    in_loop = rooted(bench)
    if in_loop is not None and not _is_led_back(in_loop):
        yield from _cut(bench, in_loop)
        return
    seen = bench.shared(traced)
    if seen.error is not None:
        raise seen.error
    if bench.subject.loss is None or not isinstance(seen.value, torch.Tensor):
        yield from _no_tensor(bench, seen)
        return
    outputs = [t for t in leaves(seen.output) if t.requires_grad]
    if not outputs:
        raise Cannot("the model's outputs require no gradient")
    if seen.loss is None:
        raise Cannot(f"the loss returned shape {tuple(seen.value.shape)}, not one number")
    if seen.loss.requires_grad:
        with torch.enable_grad():
            grads = torch.autograd.grad(seen.loss, outputs, retain_graph=True, allow_unused=True)
        if any(grad is not None for grad in grads):
            return
    yield from _cut(bench, seen)


def _is_led_back(seen: Trace) -> bool:
    """Whether anything is reached from the root of the backward pass."""
    import torch

    params = [p for p in seen.model.parameters() if p.requires_grad]
    if seen.loss is None or not params or seen.output is None:
        return True
    if not any(t.requires_grad for t in leaves(seen.output)):
        return True  # the model's own matter
    # to whatever: a discriminator's pass leaves the generator out
    value = seen.value if isinstance(seen.value, torch.Tensor) else seen.loss
    return value.grad_fn is not None and not value.is_leaf


def _no_tensor(bench: Bench, seen: Trace) -> Iterator[Finding]:
    """A loss that is a plain number has lost its graph."""
    import torch

    if isinstance(seen.value, torch.Tensor):
        if not seen.value.requires_grad:
            yield from _cut(bench, seen)
        return
    if not isinstance(seen.value, (int, float)) and not hasattr(seen.value, "__float__"):
        raise Cannot(f"the loss returned a {type(seen.value).__name__}")
    yield from _cut(bench, seen, f"; it returns a {type(seen.value).__name__}, not a tensor")


def _cut(bench: Bench, seen: Trace, more: str = "") -> Iterator[Finding]:
    calls = [
        c
        for c in seen.loss_calls
        if any(t.requires_grad for t in leaves((c.args, c.kwargs)))
        and not any(t.requires_grad for t in leaves(c.result))
        and c.name in _CUTS
    ]
    by = calls[0] if calls else None
    how = (
        f"it ends at {by.name.strip('_')}()" if by is not None else "it is computed without a graph"
    )
    where = by.where if by is not None else ""
    yield DETACHED.fail(
        where=where or place_of(bench.subject.loss),
        evidence=f"no gradient leads from the loss to the outputs: {how}{more}",
    )
