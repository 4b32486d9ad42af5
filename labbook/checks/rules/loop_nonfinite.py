"""A loss or gradient that is not finite, and where it began."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.watched import Enough, Watched, loop, watch, watched

if TYPE_CHECKING:
    from torch import nn

NONFINITE = Rule(
    "loop/nonfinite",
    kind="free",
    stage="loop",
    says="the loss or its gradient is not finite",
    formula="any backward pass from a root that is NaN or infinite, or any step with such a "
    "gradient (without a GradScaler); one replay names the first module",
    needs=("train", "optimizer"),
    follows=("data/*", "init/*", "loss/*", "grad/*", "model/*"),
    advice="if optimization diverges, look at the first thing that is not finite",
    causes=(
        "the learning rate is too high",
        "a logarithm, root or division at zero",
        "inputs that are not finite",
    ),
    fix="lower the learning rate, or guard the operation named here (eps, log1p, clamp)",
    source="one replay with hooks: weights, then inputs, then outputs, in the order of execution",
)


@dataclass
class _First:
    """The first module in the order of execution that something is wrong with."""

    kind: str = ""
    module: str = ""


@NONFINITE.on_subject
def nonfinite(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Find the first, then replay the loop up to it."""
    seen = bench.shared(watched)
    bad = next((b for b in seen.backwards if _is_bad(b.value, seen)), None)
    bad_step = next((s for s in seen.all_steps if _is_bad(s.gradient_norm, seen)), None)
    if bad is None and bad_step is None:
        return
    if bad is None or (bad_step is not None and bad_step.at < bad.at):
        assert bad_step is not None
        number = sum(s.at < bad_step.at for s in seen.all_steps) + 1
        yield NONFINITE.fail(
            value=str(bad_step.gradient_norm),
            where=bad_step.where,
            evidence=f"at step {number} the loss is finite and its gradient is not",
            causes=NONFINITE.causes
            if _is_far(bench, seen, bad_step.at)
            else NONFINITE.causes[1::-1],
        )
        return
    n_calls = sum(f.at < bad.at for f in seen.forwards)
    first = _replayed(bench, n_calls) if n_calls else _First()
    order = {"weights": (0, 1, 2), "input": (2, 1, 0)}.get(first.kind, (1, 0, 2))
    order = (0, 1, 2) if _is_far(bench, seen, bad.at) else order
    yield NONFINITE.fail(
        value=str(bad.value),
        where=first.module or bad.where,
        evidence=f"at step {bad.step + 1} the loss is {bad.value}: {_words(first)}",
        causes=tuple(NONFINITE.causes[n] for n in order),
    )


def _is_far(bench: Bench, seen: Watched, at: int) -> bool:
    """Whether a step before moved the weights by ten times what they began with."""
    norm = math.hypot(*(float(p.detach().double().norm()) for p in bench.model().parameters()))
    return any(s.update_norm > 10 * norm for s in seen.all_steps if s.at < at)


def _is_bad(value: float, seen: Watched) -> bool:
    """An infinite gradient or scaled loss is part of a scaler's search."""
    return not math.isfinite(value) and not seen.of("scale")


def _words(first: _First) -> str:
    return {
        "weights": f"the weights of {first.module} were not finite any more",
        "input": f"{first.module} was given values that are not finite",
        "output": f"the first such values are in the output of {first.module}",
    }.get(first.kind, "what the model returns is finite, so it is the loss itself")


def _replayed(bench: Bench, n_calls: int) -> _First:
    """The same loop once more, looked into at its call number `n_calls` of the model."""
    found: list[_First] = []

    def measure(bench: Bench) -> Watched:
        model = bench.model()
        calls = 0

        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            nonlocal calls
            if calls == n_calls:
                raise Enough
            calls += 1
            if calls == n_calls:
                _look_into(model, found)

        return watch(bench, model, bench.optimizer(model), bench.shared(loop).n_steps, before)

    try:
        bench.shared(measure)
    except Cannot:
        return _First()
    return found[0] if found else _First()


def _look_into(model: nn.Module, found: list[_First]) -> None:
    for name, part in model.named_modules():
        if any(True for _ in part.children()):
            continue

        def before(module: Any, args: Any, name: str = name) -> None:
            if not all(_finite(p) for p in module.parameters()):
                found.append(_First("weights", name))
            elif not all(_finite(t) for t in leaves(args)):
                found.append(_First("input", name))

        def after(module: Any, args: Any, output: Any, name: str = name) -> None:
            if not all(_finite(t) for t in leaves(output)):
                found.append(_First("output", name))

        part.register_forward_pre_hook(before)
        part.register_forward_hook(after)


def _finite(tensor: Any) -> bool:
    import torch

    return not tensor.is_floating_point() or bool(torch.isfinite(tensor.detach()).all())
