"""Gradients are those of the function: numeric differences, and custom functions one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labbook.checks.bench import Bench
from labbook.checks.directions import Applied, Slope, Slopes, slopes
from labbook.checks.finding import Finding
from labbook.checks.place import is_users, place_of
from labbook.checks.rule import Limits, Rule

CHECK = Rule(
    "grad/check",
    kind="probe",
    stage="gradcheck",
    says="a gradient is not that of the function",
    formula="in float64, eval mode, after 3 steps of Adam (1e-3), θ += 1e-4·N(0,1), 3 examples: "
    "a custom autograd.Function fails torch's gradcheck (eps 1e-6, atol 1e-5, rtol 1e-3) at three "
    "points; or for a parameter the median over 3 random directions of |fd − ⟨g,d⟩| / max(|fd|, "
    "|⟨g,d⟩|, 1e-7), the better of h = 1e-5 and 1e-6, is above `error`; straight-through and "
    "reversed gradients, and nets that detach: a note",
    limits={"error": 1e-2},
    needs=("loader",),
    follows=("grad/none", "grad/nonfinite", "loss/nonfinite*", "model/weights-nonfinite"),
    advice="check gradients, and do it thoroughly",
    causes=("a wrong backward() of a custom autograd.Function", "a value changed through .data"),
    fix="torch.autograd.gradcheck(Function.apply, inputs.double())",
    false_positives="gradients that differ from the function on purpose",
    source="CS231n; Vieira, Testing gradients; torch.autograd.gradcheck",
)


@CHECK.on_subject
def check(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare analytic with numeric derivatives."""
    found = bench.shared(slopes)
    functions = [f for f in found.functions if _is_own(f.kind)]
    wrong = [f for f in functions if _is_wrong(bench, f)]
    meant = [f for f in wrong if _is_meant(f)]
    for f in wrong:
        if f not in meant:
            yield CHECK.fail(
                where=place_of(f.kind),
                evidence=f"{f.kind.__name__}.backward() is not the derivative of its forward(): "
                "torch.autograd.gradcheck fails",
                fix=f"torch.autograd.gradcheck({f.kind.__name__}.apply, …) until it passes",
            )
    bad = sorted((s for s in found.slopes if not s.error <= limits["error"]), key=_order)
    if bad and len(wrong) == len(meant):
        yield _along(bad, found, meant, limits)


def _order(slope: Slope) -> float:
    return -slope.error


def _along(bad: list[Slope], found: Slopes, meant: list[Applied], limits: Limits) -> Finding:
    worst = bad[0]
    cut = found.cuts.taken()
    say = CHECK.note if meant or cut is not None else CHECK.fail
    why = ""
    if meant:
        why = f"; {meant[0].kind.__name__} gives another gradient on purpose"
    elif cut is not None:
        why = f"; {cut.how} at {cut.where} takes a part of it away"
    return say(
        value=worst.error,
        limit=limits["error"],
        where=worst.name,
        evidence=f"{len(bad)} of {len(found.slopes)} tensors; {worst.name}: the gradient says "
        f"{worst.analytic:.4g}, the difference quotient {worst.numeric:.4g}{why}",
    )


def _is_own(kind: Any) -> bool:
    """Whether the function is the user's, not torch's or a library's."""
    import inspect

    try:
        return is_users(inspect.getfile(kind))
    except (TypeError, OSError):
        return False


def _is_wrong(bench: Bench, function: Applied) -> bool:
    """Whether gradcheck fails at the point seen and at two beside it: no kink lies at all three."""
    import torch

    for nudge in (0.0, 1e-2, 1e-1):
        bench.tick()
        args, opened = _arguments(function, nudge)
        if not opened:
            return False

        def call(*given: Any, args: list[Any] = args, at: list[int] = opened) -> Any:
            whole = list(args)
            for n, value in zip(at, given, strict=True):
                whole[n] = value
            return function.kind.apply(*whole)

        try:
            fine = torch.autograd.gradcheck(
                call, [args[n] for n in opened], fast_mode=True, raise_exception=False
            )
        except (RuntimeError, ValueError, NotImplementedError, TypeError):
            return False  # nothing that gradcheck can tell
        if fine:
            return False
    return True


def _arguments(function: Applied, nudge: float) -> tuple[list[Any], list[int]]:
    """The arguments of the call in double precision, and the positions that take a gradient."""
    import torch

    generator = torch.Generator().manual_seed(1)
    args, opened = [], []
    for n, value in enumerate(function.args):
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            made = value.detach().double().clone()
            if value.requires_grad:
                made += nudge * torch.randn(made.shape, generator=generator).to(made)
                made.requires_grad_()
                opened.append(n)
            args.append(made)
        else:
            args.append(value)
    return args, opened


def _is_meant(function: Applied) -> bool:
    """Whether the gradient differs on purpose: forward() is the identity, or a step function."""
    import torch

    args, opened = _arguments(function, 1e-2)
    with torch.no_grad():
        made = function.kind.apply(*args)
        generator = torch.Generator().manual_seed(2)
        moved = [
            a + 1e-5 * torch.randn(a.shape, generator=generator).to(a) if n in opened else a
            for n, a in enumerate(args)
        ]
        other = function.kind.apply(*moved)
    if not isinstance(made, torch.Tensor):
        return False
    is_identity = any(
        made.shape == args[n].shape and torch.equal(made, args[n].detach()) for n in opened
    )
    return is_identity or torch.equal(made, other)
