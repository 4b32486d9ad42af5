"""Gradients reach every parameter, and say something; inputs reach the output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.meant import following
from labbook.checks.models import starts_constant
from labbook.checks.naming import listed
from labbook.checks.paths import Paths, paths
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.traced import traced
from labbook.checks.trained import Seen, Trained, trained

if TYPE_CHECKING:
    from torch import nn

NONE = Rule(
    "grad/none",
    kind="probe",
    stage="gradient",
    says="parameters that the forward pass uses get no gradient",
    formula="requires_grad, in the optimizer, given to some torch call, no gradient in any of the "
    "first steps, value unchanged; an output that the loss does not use, or a result that "
    "is dropped, is a note or a warning",
    needs=("loader",),
    follows=(
        "grad/loss-detached*",
        "optim/foreign-parameters",
        "optim/mostly-frozen",
        "loop/no-grad*",
        "loop/dry-run*",
        "loss/blocked*",
    ),
    advice="check for accidental non-differentiability from max/min/etc.",
    causes=(
        "detach(), .data, torch.no_grad(), torch.tensor(tensor) or numpy in the forward pass",
        "argmax, round or a comparison between the parameters and the loss",
    ),
    fix="take the call away, or freeze what is meant to be fixed: requires_grad_(False)",
    false_positives="parts that are kept fixed by torch.no_grad() on purpose, yet given to the "
    "optimizer",
    source="exact; Shelhamer, DIY Deep Learning",
)

UNUSED = Rule(
    "model/unused",
    kind="probe",
    stage="model",
    says="parameters are defined but never used",
    formula="requires_grad, no torch call of the first steps gets it, no gradient; one of several "
    "like parts in a list (experts, branches), or used in eval mode: a note",
    needs=("loader",),
    follows=("grad/loss-detached*", "optim/foreign-parameters", "grad/none", "loop/no-grad*"),
    advice="double-check the model actually is what you thought you defined",
    causes=("a layer that forward() forgets", "a layer of the same name twice"),
    fix="use it in forward(), or take it out of __init__()",
    false_positives="parts for another task, heads of pretrained models",
    source="exact",
)

ZERO = Rule(
    "grad/zero",
    kind="probe",
    stage="gradient",
    says="parameters get gradients of exactly zero",
    formula="max |gradient| = 0 over all backward passes of the first steps; a bias beside a "
    "weight that learns, or one of several like parts in a list: a note",
    needs=("loader",),
    follows=(
        "optim/rate-zero",
        "optim/no-update",
        "loss/blocked*",
        "loss/batch-softmax*",
        "loss/class-weights*",
        "model/output-range*",
        "data/*",
        "init/nonfinite*",
        "grad/none",
        "grad/loss-detached*",
        "optim/foreign-parameters",
    ),
    advice="check for accidental non-differentiability from max/min/etc.",
    causes=(
        "units that are all dead or saturated",
        "a clamp, round or sign that everything runs into",
        "weights that are all zero on both sides",
    ),
    fix="check the scale of inputs, weights and biases before the function named",
    false_positives="parts that no example of the first batches needs",
    source="exact; tested after steps, so that what starts at zero is open",
)

TINY = Rule(
    "grad/tiny",
    kind="probe",
    stage="gradient",
    says="gradients are tiny beside the weights",
    formula="rms(gradient) / rms(weight) < `ratio`, tensors of two axes and more",
    limits={"ratio": 1e-8},
    needs=("loader",),
    follows=("grad/zero", "grad/none", "loss/*", "init/*"),
    advice="check gradients, and do it thoroughly",
    causes=("saturated sigmoid or tanh units", "many layers without normalisation"),
    fix="normalise, or initialise for the non-linearity that is used",
    source="SageMaker Debugger VanishingGradient, made scale-free",
)


def _candidates(seen: Trained) -> list[Seen]:
    """Parameters that are meant to learn, and did not move by other means."""
    return [
        s
        for s in seen.seen.values()
        if s.parameter.requires_grad
        and not s.was_frozen
        and s.parameter.numel()
        and not s.received
        and not s.has_changed
        and seen.holds(s)
    ]


def _ways(bench: Bench) -> Paths:
    """What a plain forward pass tells, where one is possible: a loop may do it otherwise."""
    try:
        return bench.shared(paths)
    except Cannot:
        return Paths()


def _needed(bench: Bench) -> Trained:
    seen = bench.shared(trained)
    if not seen.n_backward:
        raise seen.error if seen.error is not None else Cannot("no backward pass was seen")
    if not any(s.received for s in seen.seen.values()):
        raise Cannot("the loss depends on no parameter of the model")
    return seen


@NONE.on_subject
def none(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for parameters that are used, yet never reached by a backward pass."""
    seen = _needed(bench)
    found = _candidates(seen)
    if not found:
        yield from _partly(seen)
        return
    way = _ways(bench)
    used = [s for s in found if _is_used(seen, way, s)]
    left_out = [s for s in used if s.name in way.unused_outputs]
    blocked = [s for s in used if s not in left_out]
    if blocked:
        yield _blocked(bench, seen, way, blocked)
    elif left_out:
        taken = _taken_as_number(bench)
        yield (NONE.warn if taken else NONE.note)(
            value=float(len(left_out)),
            where=taken or left_out[0].name,
            evidence=f"the loss does not use the output of {listed(_modules(left_out))}"
            + (", or uses it as a plain number" if taken else ""),
        )


