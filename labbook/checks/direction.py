"""Which way the loss points, and which way the optimizer goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.checks.agreeing import agreement
from labbook.checks.bench import Bench, UserError
from labbook.checks.descent import ascended, descended
from labbook.checks.looped import looped, rooted
from labbook.checks.losses import LOSS_KINDS
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot
from labbook.checks.traced import Trace, traced

if TYPE_CHECKING:
    from labbook.checks.torch_calls import Call

__all__ = ["AT_LEAST_ZERO", "Pointing", "Stepping", "coefficients", "pointing", "stepping"]

AT_LEAST_ZERO = frozenset(("ce", "nll", "bce", "bce-logits", "mse", "l1", "huber", "hinge"))
"""Kinds of loss that are never below zero."""

AGREE, AWAY = 0.5, 0.9
_MINUS = frozenset(("neg", "__neg__", "negative", "rsub", "__rsub__", "sub", "__sub__"))


@dataclass(frozen=True)
class Pointing:
    """Where the loss leads. `is_away`: True away from the targets, False to them, None unknown.

    `down` and `up`: share of free outputs that agree with the targets after descending and after
    ascending the loss; None where not measured.
    """

    is_away: bool | None
    evidence: str = ""
    where: str = ""
    down: float | None = None
    up: float | None = None


def pointing(bench: Bench) -> Pointing:
    """By torch's own loss functions inside it, else by descending and ascending it.

    `bench.shared` it.
    """
    seen = _loss_trace(bench)
    if seen.error is not None:
        raise seen.error
    signs = coefficients(seen)
    if signs and all(sign < 0 for _, sign in signs):
        call = signs[0][0]
        text = f"{call.name} goes into the loss with a minus: less loss is more {call.name}"
        return Pointing(True, text, _minus(bench, seen, call))
    in_loop = _in_loop(bench)
    if in_loop is not None:
        return in_loop
    if signs and all(sign > 0 for _, sign in signs):
        return Pointing(False)  # whatever else a loss is made of: a VAE's outputs go elsewhere
    down = agreement(bench, bench.shared(descended))
    up = agreement(bench, bench.shared(ascended)) if down < AGREE else None
    if down >= AGREE:
        return Pointing(False, down=down)
    if up is not None and up >= AWAY:
        text = f"{down:.0%} of free outputs reach the targets by descending, {up:.0%} by ascending"
        return Pointing(True, text, place_of(bench.subject.loss), down, up)
    return Pointing(None, down=down, up=up)


def _loss_trace(bench: Bench) -> Trace:
    """Of `loss=`; without a loss that can be called, of the loop."""
    try:
        return bench.shared(traced)
    except Cannot:
        return bench.shared(looped)


def coefficients(seen: Trace) -> list[tuple[Call, float]]:
    """(call, d loss / d its result) of torch's own loss functions that the loss depends on."""
    import torch

    loss = seen.loss
    if loss is None or not loss.requires_grad:
        return []
    found = []
    for call in seen.known():
        result = call.result
        if call.name not in LOSS_KINDS or result is None or not result.requires_grad:
            continue
        with torch.enable_grad():
            [grad] = torch.autograd.grad(loss, [result], retain_graph=True, allow_unused=True)
        total = 0.0 if grad is None else grad.double().sum().item()
        if total != 0:
            found.append((call, total))
    return found


def _stated(bench: Bench, seen: Trace) -> list[tuple[Call, float]]:
    """(its last call, d root / d its result) of the stated loss, found in the loop by its calls."""
    import torch

    try:
        wanted = [call.name for call in bench.shared(traced).loss_calls]
    except Cannot:
        return []
    calls = seen.loss_calls
    starts = [
        n
        for n in range(len(calls) - len(wanted) + 1)
        if wanted and [c.name for c in calls[n : n + len(wanted)]] == wanted
    ]
    if len(starts) != 1 or seen.loss is None or not seen.loss.requires_grad:
        return []
    call = calls[starts[0] + len(wanted) - 1]
    if not isinstance(call.result, torch.Tensor) or not call.result.requires_grad:
        return []
    with torch.enable_grad():
        [grad] = torch.autograd.grad(seen.loss, [call.result], retain_graph=True, allow_unused=True)
    total = 0.0 if grad is None else grad.double().sum().item()
    return [(call, total)] if total else []


def _minus(bench: Bench, seen: Trace, known: Call) -> str:
    """The line that takes the negative, after the loss function was called."""
    after = seen.calls[seen.calls.index(known) + 1 :] if known in seen.calls else []
    for call in after:
        if call.name in _MINUS and call.where:
            return call.where
    return known.where or place_of(bench.subject.loss)


def _in_loop(bench: Bench) -> Pointing | None:
    """Whether the loop turns the loss round before it calls backward()."""
    seen = rooted(bench)
    if seen is None:
        return None
    signs = coefficients(seen) or _stated(bench, seen)
    if not signs or not all(sign < 0 for _, sign in signs):
        return None
    call = signs[0][0]
    name = call.name if call.name in LOSS_KINDS else "loss="
    text = f"the loop calls backward() on a loss that {name} goes into with a minus"
    return Pointing(True, text, _minus(bench, seen, call))


@dataclass(frozen=True)
class Stepping:
    """One step of the user's optimizer: `with_gradient` is the mean of sign(update)·sign(gradient)

    over the numbers that both move, −1 for a plain descent, +1 for an ascent. `maximizes`: the
    optimizer was told to.
    """

    with_gradient: float
    inner: float
    maximizes: bool
    where: str


def stepping(bench: Bench) -> Stepping:
    """A first step without weight decay, on a copy; `bench.shared` it."""
    model = bench.model()
    optimizer = bench.optimizer(model)
    for group in optimizer.param_groups:
        if "weight_decay" in group:
            group["weight_decay"] = 0.0
    outcome = bench.run(model, bench.batch)
    if not outcome.loss.requires_grad or not bool(outcome.loss.isfinite()):
        raise Cannot("the loss has no gradient, or is not finite")
    optimizer.zero_grad()
    bench.backward(outcome.loss)
    moved = _moved(optimizer)
    signs = [(d.sign() * g.sign())[(d != 0) & (g != 0)] for d, g in moved]
    count = sum(s.numel() for s in signs)
    if count == 0:
        raise Cannot("the first optimizer step moves nothing")
    inner = sum(float((d * g).sum()) for d, g in moved)
    told = any(group.get("maximize", False) for group in optimizer.param_groups)
    made_by = bench.subject.optimizer
    where = place_of(type(optimizer)) if not _is_torchs(optimizer) else ""
    if not where:
        where = place_of(made_by) if not hasattr(made_by, "param_groups") else "optimizer"
    return Stepping(sum(float(s.sum()) for s in signs) / count, inner, told, where)


def _moved(optimizer: Any) -> list[tuple[Any, Any]]:
    """(update, gradient) of each parameter with a gradient."""
    params = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    before = [(p.detach().clone(), p.grad.detach().clone()) for p in params]
    try:
        optimizer.step()
    except Exception as error:  # an optimizer that wants a closure, or is broken
        raise UserError("optimizer.step()", error) from error
    return [
        (p.detach().double() - old.double(), grad.double())
        for p, (old, grad) in zip(params, before, strict=True)
        if not grad.is_sparse
    ]


def _is_torchs(optimizer: Any) -> bool:
    return type(optimizer).__module__.startswith("torch.")
