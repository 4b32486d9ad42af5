"""What an optimizer step does: it is taken, it moves the weights, and does not shrink them away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.trained import Trained, trained
from labbook.checks.watched import watched

STEP = Rule(
    "optim/step-missing",
    kind="free",
    stage="step",
    says="the loop makes backward passes but no optimizer step",
    formula="≥ 3 backward passes in train(), no step of any optimizer, no parameter changed",
    needs=("train", "optimizer"),
    follows=("loop/no-step*", "loop/dry-run*", "loop/no-grad*", "loop/scaler*"),
    advice="optimize: loss.backward(), then optimizer.step()",
    causes=("optimizer.step() is missing", "it stands outside the loop"),
    fix="call optimizer.step() after loss.backward()",
    false_positives="a loop that accumulates over more passes than it was asked for",
    source="exact; hooks on every optimizer",
)

ZERO = Rule(
    "optim/rate-zero",
    kind="free",
    stage="step",
    says="the learning rate is zero",
    formula="lr = 0 in every step seen (at the start, where there is no train=): of every group: "
    "fail; of some: warn",
    needs=("optimizer",),
    advice="the learning rate is the first thing to choose",
    causes=("a scheduler that begins, or ends, at zero", "an integer division in the rate"),
    fix="set lr; warm up from lr / n, not from 0",
    source="exact",
)

STILL = Rule(
    "optim/no-update",
    kind="probe",
    stage="step",
    says="optimizer steps change no weight",
    formula="Σ|Δθ| = 0 over all steps though backward passes gave gradients that are not zero",
    needs=("optimizer", "loader"),
    follows=(
        "optim/rate-zero",
        "optim/step-missing",
        "optim/foreign-parameters",
        "optim/mostly-frozen",
        "grad/none",
        "grad/zero",
        "grad/loss-detached*",
        "loop/*",
        "init/nonfinite*",
    ),
    advice="check that the weights change",
    causes=(
        "zero_grad() between backward() and step()",
        "a GradScaler that skips every step",
        "weights that are restored after each step",
    ),
    fix="zero_grad(), backward(), step(), in this order",
    source="exact; Pham et al., torchtest asserts the same of one step",
)

DECAY = Rule(
    "optim/decay",
    kind="static",
    stage="step",
    says="weight decay shrinks the weights away",
    formula="decoupled decay or SGD: lr · weight_decay ≥ `step` in a group; decay in the gradient "
    "of an adaptive optimizer (Adam with weight_decay): weight_decay ≥ `coupled`",
    limits={"step": 0.01, "coupled": 0.3},
    needs=("optimizer",),
    advice="start without regularization, and overfit first",
    causes=("weight_decay larger than meant", "a decay made for another learning rate"),
    fix="weight_decay=0.01 with AdamW, 5e-4 with SGD at 0.1",
    source="Loshchilov & Hutter, Decoupled Weight Decay Regularization, 2019",
)

_DECOUPLED = {"AdamW", "NAdamW", "Lion", "SGDW", "Adafactor", "SGD", "Muon", "StableAdamW"}
_ADAPTIVE = {"Adam", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta"}


@STEP.on_subject
def stepped(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Count the steps of the user's loop."""
    seen = _by_train(bench)
    if seen.n_steps or any(s.has_changed for s in seen.seen.values()):
        return
    if seen.n_backward < 3:
        raise Cannot(f"train() made {seen.n_backward} backward passes, too few to tell")
    yield STEP.fail(
        value=0.0,
        limit=1.0,
        where=place_of(bench.subject.train),
        evidence=f"{seen.n_backward} backward passes, no step of any optimizer, and no parameter "
        "changed",
    )


def _by_train(bench: Bench) -> Trained:
    seen = bench.shared(trained)
    if not seen.by_train:
        if seen.error is not None:
            raise seen.error
        raise Cannot("train() could not be followed")
    return seen


