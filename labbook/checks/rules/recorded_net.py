"""The net as `run.follow()` recorded it: dead units, and the size of updates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from labbook.checks.finding import Finding
from labbook.checks.recorded import Recorded
from labbook.checks.rule import Cannot, Limits, Rule

DEAD = Rule(
    "act/dead",
    kind="free",
    stage="learned",
    says="most units of a layer never fire",
    formula="share of units active on less than 1 % of the examples > `share` in each of the last "
    "three samples",
    limits={"share": 0.5},
    advice="inspect the activations, not only the loss",
    causes=("the learning rate is too high", "a large negative bias", "inputs far from zero mean"),
    fix="lower the learning rate, normalise, or use a leaky unit",
    follows=("loss/nonfinite", "data/not-standardized"),
    source="SageMaker Debugger DeadRelu has the same numbers",
)

RATIO = Rule(
    "optim/update-ratio",
    kind="free",
    stage="learned",
    says="updates are far too large or too small for the weights",
    formula="update norm ÷ weight norm of a tensor outside [`low`, `high`] in each of the last "
    "five samples; biases and gains of norms left out",
    limits={"low": 1e-6, "high": 1e-1},
    advice="the ratio of update to weight should be about 1e-3",
    causes=(
        "the learning rate does not fit",
        "a schedule that has ended (too small is then right)",
    ),
    fix="another learning rate for these tensors",
    source="CS231n, Neural Networks 3: about 1e-3",
)


def _last(run: Recorded, statistic: str, n: int) -> Iterator[tuple[str, np.ndarray]]:
    """(tensor, its newest n values) of each tensor that has so many."""
    found = run.followed(statistic)
    if not found:
        raise Cannot("not recorded: no net was followed (run.follow)")
    for name, values in found.items():
        if len(values) >= n:
            yield name, values[-n:]


@DEAD.on_run
def dead(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Each layer with units that can die."""
    found = {
        name: float(values.min())
        for name, values in _last(run, "activation_dead", 3)
        if values.min() > limits["share"]
    }
    if found:
        worst = max(found, key=lambda name: found[name])
        yield DEAD.warn(
            value=found[worst],
            limit=limits["share"],
            where=", ".join(list(found)[:5]),
            evidence=f"{found[worst]:.0%} of the units of {worst} are dead"
            + (f", and more than half of {len(found) - 1} other layers'" if len(found) > 1 else ""),
        )


@RATIO.on_run
def ratio(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Weights of more than one axis."""
    large = _weights(run)
    for word in ("large", "small"):
        found = {
            name: float(np.median(values))
            for name, values in _last(run, "update_ratio", 5)
            if name in large
            and (values.min() > limits["high"] if word == "large" else values.max() < limits["low"])
        }
        if found:
            worst = next(iter(found))
            yield RATIO.note(
                value=found[worst],
                limit=limits["high" if word == "large" else "low"],
                where=", ".join(list(found)[:5]),
                evidence=f"updates of {len(found)} tensors are too {word}: {found[worst]:.1e} of "
                f"the weights of {worst}",
            )


def _weights(run: Recorded) -> set[str]:
    return {
        f"{module['name']}.{parameter['name']}" if module["name"] else parameter["name"]
        for net in run.run.nets().values()
        for module in net.get("modules", ())
        for parameter in module.get("parameters", ())
        if len(parameter.get("shape") or ()) > 1 and parameter.get("requires_grad")
    }