def _taken_as_number(bench: Bench) -> str:
    """The line of the loss that makes a number of a tensor with a gradient; empty where none."""
    try:
        calls = bench.shared(traced).loss_calls
    except Cannot:
        return ""
    numbers = (c for c in calls if c.name in {"item", "tolist"})
    return next((c.where for c in numbers if c.where and c.given(0, "input").requires_grad), "")


def _partly(seen: Trained) -> Iterator[Finding]:
    """A call that nobody makes to stop a gradient, where other ways are left."""
    cut = next((c for c in seen.calls.cuts if c.how == "tensor" and c.where and c.leaves), None)
    if cut is not None:
        yield NONE.warn(
            value=float(len(cut.leaves)),
            limit=0.0,
            where=cut.where,
            evidence=f"torch.tensor() of a tensor cuts {len(cut.leaves)} parameters off there, "
            "though they get gradients another way",
            fix="use the tensor itself, or detach() where it is meant",
        )


def _is_used(seen: Trained, way: Paths, one: Seen) -> bool:
    return id(one.parameter) in seen.calls.used or one.name in way.used


def _blocked(bench: Bench, seen: Trained, way: Paths, found: Sequence[Seen]) -> Finding:
    ids = {id(s.parameter) for s in found}
    cut = seen.calls.cut_of(ids)
    how, where = (cut.how, cut.where) if cut else way.cut(bench, {s.name for s in found})
    is_meant = how == "torch.no_grad()" and (
        bench.subject.pretrained or {s.name for s in found} <= following(seen.model)
    )
    say = NONE.note if is_meant else NONE.fail if how else NONE.warn
    total = sum(s.parameter.requires_grad for s in seen.seen.values())
    return say(
        value=float(len(found)),
        limit=0.0,
        where=where or found[-1].name,
        evidence=f"{len(found)} of {total} parameters never get a gradient: "
        f"{listed([s.name for s in found])}"
        + (f"; {how} cuts them off" if how else "; nothing that reaches the loss uses them"),
    )


def _modules(found: Sequence[Seen]) -> list[str]:
    return list(dict.fromkeys(s.name.rpartition(".")[0] or s.name for s in found))


