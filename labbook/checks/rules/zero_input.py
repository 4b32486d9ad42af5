"""Does the input matter: the same training without it, and with its features left as they began."""

from __future__ import annotations

import math
from collections.abc import Iterator

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.passes import place_of_data
from labbook.checks.relation import FEWEST, dependence
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.rules.overfit import EARLIER, FEW, fit_few, has_other_optimizers
from labbook.checks.trainings import (
    STEPS,
    Training,
    full_training,
    go_on,
    head_training,
    held_out,
    zeroed,
)

ZERO = Rule(
    "fit/zero-input",
    kind="probe",
    stage="fit",
    says="the model does no better with its inputs than without them",
    formula="held-out loss a of a training, and b of the same with all inputs zero (tokens: one "
    "id), each the best of 3 looks in 150 steps, else of 9 in 450: not a < b − `margin`·|b|, and "
    "held-out outputs and targets are within `z` standard errors of independent",
    limits={"margin": 0.05, "z": 3},
    needs=("loader",),
    follows=("fit/overfit-1", "fit/overfit-few", *EARLIER),
    advice="zero out the data by x.zero_() and check that results are worse",
    causes=(
        "inputs and targets do not belong together: one is shuffled or shifted against the other",
        "the inputs do not get to where they are used",
        "the model does not generalise yet from so few steps",
    ),
    fix="look at some (input, target) pairs as the model is given them",
    false_positives="models without inputs; a prior that is nearly optimal; very few examples",
    source="Shelhamer, DIY Deep Learning",
)

FEATURES = Rule(
    "baseline/random-features",
    kind="probe",
    stage="fit",
    says="training all of the model is worse than training its last layer alone",
    formula="held-out losses after 150 equal steps: of the full model f, of the last layer alone "
    "r, without inputs b; r < b − `clear`·|b| and b − f < `share`·(b − r): warn",
    limits={"clear": 0.1, "share": 0.7},
    needs=("loader", "optimizer"),
    follows=("fit/overfit-1", "fit/overfit-few", "fit/zero-input", *EARLIER),
    advice="learn a linear model on random features by fixing all of the parameters at their "
    "initialization except for the output",
    causes=(
        "the learning rate is too high for the layers below",
        "a layer below breaks in training",
    ),
    fix="lower the learning rate, or look at the layers below while they train",
    false_positives="very wide layers, where random features do nearly all of the work",
    source="Shelhamer, DIY Deep Learning",
)


@ZERO.on_subject
def zero(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Train both ways; longer where 150 steps do not tell."""
    _needs_training(bench)
    n = sum(batch.n for batch in bench.shared(held_out).held_out)
    if n < FEWEST:
        raise Cannot(f"{n} held-out examples are too few to tell")
    full, empty = bench.shared(full_training), bench.shared(zeroed)
    if _beats(full.best, empty.best, limits["margin"]):
        return
    if len(full.losses) == len(empty.losses) == STEPS and math.isfinite(full.best):
        go_on(bench, full, 2 * STEPS)
        go_on(bench, empty, 2 * STEPS)
    if _beats(full.best, empty.best, limits["margin"]):
        return
    if _knows(bench, full, limits["z"]):
        return
    say = ZERO.note if bench.task == "other" else ZERO.fail
    if not bench.shared(fit_few).reaches(FEW.limits):
        raise Cannot("too little is learned in these steps to tell (fit/overfit-few)")
    yield say(
        where=place_of_data(bench, "loader"),
        value=full.best / empty.best if empty.best else full.best,
        limit=1 - limits["margin"],
        evidence=f"after {len(full.losses)} steps the held-out loss is {full.best:.4g}, and "
        f"{empty.best:.4g} when all inputs are zero",
    )


@FEATURES.on_subject
def features(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare equal numbers of steps."""
    _needs_training(bench)
    full, empty = bench.shared(full_training), bench.shared(zeroed)
    if not _beats(full.best, empty.best, ZERO.limits["margin"]):
        raise Cannot("the full model does not learn (fit/zero-input)")
    head = bench.shared(head_training)
    f, r, b = (min(t.held_out[:3]) for t in (full, head, empty))
    if not r < b - limits["clear"] * abs(b) or not b - f < limits["share"] * (b - r):
        return
    say = FEATURES.note if bench.task == "other" else FEATURES.warn
    yield say(
        value=(b - f) / (b - r),
        limit=limits["share"],
        evidence=f"held-out loss after {STEPS} steps: {f:.4g} for the full model, {r:.4g} for its "
        f"last layer alone, {b:.4g} without inputs",
    )


def _knows(bench: Bench, training: Training, limit: float) -> bool:
    """Whether its held-out outputs follow the targets, however high the loss."""
    try:
        found = dependence(bench, training.state[0], bench.shared(held_out).held_out)
    except Cannot:
        return False
    return found > limit


def _needs_training(bench: Bench) -> None:
    if bench.subject.optimizer is None:
        raise Cannot("no optimizer= given")
    if has_other_optimizers(bench):
        raise Cannot("train() trains a part with an optimizer of its own")


def _beats(full: float, empty: float, margin: float) -> bool:
    if math.isnan(full):
        return False
    return math.isnan(empty) or full < empty - margin * abs(empty)
