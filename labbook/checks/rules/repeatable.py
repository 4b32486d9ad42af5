"""The same seed gives the same losses."""

from __future__ import annotations

from collections.abc import Iterator

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.place import place_of
from labbook.checks.rule import Limits, Rule
from labbook.client.undisturbed import randomness_kept, seed_all

REPEAT = Rule(
    "model/repeatable",
    kind="probe",
    stage="model",
    says="two runs with one seed differ",
    formula="5 steps on the first batches, twice with one seed of Python, numpy and torch: the "
    "losses differ in a bit",
    needs=("loader",),
    follows=("model/weights-nonfinite", "loss/nonfinite*", "init/nonfinite*"),
    advice="fix random seed",
    causes=(
        "a generator of its own, seeded by the clock",
        "kernels whose order of summation changes (torch.use_deterministic_algorithms)",
        "something that is kept from one run to the next",
    ),
    fix="torch.use_deterministic_algorithms(True), and seed every generator",
    source="Karpathy, A Recipe for Training Neural Networks",
)


@REPEAT.on_subject
def repeatable(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Take the same steps twice."""
    bench.first(5)  # reading them draws from the generators
    one, other = _losses(bench), _losses(bench)
    for n, (a, b) in enumerate(zip(one, other, strict=True)):
        if a != b and (a == a or b == b):  # noqa: PLR0124  # NaN is not itself
            yield REPEAT.note(
                value=abs(a - b),
                limit=0.0,
                where=place_of(bench.subject.model),
                evidence=f"the losses differ from step {n} on: {a:.9g} and {b:.9g}",
            )
            return


def _losses(bench: Bench) -> list[float]:
    with randomness_kept():
        seed_all(bench.seed)
        model = bench.model()
        optimizer = bench.stepper(model)
        found = []
        for batch in bench.first(5):
            bench.tick()
            found.append(bench.step(model, optimizer, batch))
        return found
