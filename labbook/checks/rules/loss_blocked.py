"""Where the way from the loss back to the outputs is cut: wholly, or for some of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench
from labbook.checks.descent import Free, free_outputs
from labbook.checks.finding import Finding
from labbook.checks.losses import loss_kind
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.torch_calls import Call, torch_calls
from labbook.checks.traced import Trace, traced

if TYPE_CHECKING:
    from torch import Tensor

DETACHED = Rule(
    "grad/loss-detached",
    kind="probe",
    stage="gradient",
    says="the loss has no gradient: nothing leads from it back to the outputs",
    formula="the outputs require a gradient and the loss does not, or it depends on none of them",
    follows=("init/nonfinite", "data/target-range"),
    advice="check for accidental non-differentiability",
    causes=(
        "arg-max or a comparison instead of scores",
        "detach(), item(), numpy() or torch.tensor() on the way",
        "the loss is computed under no_grad()",
    ),
    fix="compute the loss from the scores themselves",
    source="Shelhamer, DIY Deep Learning",
)

BLOCKED = Rule(
    "loss/blocked-gradient",
    kind="probe",
    stage="gradient",
    says="many outputs get no gradient from the loss",
    formula="free outputs drawn four times from N(0, 1): among those that ever get a gradient, the "
    "mean share with exactly none > share, or none ever gets one. Fail where a clamp, minimum, "
    "maximum or rounding on the way is the only use of what it is given; else note",
    limits={"share": 0.25},
    follows=("init/nonfinite", "grad/loss-detached", "data/target-range", "loss/batch-softmax"),
    advice="clipping the output or the loss is not the same as clipping the gradients!",
    causes=("clamp() on the outputs or on the loss", "rounding in the loss"),
    fix="drop the clamp; clip gradients with torch.nn.utils.clip_grad_norm_",
    false_positives="hinges and hard mining leave out part by design: noted only",
    source="Shelhamer, DIY Deep Learning; Karpathy: clipped the loss instead of the gradients",
)

_CUTS = frozenset(
    [
        "detach",
        "detach_",
        "data",
        "argmax",
        "item",
        "numpy",
        "tolist",
        "argsort",
        "bool",
        "__bool__",
        "gt",
        "lt",
        "ge",
        "le",
        "eq",
        "ne",
        "__gt__",
        "__lt__",
        "__ge__",
        "__le__",
        "__eq__",
        "__ne__",
        "tensor",
        "round_",
        "topk",
        "max",
    ]
)
_CLAMPS = frozenset(
    [
        "clamp",
        "clip",
        "clamp_",
        "clip_",
        "clamp_min",
        "clamp_max",
        "clamp_min_",
        "clamp_max_",
        "minimum",
        "maximum",
        "min",
        "max",
        "hardtanh",
        "relu6",
        "round",
        "floor",
        "ceil",
        "trunc",
        "fmin",
        "fmax",
        "round_",
        "sign",
        "sgn",
        "nan_to_num",
    ]
)


@DETACHED.on_subject
def detached(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Is there a way from the loss to the outputs?"""
    import torch

    seen = bench.shared(traced)
    if seen.error is not None:
        raise seen.error
    if bench.subject.loss is None or not isinstance(seen.value, torch.Tensor):
        yield from _no_tensor(bench, seen)
        return
    outputs = [t for t in leaves(seen.output) if t.requires_grad]
    if not outputs:
        raise Cannot("the model's outputs require no gradient")
    if seen.loss is None:
        raise Cannot(f"the loss returned shape {tuple(seen.value.shape)}, not one number")
    if seen.loss.requires_grad:
        with torch.enable_grad():
            grads = torch.autograd.grad(seen.loss, outputs, retain_graph=True, allow_unused=True)
        if any(grad is not None for grad in grads):
            return
    yield from _cut(bench, seen)


def _no_tensor(bench: Bench, seen: Trace) -> Iterator[Finding]:
    """A loss that is a plain number has lost its graph."""
    import torch

    if isinstance(seen.value, torch.Tensor):
        if not seen.value.requires_grad:
            yield from _cut(bench, seen)
        return
    if not isinstance(seen.value, (int, float)) and not hasattr(seen.value, "__float__"):
        raise Cannot(f"the loss returned a {type(seen.value).__name__}")
    yield from _cut(bench, seen, f"; it returns a {type(seen.value).__name__}, not a tensor")


