"""The same batch at every step."""

from __future__ import annotations

from collections.abc import Iterator

from labbook.checks.bench import Bench
from labbook.checks.digests import digest
from labbook.checks.finding import Finding
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.watched import watched

ONE = Rule(
    "loop/one-batch",
    kind="free",
    stage="loop",
    says="every step trains on the same batch, while the loader has others",
    formula="the inputs of the training passes of ≥ `steps` steps are bitwise one batch, no larger "
    "than the loader's, and the loader's first two batches differ",
    limits={"steps": 4},
    needs=("train", "optimizer", "loader"),
    advice="figure out optimization on one, few and many points in that order: and then go on",
    causes=(
        "next(iter(loader)) inside the loop begins again at each step",
        "a batch kept from trying to overfit it",
    ),
    fix="for x, y in loader: … or keep the iterator outside the loop",
    source="digests of the inputs in the loop's own forward passes",
)


@ONE.on_subject
def one_batch(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare the training passes."""
    seen = bench.shared(watched)
    firsts: dict[int, bytes] = {}
    training = [f for f in seen.forwards if f.grad_enabled]
    for forward in training:
        firsts.setdefault(forward.step, forward.digest)
    if len(firsts) < limits["steps"]:
        raise Cannot(f"train() took {len(firsts)} steps that called the model, too few to tell")
    if len(set(firsts.values())) > 1 or len({f.digest for f in training}) > 1:
        return  # several batches a step are accumulated
    batches = bench.first(2)
    if len(batches) < 2 or training[0].n > batches[0].n:
        return
    if digest(batches[0].inputs) == digest(batches[1].inputs):
        return
    yield ONE.fail(
        value=1.0,
        limit=float(len(firsts)),
        where=training[0].where,
        evidence=f"{len(firsts)} steps were given the same {training[0].n} examples",
    )
