"""Learning-rate schedules: their horizon, and their place in the loop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.watched import Watched, watched

HORIZON = Rule(
    "optim/schedule-horizon",
    kind="free",
    stage="loop",
    says="the schedule does not fit the training: the rate is spent too early, or never changes",
    formula="the rate falls below `spent` of its peak before `share` of the steps asked for, and "
    "stays there or begins again by a cosine of too short a period; or a scheduler exists and is "
    "not stepped within one pass over the loader",
    limits={"spent": 0.01, "share": 0.8},
    needs=("train", "optimizer"),
    advice="schedule according to epochs, not number of iterations",
    causes=(
        "the scheduler is made for epochs and stepped once a batch",
        "its length was meant for another dataset or batch size",
        "scheduler.step() is missing",
    ),
    fix="step the scheduler once an epoch, or give it the number of steps: epochs * len(loader)",
    false_positives="a schedule that ends on purpose, and restarts written by hand",
    source="Karpathy, A Recipe for Training Neural Networks: do not trust learning rate decay "
    "defaults",
)

ORDER = Rule(
    "optim/schedule-order",
    kind="free",
    stage="loop",
    says="the scheduler steps before the optimizer: the first rate is skipped",
    formula="the first scheduler.step() of the loop precedes the first optimizer step",
    needs=("train", "optimizer"),
    advice="schedule according to epochs, not number of iterations",
    causes=("scheduler.step() stands before optimizer.step()",),
    fix="call optimizer.step() first, then scheduler.step()",
    false_positives="a GradScaler that skips the first step (then nothing is said)",
    source="torch.optim.lr_scheduler: 'Detected call of lr_scheduler.step() before "
    "optimizer.step()'",
)


@HORIZON.on_subject
def horizon(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at the rates of the steps, and at how often a scheduler was stepped."""
    seen = bench.shared(watched)
    steps = seen.steps or seen.others
    if len(steps) < 4:
        raise Cannot(f"train() took {len(steps)} optimizer steps, too few to tell")
    rates = [max(step.rates, default=math.nan) for step in steps]
    peak = max(rates)
    at = next((n for n, rate in enumerate(rates) if rate > 0.99 * peak), 0)
    spent = next((n for n in range(at, len(rates)) if rates[n] < limits["spent"] * peak), None)
    stays = spent is not None and (
        all(rate < limits["spent"] * peak for rate in rates[spent:]) or _is_cosine(seen)
    )
    if spent is not None and stays and spent < limits["share"] * seen.n_steps:
        yield HORIZON.warn(
            value=spent / seen.n_steps,
            limit=limits["share"],
            where=_scheduler(seen),
            evidence=f"of {seen.n_steps} steps asked for, the learning rate fell below "
            f"{limits['spent']:.0%} of its peak {peak:.3g} at step {spent + 1}",
        )
    elif len(set(rates)) == 1:
        yield from _never_stepped(bench, seen, len(steps))


def _is_cosine(seen: Watched) -> bool:
    return any(e.name == "CosineAnnealingLR" for e in seen.of("schedule"))


def _scheduler(seen: Watched) -> str:
    calls = _calls(seen)
    return calls[-1].where if calls else (seen.steps or seen.others)[0].where


def _calls(seen: Watched) -> list[Any]:
    """Of schedulers' `step` in the loop: without the one in each scheduler's constructor."""
    own: dict[int, int] = {}
    calls = []
    for event in seen.of("schedule"):
        own[event.number] = own.get(event.number, 0) + 1
        if own[event.number] > 1 or event.name == "ReduceLROnPlateau":
            calls.append(event)
    return calls


def _never_stepped(bench: Bench, seen: Watched, n_steps: int) -> Iterator[Finding]:
    made = seen.of("schedule")
    try:
        n_batches = len(bench.subject.loader)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        return
    k = max(1, seen.accumulation)
    if made and not _calls(seen) and n_steps * k > n_batches and not seen.stopped:
        yield HORIZON.warn(
            value=0.0,
            where=made[0].where,
            evidence=f"a {made[0].name} was made, and in {n_steps} steps, more than one pass over "
            "the loader, it was never stepped",
            causes=("scheduler.step() is missing",),
            fix="call scheduler.step() after optimizer.step(), or once an epoch",
        )


@ORDER.on_subject
def order(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at which comes first."""
    seen = bench.shared(watched)
    calls = _calls(seen)
    steps = seen.steps or seen.others
    if not calls or not steps or seen.of("scale"):
        return
    if calls[0].at < steps[0].at:
        yield ORDER.warn(
            where=calls[0].where,
            evidence=f"the scheduler was stepped before the first optimizer step, which then ran "
            f"with the rate {max(steps[0].rates):.3g}",
        )