def _cut(bench: Bench, seen: Trace, more: str = "") -> Iterator[Finding]:
    calls = [
        c
        for c in seen.loss_calls
        if any(t.requires_grad for t in leaves((c.args, c.kwargs)))
        and not any(t.requires_grad for t in leaves(c.result))
        and c.name in _CUTS
    ]
    by = calls[0] if calls else None
    how = (
        f"it ends at {by.name.strip('_')}()" if by is not None else "it is computed without a graph"
    )
    where = by.where if by is not None else ""
    yield DETACHED.fail(
        where=where or place_of(bench.subject.loss),
        evidence=f"no gradient leads from the loss to the outputs: {how}{more}",
    )


@BLOCKED.on_subject
def blocked(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Which free outputs get no gradient at some values, though they do at others?"""
    free = free_outputs(bench)
    share, is_all = _blocked_share(bench, free)
    if not is_all and share <= limits["share"]:
        return
    by = _clamp(bench, free)
    if is_all and by is None and is_same(free, bench.seed):
        raise Cannot("the loss does not depend on the outputs at all: loss/constant")
    is_hinge = bench.shared(loss_kind) in {"hinge", "contrastive", "ctc"}
    if by is None and not is_all:
        if not is_hinge:
            text = f"{share:.0%} of free outputs get no gradient"
            yield BLOCKED.note(value=share, limit=limits["share"], where=_loss_place(bench),
                               evidence=text)  # fmt: skip
        return
    how = f" through {by.name}()" if by is not None else ""
    yield BLOCKED.fail(
        value=share,
        limit=limits["share"],
        where=(by.where if by is not None else "") or _loss_place(bench),
        evidence=f"{share:.0%} of free outputs get no gradient{how}",
        fix=f"drop {by.name}() from the way to the loss" if by is not None else BLOCKED.fix,
    )


def is_same(free: Free, seed: int) -> bool:
    """Whether free outputs of four draws have one and the same loss."""
    import torch

    values = []
    with torch.no_grad():
        for n in range(4):
            free.start(scale=1.0, seed=seed + n)
            values.append(free.value().double().item())
    return all(abs(value - values[0]) <= 1e-7 * abs(values[0]) for value in values)


def _loss_place(bench: Bench) -> str:
    return place_of(bench.subject.loss) if bench.subject.loss is not None else ""


def _blocked_share(bench: Bench, free: Free) -> tuple[float, bool]:
    """(mean share without gradient among those that ever get one, whether none ever does)."""
    import torch

    dead: list[list[Tensor]] = []
    for seed in range(4):
        bench.tick()
        free.start(scale=1.0, seed=bench.seed + seed)
        dead.append([grad == 0 for grad in free.gradients()])
    alive = [torch.stack(draws).logical_not().any(0) for draws in zip(*dead, strict=True)]
    n_alive = sum(int(a.sum()) for a in alive)
    if n_alive == 0:
        return 1.0, True
    n_dead = sum(int((d & a).sum()) for draw in dead for d, a in zip(draw, alive, strict=True))
    return n_dead / (4 * n_alive), False


def _clamp(bench: Bench, free: Free) -> Call | None:
    """The call that cuts: of something that requires a gradient and goes nowhere else."""
    import torch

    free.start(scale=1.0, seed=bench.seed)
    calls: list[Call] = []
    with torch_calls(calls):
        try:
            output = free.output()
            free.loss(output)
        except Cannot:
            return None
    in_tail = {c.name: c for c in free.seen.calls[: free.seen.n_model] if c.name in _CLAMPS}
    for call in calls:
        given = [t for t in leaves((call.args, call.kwargs)) if t.requires_grad]
        if call.name not in _CLAMPS or len(given) != 1 or not _cuts(call, given[0]):
            continue  # of two that require a gradient, the other one gets it
        users = sum(any(t is given[0] for t in leaves((c.args, c.kwargs))) for c in calls
                    if any(t.requires_grad for t in leaves(c.result)))  # fmt: skip
        if users > 1:  # what is clamped is used unclamped too
            continue
        original = in_tail.get(call.name)
        found = call if call.where or original is None else original
        return found if isinstance(call.result, torch.Tensor) else None
    return None


def _cuts(call: Call, given: Any) -> bool:
    """Whether the call changed some of the numbers it was given."""
    import torch

    result = call.result
    if not isinstance(result, torch.Tensor) or result.shape != given.shape:
        return False
    return not torch.equal(result.detach(), given.detach())
