"""The sign of the loss and of the step."""

from __future__ import annotations

from collections.abc import Iterator

from labbook.checks.bench import Bench
from labbook.checks.descent import descended
from labbook.checks.direction import (
    AT_LEAST_ZERO,
    Pointing,
    Stepping,
    coefficients,
    pointing,
    stepping,
)
from labbook.checks.finding import Finding
from labbook.checks.losses import LOSS_KINDS
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.traced import traced

SIGN = Rule(
    "loss/sign",
    kind="probe",
    stage="loss",
    says="descending the loss leads away from the targets",
    formula="every call of torch's own loss functions goes into the loss with a negative "
    "derivative; or the loop calls backward() on negative values of a loss that is never below "
    "zero; or after 200 Adam steps (rate 0.1) on free outputs fewer than half agree with the "
    "targets, while after ascending the loss at least 0.9 do",
    follows=("init/nonfinite", "data/target-range", "loss/probabilities-as-logits"),
    advice="check the sign of the loss: surely ascent is not descent",
    causes=(
        "a minus before the loss",
        "a reward returned as a loss",
        "a score instead of an error",
    ),
    fix="return the error itself: drop the minus",
    false_positives="an adversarial objective written as one negative loss",
    source="Shelhamer, DIY Deep Learning; the descent over outputs is measured, not assumed",
)

UNBOUNDED = Rule(
    "loss/unbounded-below",
    kind="probe",
    stage="loss",
    says="the loss has no smallest value: it falls without end as outputs grow",
    formula="200 Adam steps on free outputs: L200 < -1e-3 and L200 < L100 - 0.1·|L100|. Fail where "
    "the loss calls only torch functions that are never below zero, else note: densities fall "
    "below zero rightly",
    follows=("loss/sign", "data/target-range", "loss/probabilities-as-logits", "init/nonfinite"),
    advice="check the sign of the loss: surely ascent is not descent",
    causes=("the sign of the loss or of one of its terms", "targets outside the loss's range"),
    fix="check the sign of each term",
    false_positives="likelihoods of densities, critics, rewards: noted only",
    source="the descent over outputs",
)

NEGATIVE = Rule(
    "loss/negative",
    kind="probe",
    stage="loss",
    says="a loss that is never below zero is",
    formula="all torch loss functions in the loss are never below zero, and at the start "
    "the loss < -1e-6: fail where they enter with a negative derivative, else note",
    follows=("loss/sign", "data/target-range", "loss/probabilities-as-logits", "init/nonfinite"),
    advice="check the sign of the loss: surely ascent is not descent",
    causes=("the sign of the loss", "targets outside the loss's range"),
    fix="check the sign of each term",
    false_positives="a bonus that is subtracted, such as an entropy: noted only",
    source="AutoTrainer (ICSE 2021), abnormal loss",
)

ASCENT = Rule(
    "optim/ascent",
    kind="probe",
    stage="step",
    says="the optimizer climbs the loss",
    formula="one real step without weight decay: ⟨update, gradient⟩ > 0 and the mean of "
    "sign(update)·sign(gradient) > agree; a note where the loss itself points away from the "
    "targets, or where maximize=True meets a loss of unknown direction",
    limits={"agree": 0.5},
    needs=("optimizer",),
    follows=("init/nonfinite",),
    advice="check the sign of the loss: surely ascent is not descent",
    causes=("maximize=True", "the update is added with the sign of the gradient"),
    fix="maximize=False, or subtract the update",
    false_positives="a reward that is to grow: say so with allow=",
    source="Shelhamer, DIY Deep Learning",
)


def _pointing(bench: Bench) -> Pointing | None:
    try:
        return bench.shared(pointing)
    except Cannot:
        return None


def _is_meant(bench: Bench) -> bool:
    """Whether the optimizer climbs, so that a loss turned round leads to the targets after all."""
    try:
        return _climbs(bench.shared(stepping), ASCENT.limits["agree"])
    except Cannot:
        return False


@SIGN.on_subject
def sign(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Does less loss mean outputs nearer to the targets?"""
    found = bench.shared(pointing)
    if found.is_away is None:
        raise Cannot("free outputs do not settle on the targets, whichever way: nothing to say")
    if not found.is_away:
        return
    climbs = _is_meant(bench)
    say = SIGN.note if climbs else SIGN.fail
    tail = "; the optimizer climbs it, so both cancel" if climbs else ""
    yield say(value=found.down, limit=0.5, where=found.where, evidence=found.evidence + tail)


@UNBOUNDED.on_subject
def unbounded(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Does the descent go on below zero?"""
    losses = bench.shared(descended).losses
    middle, last = losses[len(losses) // 2], losses[-1]
    if not last < -1e-3 or not last < middle - 0.1 * abs(middle):
        return
    kinds = {LOSS_KINDS[c.name] for c in bench.shared(traced).known()}
    is_known = bool(kinds) and kinds <= AT_LEAST_ZERO
    say = UNBOUNDED.fail if is_known and not _is_meant(bench) else UNBOUNDED.note
    yield say(
        value=last,
        limit=0.0,
        where=place_of(bench.subject.loss),
        evidence=f"200 steps on free outputs: {losses[0]:.4g} → {last:.4g}, still falling",
    )


@NEGATIVE.on_subject
def negative(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Is the loss of the first batch below zero?"""
    seen = bench.shared(traced)
    kinds = {LOSS_KINDS[c.name] for c in seen.known()}
    if not kinds or not kinds <= AT_LEAST_ZERO or seen.loss is None:
        raise Cannot("the loss is not one that is known to be at least zero")
    value = seen.loss.detach().item()
    if not value < -1e-6:
        return
    is_flipped = any(s < 0 for _, s in coefficients(seen))
    say = NEGATIVE.fail if is_flipped and not _is_meant(bench) else NEGATIVE.note
    names = ", ".join(dict.fromkeys(c.name for c in seen.known()))
    yield say(
        value=value,
        limit=0.0,
        where=place_of(bench.subject.loss),
        evidence=f"the loss calls {names} and is {value:.4g}",
    )


@ASCENT.on_subject
def ascent(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Does the optimizer's first step go against the gradient?"""
    step = bench.shared(stepping)
    if not _climbs(step, limits["agree"]):
        return
    found = _pointing(bench)
    is_away = found.is_away if found is not None else None
    if is_away:
        say, tail = ASCENT.note, "; the loss is the negative of an error, so both cancel"
    elif is_away is None and step.maximizes:
        say, tail = ASCENT.note, "; right for a reward, wrong for an error"
    else:
        say, tail = (ASCENT.fail if is_away is False else ASCENT.warn), ""
    told = "maximize=True: " if step.maximizes else ""
    yield say(
        value=step.with_gradient,
        limit=limits["agree"],
        where=step.where,
        evidence=f"{told}the first step moves {(1 + step.with_gradient) / 2:.0%} of the weights "
        f"along the gradient, not against it{tail}",
        fix="maximize=False" if step.maximizes else "subtract the update: p -= lr · gradient",
    )


def _climbs(step: Stepping, limit: float) -> bool:
    return step.inner > 0 and step.with_gradient > limit
