"""A loss that does not move."""

from __future__ import annotations

from collections.abc import Iterator

from labbook.checks.bench import Bench
from labbook.checks.descent import free_outputs
from labbook.checks.finding import Finding
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.rules.loss_blocked import is_same
from labbook.checks.watched import watched

CONSTANT = Rule(
    "loss/constant",
    kind="free",
    stage="fit",
    says="the loss is the same at every step",
    formula="the loss of four random outputs, or the values that the loop calls backward() on in "
    "its first `steps`: all within 1e-7·|first| of the first",
    limits={"steps": 20},
    follows=("init/*", "grad/*", "model/*", "loss/*", "optim/*", "data/*", "loop/*"),
    advice="if your loss is constant, double-check for zero initialization of the weights",
    causes=(
        "weights that are all zero",
        "a single output before a softmax: always 1",
        "outputs that are cut off from the loss, or an optimizer that moves nothing",
    ),
    fix="look at the outputs of two examples: are they the same?",
    false_positives="none known over different batches",
    source="Shelhamer, DIY Deep Learning",
)


def _ignores_outputs(bench: Bench) -> bool:
    try:
        return is_same(bench.shared(free_outputs), bench.seed)
    except Cannot:
        return False


@CONSTANT.on_subject
def constant(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at the loss of random outputs, and at the loop's own losses."""
    if _ignores_outputs(bench):
        yield CONSTANT.fail(
            where=place_of(bench.subject.loss),
            evidence="four random outputs have one and the same loss",
        )
        return
    if bench.subject.train is None or bench.subject.optimizer is None:
        raise Cannot("no train= and optimizer= given")
    seen = bench.shared(watched)
    n = int(limits["steps"])
    losses = seen.losses[:n]
    if len(losses) < n:
        raise Cannot(f"train() called backward() {len(losses)} times, too few to tell")
    if all(abs(value - losses[0]) <= 1e-7 * abs(losses[0]) for value in losses):
        yield CONSTANT.fail(
            value=losses[0],
            where=seen.backwards[0].where,
            evidence=f"the loss is {losses[0]:.6g} at each of {n} steps",
        )
