"""Gradients cleared too seldom, or too late: seen by what each optimizer step finds in `.grad`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labbook.checks.finding import Finding
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.watched import Step, Watched, watched

if TYPE_CHECKING:
    from labbook.checks.bench import Bench
    from labbook.checks.recorded import Recorded

STALE = Rule(
    "loop/stale-grad",
    kind="free",
    stage="loop",
    says="gradients are not cleared between optimizer steps",
    formula="share of optimizer steps whose gradient still holds that of the step before, over "
    "≥ 3 steps; any: warn, more than `share`: fail",
    limits={"share": 0.5},
    needs=("train", "optimizer"),
    advice="clear gradients after each iteration: opt.zero_grad()!",
    causes=("optimizer.zero_grad() is missing", "it is called once an epoch, not once a step"),
    fix="call optimizer.zero_grad() once before each backward pass, or after each step",
    false_positives="a loop that keeps gradients on purpose, as momentum by accumulation",
    source="a leaf's gradient before and after each backward pass; Shelhamer, DIY Deep Learning",
    version=2,
)

CLEARED = Rule(
    "loop/cleared-before-step",
    kind="free",
    stage="loop",
    says="gradients are cleared after the backward pass and before the step, which finds none",
    formula="share of optimizer steps with a backward pass before them that find all gradients "
    "zero or None because zero_grad() ran in between, over ≥ 3 steps; any: warn, more than "
    "`share`: fail",
    limits={"share": 0.5},
    needs=("train", "optimizer"),
    advice="clear gradients after each iteration: opt.zero_grad()!",
    causes=("optimizer.zero_grad() stands between loss.backward() and optimizer.step()",),
    fix="move optimizer.zero_grad() before loss.backward(), or after optimizer.step()",
    source="the gradients each step finds; Shelhamer, DIY Deep Learning",
)


@STALE.on_subject
def stale(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at each step that had a backward pass of its own."""
    seen = bench.shared(watched)
    steps = _steps(seen)
    found = [step for step in steps if step.stale]
    if not found:
        return
    cleared = [e for e in seen.of("zero") if e.at > seen.backwards[0].at]
    cause = "zero_grad() is not called in the loop"
    if cleared:
        cause = f"zero_grad() is called only {len(cleared)} times, at {cleared[0].where}"
    share = len(found) / len(steps)
    say = STALE.fail if share > limits["share"] else STALE.warn
    yield say(
        value=share,
        limit=0.0,
        where=_backward_before(seen, found[0]),
        evidence=f"{len(found)} of {len(steps)} optimizer steps used gradients that still held "
        f"those of the step before; {cause}",
    )


@STALE.on_run
def stale_in_run(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The samples of a followed net: the old gradient's norm before the first backward pass."""
    found = run.followed("stale_gradient_norm")
    if not found:
        raise Cannot("not recorded: no net was followed with its optimizer (run.follow)")
    for optimizer, values in found.items():
        n_stale = int((values > 0).sum())
        if len(values) < 3 or n_stale == 0:
            continue
        share = n_stale / len(values)
        say = STALE.fail if share > limits["share"] else STALE.warn
        yield say(
            value=share,
            limit=0.0,
            where=f"optimizer {optimizer}",
            evidence=f"in {n_stale} of {len(values)} sampled steps the gradient of the step before "
            "was still there",
        )


@CLEARED.on_subject
def cleared(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for a clearing that stands directly between a backward pass and a step."""
    seen = bench.shared(watched)
    steps = _steps(seen)
    found = [step for step in steps if step.cleared and _clearing(seen, step)]
    if not found:
        return
    share = len(found) / len(steps)
    say = CLEARED.fail if share > limits["share"] else CLEARED.warn
    yield say(
        value=share,
        limit=0.0,
        where=_clearing(seen, found[0]),
        evidence=f"{len(found)} of {len(steps)} optimizer steps found every gradient cleared, at "
        f"{found[0].where}",
    )


def _steps(seen: Watched) -> list[Step]:
    """Those after the first of their optimizer, with a backward pass since."""
    known: set[int] = set()
    steps = []
    for step in seen.all_steps:
        if step.n_backwards and (step.optimizer in known or step.cleared or step.stale):
            steps.append(step)
        known.add(step.optimizer)
    if len(steps) < 3:
        raise Cannot(f"train() took {len(seen.all_steps)} optimizer steps, too few to tell")
    return steps


def _backward_before(seen: Watched, step: Step) -> str:
    return next(b.where for b in reversed(seen.backwards) if b.at < step.at)


def _clearing(seen: Watched, step: Step) -> str:
    """Where gradients were cleared after the last backward pass; empty where a forward pass
    with gradients lies between: then the step comes before its own backward pass."""
    last = max((b.at for b in seen.backwards if b.at < step.at), default=0)
    if any(f.grad_enabled and last < f.at < step.at for f in seen.forwards):
        return ""
    return next((e.where for e in seen.of("zero") if last < e.at < step.at), "")
