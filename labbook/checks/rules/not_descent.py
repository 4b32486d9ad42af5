"""A small step against the gradient lowers the loss by as much as the gradient says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import Batch
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.traced import traced
from labbook.client.undisturbed import seed_all

if TYPE_CHECKING:
    from torch import Tensor, nn

NOT_DESCENT = Rule(
    "grad/not-descent",
    kind="probe",
    stage="gradient",
    says="a step against the gradient does not lower the loss: the gradient is wrong",
    formula="one batch, dropout off, running statistics still, the same random numbers: "
    "η = f·max(|L|, 1e-3)/‖g‖², f in {1e-4, 1e-3, 1e-2}; r = (L(θ) - L(θ - ηg))/(η‖g‖²), 1 for a "
    "gradient that is right; max r < most: fail. A note where the model detaches something",
    limits={"most": 0.2},
    follows=("init/nonfinite", "grad/loss-detached", "loss/*"),
    advice="check gradients and do it thoroughly",
    causes=("a backward() of your own with the wrong sign or scale", "gradients changed by a hook"),
    fix="torch.autograd.gradcheck(function, inputs) in double precision",
    false_positives="gradients turned round or passed straight through on purpose",
    source="Shelhamer, DIY Deep Learning; measured: 0 of 38 clean programs",
)

_STRAIGHT = frozenset(("detach", "data", "gumbel_softmax", "fake_quantize"))
_FRACTIONS = (1e-4, 1e-3, 1e-2)


@NOT_DESCENT.on_subject
def not_descent(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare what three small steps bring with what the gradient promises."""
    model = _still(bench.model())
    batch = bench.batch
    loss = _loss(bench, model, batch)
    params = [p for p in model.parameters() if p.requires_grad]
    if not loss.requires_grad or not params:
        raise Cannot("the loss has no gradient")
    bench.backward(loss)
    grads = [None if p.grad is None else p.grad.detach().clone() for p in params]
    if any(g is not None and g.is_sparse for g in grads):
        raise Cannot("the gradients are sparse")
    square = sum(float(g.double().pow(2).sum()) for g in grads if g is not None)
    before = loss.detach().double().item()
    if not 0 < square < float("inf") or before - before != 0:
        raise Cannot("the gradient is zero or not finite")
    ratios = [
        (before - _after(bench, model, batch, grads, size * max(abs(before), 1e-3) / square))
        / (size * max(abs(before), 1e-3))
        for size in _FRACTIONS
    ]
    if not max(ratios) < limits["most"]:
        return
    detaches = any(call.name in _STRAIGHT for call in bench.shared(traced).calls)
    say = NOT_DESCENT.note if detaches else NOT_DESCENT.fail
    yield say(
        value=max(ratios),
        limit=limits["most"],
        where=type(model).__name__,
        evidence=f"small steps against the gradient lower the loss by {max(ratios):.2f} of what "
        "it promises, at most",
    )


def _after(bench: Bench, model: nn.Module, batch: Batch, grads: list[Any], rate: float) -> float:
    """The loss after a step; the step is taken back."""
    import torch

    bench.tick()
    params = [p for p in model.parameters() if p.requires_grad]
    kept = [p.detach().clone() for p in params]
    with torch.no_grad():
        for p, grad in zip(params, grads, strict=True):
            if grad is not None:
                p.sub_(grad, alpha=rate)
        value = _loss(bench, model, batch).double().item()
        for p, old in zip(params, kept, strict=True):
            p.copy_(old)
    return value


def _loss(bench: Bench, model: nn.Module, batch: Batch) -> Tensor:
    seed_all(bench.seed)
    return bench.run(model, batch.map(lambda t: t.clone())).loss


def _still(model: nn.Module) -> nn.Module:
    """Dropout off, and norms whose running statistics stay."""
    for module in model.modules():
        if "Dropout" in type(module).__name__ or "DropPath" in type(module).__name__:
            module.eval()
        if getattr(module, "momentum", None) is not None and hasattr(module, "running_mean"):
            module.momentum = 0.0  # type: ignore[assignment]
        if hasattr(module, "dropout") and isinstance(module.dropout, float):
            module.dropout = 0.0  # type: ignore[assignment]
    return model