@ZERO.on_subject
def zero(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at the learning rates of the steps that were taken, else at those it starts with."""
    groups = _groups(bench)
    rates = _rates(bench) or [tuple(_number(g.get("lr")) for g in groups)]
    if rates[0] and all(r == 0 for r in rates[0]) and bench.subject.train is not None:
        rates += [step.rates for step in bench.shared(watched).steps]  # warms up, perhaps
    stuck = [n for n in range(len(rates[0])) if all(r[n] == 0 for r in rates if n < len(r))]
    stuck = [n for n in stuck if n >= len(groups) or _is_trained(groups[n])]
    if not stuck:
        return
    is_all = len(stuck) == len(rates[0])
    say = ZERO.fail if is_all else ZERO.warn
    yield say(
        value=0.0,
        limit=0.0,
        where=_place(bench),
        evidence=("the learning rate is 0" if is_all else f"the rate of group {stuck[0]} is 0")
        + (f" in all of {len(rates)} steps" if len(rates) > 1 else ""),
    )


def _is_trained(group: dict[str, Any]) -> bool:
    return any(p.requires_grad for p in group["params"])


def _rates(bench: Bench) -> list[tuple[float, ...]]:
    """Of the steps of the user's loop."""
    if bench.subject.train is None:
        return []
    try:
        return bench.shared(trained).rates
    except Cannot:
        return []


def _groups(bench: Bench) -> list[dict[str, Any]]:
    return list(_optimizer(bench).param_groups)


def _optimizer(bench: Bench) -> Any:
    """The user's own object, only read, or one as they make it."""
    source = bench.subject.optimizer
    return source if hasattr(source, "param_groups") else bench.shared(_as_made)


def _as_made(bench: Bench) -> Any:
    return bench.optimizer(bench.model())


def _kind(bench: Bench) -> str:
    return type(_optimizer(bench)).__name__


def _place(bench: Bench) -> str:
    source = bench.subject.optimizer
    return place_of(source) if not hasattr(source, "param_groups") else type(source).__name__


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


@STILL.on_subject
def still(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look whether any weight moved."""
    seen = bench.shared(trained)
    if seen.optimizer is None:
        raise Cannot("the optimizer cannot be tried on a copy")
    if not seen.n_steps:
        raise Cannot("no optimizer step was seen")
    reached = any(s.received or s.has_changed for s in seen.seen.values())
    if seen.by_train and seen.n_backward and not reached:
        yield STILL.fail(
            value=0.0,
            limit=1.0,
            where=place_of(bench.subject.train),
            evidence=f"{seen.n_backward} backward passes and {seen.n_steps} steps reached no "
            "parameter of the model that train() was given",
            causes=("the loop trains another model", "the model is copied in the loop"),
            fix="use the model that is handed to the loop",
        )
        return
    moving = [s for s in seen.seen.values() if s.largest > 0 and s.is_finite]
    if not moving or any(s.has_changed for s in seen.seen.values()):
        return
    largest = max(s.largest for s in moving)
    hint = ""
    if not seen.n_ready:
        hint = "; each step found every gradient cleared"
    yield STILL.fail(
        value=0.0,
        limit=0.0,
        where=place_of(bench.subject.train) if seen.by_train else _place(bench),
        evidence=f"{seen.n_steps} steps changed no parameter, though gradients of up to "
        f"{largest:.2g} came back{hint}",
    )


@DECAY.on_subject
def decay(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Multiply the largest learning rate seen with the decay of its group."""
    kind = _kind(bench)
    rates = _rates(bench)
    for n, group in enumerate(_groups(bench)):
        wd = _number(group.get("weight_decay", 0))
        lr = max([_number(group.get("lr"))] + [r[n] for r in rates if n < len(r)])
        is_coupled = kind in _ADAPTIVE and not group.get("decoupled_weight_decay", False)
        limit = limits["coupled"] if is_coupled else limits["step"]
        value = wd if is_coupled else lr * wd
        if not is_coupled and kind not in _DECOUPLED and not group.get("decoupled_weight_decay"):
            continue
        if value >= limit * (1 - 1e-9):
            what = f"weight_decay {wd:g} is added to the gradient that {kind} normalises"
            if not is_coupled:
                what = f"lr {lr:g} × weight_decay {wd:g}: {value:.3g} of each weight a step"
            yield DECAY.warn(value=value, limit=limit, where=_place(bench), evidence=what)
            return
