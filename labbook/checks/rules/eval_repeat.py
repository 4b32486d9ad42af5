"""An evaluation that does not say the same twice."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import chain

from labbook.checks.bench import Bench
from labbook.checks.evaluated import Evaluated, evaluated, trained
from labbook.checks.finding import Finding
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.torch_calls import Call, torch_calls

REPEAT = Rule(
    "eval/not-repeatable",
    kind="probe",
    stage="eval",
    says="two evaluations of the same model differ",
    formula="evaluate() twice with other random numbers; |a − b| > `same`·|a| for any number it "
    "returns: warn, > `far`: fail; where the model itself samples (randn, rand, normal): note",
    limits={"same": 1e-5, "far": 1e-3},
    needs=("evaluate",),
    follows=("eval/train-mode", "eval/buffers-changed", "eval/params-changed"),
    advice="perils of nondeterminism, batch norm, etc. when mixing training and testing",
    causes=("dropout called as a function stays on", "random transforms of the validation data"),
    fix="make evaluation the same each time: F.dropout(x, training=self.training), fixed data",
    false_positives="metrics that sample on purpose: seed their own generator",
    source="the user's own evaluation, twice",
)

CONSUMED = Rule(
    "eval/rng-consumed",
    kind="free",
    stage="eval",
    says="evaluation draws from the generators that training uses",
    formula="the state of a global generator differs after evaluate(), by more than the seed that "
    "each DataLoader draws",
    needs=("evaluate",),
    follows=("eval/train-mode", "eval/not-repeatable"),
    advice="perils of nondeterminism when mixing training and testing",
    causes=("the validation loader shuffles", "the model or a metric samples"),
    fix="give what samples in evaluation a generator of its own",
    source="the states before and after",
)

_DROPOUTS = ("dropout", "dropout_", "alpha_dropout", "feature_alpha_dropout", "dropout1d",
             "dropout2d", "dropout3d", "feature_dropout", "bernoulli", "bernoulli_")  # fmt: skip
_SAMPLES = ("randn", "randn_like", "rand", "rand_like", "normal", "normal_", "multinomial",
            "randint", "randint_like", "exponential_", "uniform_", "poisson",
            "_standard_normal", "randperm")  # fmt: skip


@REPEAT.on_subject
def repeat(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare, and look for what was random."""
    seen = bench.shared(evaluated)
    if not seen.values:
        raise Cannot("evaluate() returned no number")
    far, name = max((_distance(seen, name), name) for name in seen.values)
    if far <= limits["same"]:
        return
    what = f"{name}: " if name else ""
    numbers = f"{what}{seen.values[name]:.6g} and {seen.again.get(name, math.nan):.6g}"
    calls = _random_calls(bench)
    drops = [c for c in calls if c.name in _DROPOUTS]
    say = REPEAT.fail if far > limits["far"] else REPEAT.warn
    if _other_data(seen):
        cause = "the model is given other inputs each time: the validation data are random"
    elif drops:
        cause = f"{drops[0].name}() is on in eval mode"
    elif any(c.name in _SAMPLES for c in calls):
        cause, say = "the model or the metric samples", REPEAT.note
    else:
        cause = "nothing random was seen in torch"
    random = drops or calls
    yield say(
        value=far,
        limit=limits["same"],
        where=random[0].where if random and not _other_data(seen) else _where(seen),
        evidence=f"two evaluations of the same model gave {numbers}; {cause}",
        causes=(cause, *REPEAT.causes),
    )


@CONSUMED.on_subject
def consumed(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Name the generators."""
    seen = bench.shared(evaluated)
    if any(_distance(seen, name) > REPEAT.limits["same"] for name in seen.values):
        return  # what differs says more
    if seen.rng:
        yield CONSUMED.note(
            value=float(len(seen.rng)),
            limit=0.0,
            where=_where(seen),
            evidence=f"evaluate() drew from the global generators of {', '.join(seen.rng)}",
        )


def _distance(seen: Evaluated, name: str) -> float:
    one, other = seen.values[name], seen.again.get(name, math.nan)
    if math.isnan(one) and math.isnan(other):
        return 0.0
    if not (math.isfinite(one) and math.isfinite(other)):
        return 0.0 if one == other else math.inf
    return abs(one - other) / max(abs(one), 1e-12) if one != other else 0.0


def _other_data(seen: Evaluated) -> bool:
    """Whether the model was given other examples, in any order."""
    one = Counter(chain.from_iterable(call.rows for call in seen.calls))
    other = Counter(chain.from_iterable(call.rows for call in seen.calls_again))
    return one != other


def _random_calls(bench: Bench) -> list[Call]:
    calls: list[Call] = []
    model = trained(bench)
    with torch_calls(calls):
        bench.evaluate(model)
    return [c for c in calls if (c.name in _DROPOUTS and _is_on(c)) or c.name in _SAMPLES]


def _is_on(call: Call) -> bool:
    """Dropout with p > 0 that was told to be in training."""
    if "dropout" not in call.name:
        return True
    args = list(call.args)
    p = call.kwargs.get("p", args[1] if len(args) > 1 else 0.5)
    training = call.kwargs.get("training", args[2] if len(args) > 2 else True)
    return bool(training) and float(p) > 0


def _where(seen: Evaluated) -> str:
    return seen.calls[0].where if seen.calls else ""
