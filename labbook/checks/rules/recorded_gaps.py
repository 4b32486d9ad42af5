"""Training against held-out losses, as they were logged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from labbook.checks.finding import Finding
from labbook.checks.recorded import Recorded
from labbook.checks.rule import Cannot, Limits, Rule

WIDENS = Rule(
    "gap/train-eval",
    kind="free",
    stage="learned",
    says="the held-out loss rises while the training loss falls",
    formula="over the last three evaluations the held-out loss rises each time and stands `rise` "
    "above its lowest, while the training loss falls each time",
    limits={"rise": 0.03},
    advice="separate evaluation from optimisation; evaluate on the whole set",
    causes=("it learns the training examples by heart",),
    fix="take the checkpoint of the lowest held-out loss; regularise or augment",
    source="SageMaker Debugger's Overfit fires on 13 of 37 sound programs, by the level: a note",
)

BETTER = Rule(
    "gap/eval-better",
    kind="free",
    stage="learned",
    says="held-out examples are easier than those trained on",
    formula="held-out loss below the training loss by more than `share` in each of the last five "
    "evaluations",
    limits={"share": 0.1},
    advice="know your data: is a part of the training set in the validation set?",
    causes=("dropout or augmentation in training only (then it is right)",
            "training examples are in the validation set"),
    fix="compare both losses in eval mode on the same number of examples",
    source="UMLAUT: validation accuracy above training's by 5 %: a note",
)  # fmt: skip


def _pairs(run: Recorded, n: int) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """(name, steps, held-out, training) at the last n evaluations of each held-out loss."""
    trained = [run.values(name) for name in run.main_losses]
    held = [name for name in run.run.names() if run.is_held_out_loss(name)]
    found = False
    for name in held:
        steps, values = run.values(name)
        good = np.isfinite(values)
        steps, values = steps[good], values[good]
        if not trained or len(values) < n:
            continue
        at, losses = trained[0]
        training = [_before(at, losses, low, high) for low, high in _spans(steps)]
        found = True
        yield name, steps[-n:], values[-n:], np.array(training)[-n:]
    if not found:
        raise Cannot(f"not recorded: no held-out loss logged {n} times beside the training's")


def _spans(steps: np.ndarray) -> Iterator[tuple[int, int]]:
    low = -1
    for step in steps:
        yield low, int(step)
        low = int(step)


def _before(at: np.ndarray, losses: np.ndarray, low: int, high: int) -> float:
    """The median training loss since the evaluation before."""
    inside = losses[(at > low) & (at <= high)]
    inside = inside[np.isfinite(inside)]
    return float(np.median(inside)) if len(inside) else float("nan")


@WIDENS.on_run
def widens(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The last three evaluations."""
    for name, steps, held, trained in _pairs(run, 4):
        lowest = float(np.min(run.finite(name)))
        rises = bool((np.diff(held) > 0).all() and (np.diff(trained) < 0).all())
        above = (held[-1] - lowest) / abs(lowest) if lowest else 0.0
        if rises and above > limits["rise"]:
            yield WIDENS.note(
                value=float(above),
                limit=limits["rise"],
                where=f"{name} since step {int(steps[0])}",
                evidence=f"{name} is {held[-1]:.4g}, {above:.0%} above its lowest, and rises while "
                "the training loss falls",
            )


@BETTER.on_run
def better(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The last five evaluations."""
    for name, _, held, trained in _pairs(run, 5):
        less = (trained - held) / np.abs(trained)
        if np.isfinite(less).all() and bool((less > limits["share"]).all()):
            yield BETTER.note(
                value=float(np.median(less)),
                limit=limits["share"],
                where=name,
                evidence=f"{name} was {np.median(less):.0%} below the training loss in the last "
                "five evaluations",
            )
