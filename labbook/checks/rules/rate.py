"""The learning rate, against the one at which training breaks, and the one at which it moves."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from labbook.checks.bench import Bench, needs_closure
from labbook.checks.finding import Finding
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.rules.overfit import FEW, ONE, fit_1, fit_few
from labbook.checks.trainings import affordable

EDGE = Rule(
    "optim/lr-at-edge",
    kind="probe",
    stage="rate",
    says="the learning rate is at the edge: twice as much, or itself, breaks the training",
    formula="a sweep of 80 steps from 0.1 to 10⁴ times the rate (or to a rate of 1) "
    "diverges (not finite, or smoothed loss > 4·best and > 2·first) at ≤ `times` "
    "times the rate, and so do 60 steps at that rate",
    limits={"times": 2.0},
    needs=("loader", "optimizer"),
    follows=("data/*", "loss/*", "grad/*", "model/*", "init/*", "loop/*"),
    advice="choose the learning rate and batch size on a small set",
    causes=("the learning rate is too high", "inputs or targets are not standardized"),
    fix="use a learning rate about 10 times lower",
    source="fastai lr_find and Lightning (stop at 4 times the best loss); Shelhamer",
)

LOW = Rule(
    "optim/lr-too-low",
    kind="probe",
    stage="rate",
    says="the learning rate is far too low: nothing moves before it is raised a hundredfold",
    formula="in the same sweep 10 % of its progress is made first at > `times` times the rate, and "
    "a few examples cannot be fitted",
    limits={"times": 100.0},
    needs=("loader", "optimizer"),
    follows=("data/*", "loss/*", "grad/*", "model/*", "init/*", "loop/*"),
    advice="if optimization never diverges, your learning rate is too low",
    causes=("the learning rate is too low",),
    fix="raise the learning rate; the sweep says how far",
    false_positives="a fine-tuning that is meant to move little",
    source="Shelhamer, DIY Deep Learning; fastai lr_find",
)

STEPS = 80
SECONDS = 6.0
LOWEST, HIGHEST = 0.1, 1e4


@dataclass(frozen=True)
class Sweep:
    """Factors of the rate: where it diverged, where the first 10 % was gained; infinite if never.

    `rate` is the one the optimizer begins with, the largest of its groups.
    """

    rate: float
    diverged: float
    moved: float


def sweep(bench: Bench) -> Sweep:
    """Raise the rate step by step until the loss breaks; `bench.shared` it."""
    model = bench.model().train()
    optimizer = bench.optimizer(model)
    rates = [group["lr"] for group in optimizer.param_groups if "lr" in group]
    if not rates or needs_closure(optimizer):
        raise Cannot("the optimizer has no learning rate, or looks for its step itself")
    batches = bench.first(STEPS)
    smooth: list[float] = []
    highest = max(HIGHEST, 1 / max(float(max(rates)), 1e-9))
    diverged = math.inf
    started = time.monotonic()
    for n in range(STEPS):
        bench.tick()
        factor = _factor(n, highest)
        _scale(optimizer, rates, factor)
        loss = bench.step(model, optimizer, batches[n % len(batches)])
        if n == 2:
            affordable((time.monotonic() - started) / 3, STEPS, SECONDS)
        smooth.append(loss if not smooth else 0.8 * smooth[-1] + 0.2 * loss)
        if _breaks(smooth):
            diverged = factor
            break
    return Sweep(float(max(rates)), diverged, _moved(smooth, highest))


@EDGE.on_subject
def edge(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at where the sweep breaks, and try that rate by itself."""
    found = bench.shared(sweep)
    if found.diverged > limits["times"]:
        return
    if not _diverges(bench, limits["times"]):
        return
    say = EDGE.note if bench.task == "other" else EDGE.warn
    yield say(
        where=_made_by(bench),
        value=found.diverged,
        limit=limits["times"],
        evidence=f"training breaks at {found.diverged * found.rate:.3g}, {found.diverged:.2g} "
        f"times the rate {found.rate:.3g}",
        fix=f"try a learning rate of {found.diverged * found.rate / 10:.1g}",
    )


@LOW.on_subject
def low(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Only where something else failed too."""
    fits = (bench.shared(fit_1).reaches(ONE.limits), bench.shared(fit_few).reaches(FEW.limits))
    if all(fits):
        return
    found = bench.shared(sweep)
    if not limits["times"] < found.moved < math.inf:  # where no rate helps, it is not the rate
        return
    say = LOW.note if bench.task == "other" else LOW.warn
    yield say(
        where=_made_by(bench),
        value=found.moved,
        limit=limits["times"],
        evidence=f"with the rate {found.rate:.3g} the loss hardly moves; in a sweep it first does "
        f"at {found.moved:.3g} times that rate",
    )


def _made_by(bench: Bench) -> str:
    source = bench.subject.optimizer
    return "optimizer" if hasattr(source, "param_groups") else place_of(source)


def _factor(n: int, highest: float) -> float:
    return float(LOWEST * (highest / LOWEST) ** (n / (STEPS - 1)))


def _scale(optimizer: object, rates: list[float], factor: float) -> None:
    groups = [g for g in optimizer.param_groups if "lr" in g]  # type: ignore[attr-defined]
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate * factor


def _breaks(smooth: list[float]) -> bool:
    last = smooth[-1]
    if not math.isfinite(last):
        return True
    return len(smooth) > 5 and last > 4 * min(smooth) and last > 2 * smooth[0]


def _moved(smooth: list[float], highest: float) -> float:
    finite = [v for v in smooth if math.isfinite(v)]
    if not finite or finite[0] - min(finite) <= 1e-3 * max(abs(finite[0]), 1e-12):
        return math.inf
    gained = finite[0] - min(finite)
    return next(_factor(n, highest) for n, v in enumerate(smooth) if v <= smooth[0] - 0.1 * gained)


def _diverges(bench: Bench, factor: float) -> bool:
    model = bench.model().train()
    optimizer = bench.optimizer(model)
    _scale(optimizer, [g["lr"] for g in optimizer.param_groups if "lr" in g], factor)
    batches = bench.first(60)
    losses: list[float] = []
    for n in range(60):
        bench.tick()
        losses.append(bench.step(model, optimizer, batches[n % len(batches)]))
        if not math.isfinite(losses[-1]):
            return True
    tail = sorted(losses[-20:])[10]
    return tail > 2 * abs(losses[0])