@UNUSED.on_subject
def unused(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for parameters that no call is given."""
    seen = _needed(bench)
    found = _candidates(seen)
    if not found:
        return
    way = _ways(bench)
    if not way.used and not seen.calls.used:
        raise Cannot("compiled or scripted code cannot be listened to")
    idle = [s for s in found if not _is_used(seen, way, s)]
    if not idle:
        return
    alarming = [
        s for s in idle if not _has_live_sibling(bench, seen, s) and s.name not in way.in_eval
    ]
    say = UNUSED.warn if alarming and not bench.subject.pretrained else UNUSED.note
    shown = alarming or idle
    yield say(
        value=float(len(shown)),
        limit=0.0,
        where=_place(seen.model, shown[0]),
        evidence=f"the forward pass never uses {listed(_modules(shown))}",
    )


def _place(model: nn.Module, one: Seen) -> str:
    """Where the module that holds a parameter's module is written."""
    owner = one.name.rpartition(".")[0]
    parent = model.get_submodule(owner.rpartition(".")[0])
    if type(parent).__module__.startswith("torch."):  # a list or a sequence
        parent = model
    place = place_of(type(parent))
    return f"{owner or one.name} of {place}" if ":" in place else owner or one.name


def _has_live_sibling(bench: Bench, seen: Trained, one: Seen) -> bool:
    """Whether it lies in one of several like parts of a list or dict, and another one learns."""
    import torch

    parts = one.name.split(".")
    for n in range(len(parts) - 1, 0, -1):
        holder = seen.model.get_submodule(".".join(parts[: n - 1]))
        if not isinstance(holder, (torch.nn.ModuleList, torch.nn.ModuleDict)):
            continue
        prefix, rest = ".".join(parts[: n - 1]), ".".join(parts[n:])
        others = [f"{prefix}.{key}.{rest}".lstrip(".") for key in holder._modules]
        alive = [o for o in others if o != one.name and o in seen.seen]
        if any(seen.seen[o].largest > 0 for o in alive):
            return True
    return False


@ZERO.on_subject
def zero(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for parameters whose gradient is exactly zero every time."""
    seen = _needed(bench)
    found = [
        s
        for s in seen.seen.values()
        if s.received and s.largest == 0.0 and s.is_finite and seen.holds(s) and s.parameter.numel()
    ]
    if not found:
        return
    if all(r == 0 for rates in seen.rates for r in rates) and seen.rates:
        raise Cannot("the learning rate is 0: what starts at zero stays closed")
    alarming = [s for s in found if not _is_harmless(bench, seen, s)]
    if alarming and _is_of_the_input(bench, seen, alarming):
        return
    if alarming and starts_constant(bench):
        raise Cannot("weights start all the same, and so do the outputs: init/constant-output")
    shown = alarming or found
    dead = _ways(bench).dead(bench) if alarming else None
    say = ZERO.fail if alarming else ZERO.note
    total = sum(s.received > 0 for s in seen.seen.values())
    yield say(
        value=0.0,
        limit=0.0,
        where=(dead.where or dead.name) if dead else shown[-1].name,
        evidence=f"the gradient of {len(shown)} of {total} parameters is exactly 0 in all of "
        f"{seen.n_backward} backward passes: {listed([s.name for s in shown])}"
        + (f"; all outputs of {dead.name} are {dead.what}" if dead else ""),
    )


def _is_harmless(bench: Bench, seen: Trained, one: Seen) -> bool:
    owner, _, own = one.name.rpartition(".")
    beside = [s for n, s in seen.seen.items() if n.rpartition(".")[0] == owner and s is not one]
    # a bias before a norm; the recurrent weight of a sequence of one
    is_minor = "bias" in own or "_hh_" in own
    if is_minor and any(s.largest > 0 for s in beside):
        return True
    return _has_live_sibling(bench, seen, one)


def _is_of_the_input(bench: Bench, seen: Trained, found: Sequence[Seen]) -> bool:
    """Whether only weights with biases that learn stand still, because the input has no say."""
    from labbook.checks.rules.input_reach import disconnected

    lone = [s for s in found if not _has_live_bias(seen, s)]
    try:
        return not lone and any(is_sure for _, is_sure in bench.shared(disconnected))
    except Cannot:
        return False


def _has_live_bias(seen: Trained, one: Seen) -> bool:
    bias = seen.seen.get(f"{one.name.rpartition('.')[0]}.bias".lstrip("."))
    return bias is not None and bias.largest > 0


@TINY.on_subject
def tiny(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare gradients with the weights they belong to."""
    found: list[tuple[float, str]] = []
    for s in _needed(bench).seen.values():
        scale = float(s.start.double().pow(2).mean().sqrt()) if s.start.numel() else 0.0
        if s.start.ndim >= 2 and scale > 0 and s.rms > 0 and s.rms / scale < limits["ratio"]:
            found.append((s.rms / scale, s.name))
    if found:
        value, name = min(found)
        yield TINY.note(
            value=value,
            limit=limits["ratio"],
            where=name,
            evidence=f"{len(found)} tensors; the smallest ratio is {value:.1e}, of {name}",
        )
