"""The training loss as it was logged: not finite, diverging, without progress, with spikes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from labbook.checks.curves import Curve
from labbook.checks.finding import Finding
from labbook.checks.recorded import Recorded
from labbook.checks.rule import Cannot, Limits, Rule

NONFINITE = Rule(
    "loss/nonfinite",
    kind="free",
    stage="run",
    says="the loss is not a number any more",
    formula="any NaN or infinity among the logged values of a training loss",
    advice="log everything",
    causes=("the learning rate is too high", "a division by zero or the logarithm of zero",
            "half precision overflowed"),
    fix="look at the first bad step: its batch, and the first tensor that is not finite",
    follows=("data/nonfinite",),
    source="SageMaker Debugger ExplodingTensor; ignite TerminateOnNan",
)  # fmt: skip

DIVERGING = Rule(
    "loss/diverging",
    kind="free",
    stage="learned",
    says="the loss rises and does not come back",
    formula="median of a window above best + rise·(first − best) + 3·noise for a whole window at "
    "the end, or above twice the first median",
    limits={"rise": 0.5},
    advice="if optimization never diverges, your learning rate is too low; this one does",
    causes=("the learning rate is too high", "the sign of the loss or of the update is wrong"),
    fix="lower the learning rate (÷ 3), or warm it up",
    follows=("loss/nonfinite", "loss/sign", "optim/ascent"),
    false_positives="a loss whose parts' weights change on a schedule",
    source="0 of 37 sound programs; TheDeepChecker: × 2 a window",
)

NO_PROGRESS = Rule(
    "loss/no-progress",
    kind="free",
    stage="learned",
    says="the loss is where it began",
    formula="after ≥ `points` points: (first − last median) < drop·|first|, and no falling trend "
    "(Spearman > −0.1)",
    limits={"points": 200, "drop": 0.02},
    advice="figure out optimization on one, few, many points, in that order",
    causes=("parameters are frozen or not in the optimizer", "the learning rate is far too low",
            "inputs and targets do not belong together"),
    fix="labbook check on a subject of this program finds which: overfit one batch first",
    follows=("loss/*", "grad/*", "optim/*", "loop/*"),
    false_positives="a run that goes on from weights that had converged",
    source="15 of 77 faults, 0 of 37 sound programs",
)  # fmt: skip

SPIKES = Rule(
    "loss/spikes",
    kind="free",
    stage="learned",
    says="single steps have a far higher loss",
    formula="points above median + 10·(spread + 0.02·|median|) of their window and by more than a "
    "quarter of |first|; at least `per_1000` of 1,000",
    limits={"per_1000": 3},
    advice="look at outputs, not only at metrics",
    causes=("broken examples in some batches", "a learning rate at the edge"),
    fix="look at the batches of these steps",
    source="1 of 37 sound programs with the second condition, 5 without: a note",
)

PLATEAU = Rule(
    "loss/plateau",
    kind="free",
    stage="learned",
    says="the last third of the run brought nothing",
    formula="progress of the last third < `share` of the whole progress",
    limits={"share": 0.01},
    advice="the best hyperparameters for short runs may not prevail in the end",
    causes=("it has converged", "the learning rate is too low by now"),
    fix="stop earlier, or look at the schedule",
    source="fires on 16 of 37 sound programs, which had converged: a note",
)


@NONFINITE.on_run
def nonfinite(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Every series of a training loss."""
    seen = False
    for name in run.loss_names:
        steps, values = run.values(name)
        seen = seen or len(values) > 0
        bad = ~np.isfinite(values)
        if bad.any():
            first = int(steps[np.argmax(bad)])
            event = _first_tensor(run)
            yield NONFINITE.fail(
                value=int(bad.sum()),
                limit=0,
                where=f"step {first} of {name}",
                evidence=f"{int(bad.sum())} of {len(values)} values are not finite, the first at "
                f"step {first}" + (f"; {event}" if event else ""),
            )
    if not seen:
        raise Cannot("not recorded: no series of a training loss")


def _first_tensor(run: Recorded) -> str:
    for event in run.run.events().to_pylist():
        text = str(event.get("text") or "")
        if "not finite" in text:
            return text
    return ""


