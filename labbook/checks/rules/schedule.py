"""Learning-rate schedules: their horizon, and their place in the loop."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterator
from typing import Any

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.reach import functions_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.watched import Watched, watched

HORIZON = Rule(
    "optim/schedule-horizon",
    kind="free",
    stage="loop",
    says="the schedule does not fit the training: the rate is spent too early, or never changes",
    formula="the rate falls below `spent` of its peak, or below `soon` within the first pass over "
    "≥ 8 batches, before `share` of the steps asked for, and stays there or begins again by a "
    "cosine of too short a period; or a scheduler is made, the code that steps it is nowhere, and "
    "it is not stepped in two passes over the loader",
    limits={"spent": 0.01, "soon": 0.05, "share": 0.8},
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
    n_batches = _passes(bench) / max(1, seen.accumulation)
    end = limits["share"] * seen.n_steps
    ways = ((limits["spent"], end), (limits["soon"], min(end, n_batches) if n_batches >= 8 else 0))
    for share, before in ways:
        spent = _spent(rates, share * peak, _is_cosine(seen))
        if spent is not None and spent < before:
            yield HORIZON.warn(
                value=spent / seen.n_steps,
                limit=limits["share"],
                where=_scheduler(seen),
                evidence=f"of {seen.n_steps} steps asked for, the learning rate fell below "
                f"{share:.0%} of its peak {peak:.3g} at step {spent + 1}",
            )
            return
    if len(set(rates)) == 1 and 0 < 2 * n_batches <= len(steps) and not seen.stopped:
        yield from _never_stepped(bench, seen, len(steps))


def _spent(rates: list[float], floor: float, may_return: bool) -> int | None:
    """The step after the peak at which the rate falls below `floor` for good."""
    peak = max(rates)
    at = next((n for n, rate in enumerate(rates) if rate > 0.99 * peak), 0)
    found = next((n for n in range(at, len(rates)) if rates[n] < floor), None)
    stays = found is not None and (may_return or all(rate < floor for rate in rates[found:]))
    return found if stays else None


def _passes(bench: Bench) -> int:
    """Batches in one pass over the loader; 0 where it does not say."""
    try:
        return len(bench.subject.loader)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        return 0


def _is_cosine(seen: Watched) -> bool:
    return any(e.name == "CosineAnnealingLR" for e in seen.of("schedule"))


def _scheduler(seen: Watched) -> str:
    calls = _calls(seen)
    return calls[-1].where if calls else (seen.steps or seen.others)[0].where


def _calls(seen: Watched) -> list[Any]:
    """Of schedulers' `step` in the loop; those in constructors are torch's own."""
    return list(seen.of("schedule-called"))


def _never_stepped(bench: Bench, seen: Watched, n_steps: int) -> Iterator[Finding]:
    made = seen.of("schedule")
    if made and not _calls(seen) and not _is_stepped_somewhere(bench):
        yield HORIZON.warn(
            value=0.0,
            where=made[0].where,
            evidence=f"a {made[0].name} was made, and in {n_steps} steps, two passes over the "
            "loader, it was never stepped",
            causes=("scheduler.step() is missing",),
            fix="call scheduler.step() after optimizer.step(), or once an epoch",
        )


def _is_stepped_somewhere(bench: Bench) -> bool:
    """Whether the user's code calls `step` of more than one thing: then it may come later."""
    called: set[str] = set()
    for function in functions_of(bench.subject):
        try:
            called |= set(re.findall(r"(\w+)\.step\(", inspect.getsource(function)))
        except (OSError, TypeError):
            return True
    return len(called) > 1


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