def _curves(run: Recorded) -> Iterator[tuple[str, Curve]]:
    found = False
    for name in run.main_losses:
        curve = Curve.of(*run.values(name))
        if curve is not None:
            found = True
            yield name, curve
    if not found:
        raise Cannot("not recorded: fewer than 40 values of a training loss")


@DIVERGING.on_run
def diverging(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The end against the best window and the beginning."""
    for name, curve in _curves(run):
        tail = curve.medians[-curve.window :]
        progress = max(curve.first - curve.best, 0.0)
        edge = curve.best + limits["rise"] * progress + 3 * curve.noise
        rises = bool((tail > edge).all()) and progress > 3 * curve.noise
        doubled = curve.first > 0 and bool((tail > 2 * curve.first + 3 * curve.noise).all())
        if rises or doubled:
            at = int(curve.steps[int(np.argmin(curve.medians)) + curve.window // 2])
            yield DIVERGING.fail(
                value=curve.last,
                limit=2 * curve.first if doubled and not rises else edge,
                where=f"{name} after step {at}",
                evidence=f"{name} began at {curve.first:.4g}, was {curve.best:.4g} near step {at} "
                f"and is {curve.last:.4g}",
            )


@NO_PROGRESS.on_run
def no_progress(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The end against the beginning."""
    for name, curve in _curves(run):
        if len(curve.values) < limits["points"]:
            raise Cannot(f"not recorded: fewer than {limits['points']:.0f} values of {name}")
        drop = curve.first - curve.last
        if drop >= limits["drop"] * abs(curve.first) or curve.falls < -0.1:
            continue
        if -drop > max(3 * curve.noise, limits["drop"] * abs(curve.first)):
            continue  # it rises: another rule's business
        prior = _at_prior(run, curve.last)
        yield NO_PROGRESS.fail(
            value=drop / abs(curve.first) if curve.first else 0.0,
            limit=limits["drop"],
            where=name,
            evidence=f"{name} was {curve.first:.4g} at first and is {curve.last:.4g} after "
            f"{len(curve.values)} values" + prior,
        )


def _at_prior(run: Recorded, loss: float) -> str:
    """Whether this is the entropy of the chosen examples' classes: the net predicts the prior."""
    classes = run.chosen_classes
    if not classes:
        return ""
    n = len(classes)
    entropy = -sum(k / n * math.log(k / n) for k in Counter(classes).values())
    uniform = math.log(len(set(classes)))
    if min(abs(loss - h) for h in (entropy, uniform)) < 0.02 * entropy:
        return ": what predicting the class frequencies alone costs"
    return ""


@SPIKES.on_run
def spikes(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Points far above their window."""
    for name, curve in _curves(run):
        half = curve.window // 2
        centre = np.pad(
            curve.medians, (half, len(curve.values) - len(curve.medians) - half), "edge"
        )
        above = curve.values - centre
        spread = curve.noise + 0.02 * np.abs(centre)
        is_spike = (above > 10 * spread) & (above > 0.25 * abs(curve.first))
        rate = 1000 * is_spike.sum() / len(curve.values)
        if is_spike.sum() >= 3 and rate >= limits["per_1000"]:
            shown = ", ".join(str(step) for step in curve.steps[is_spike][:5])
            yield SPIKES.note(
                value=float(rate),
                limit=limits["per_1000"],
                where=f"{name} at steps {shown}",
                evidence=f"{int(is_spike.sum())} of {len(curve.values)} values stand far above "
                "their neighbours",
            )


@PLATEAU.on_run
def plateau(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The last third against the whole."""
    for name, curve in _curves(run):
        third = len(curve.medians) // 3
        progress = curve.first - curve.best
        late = float(curve.medians[-third] - curve.medians[-third:].min()) if third else 0.0
        if progress > 3 * curve.noise and late < limits["share"] * progress:
            yield PLATEAU.note(
                value=late / progress,
                limit=limits["share"],
                where=name,
                evidence=f"the last third of {name} brought {late / progress:.1%} of its progress",
            )
