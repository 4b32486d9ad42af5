"""Where the way from the loss back to the outputs is cut for some of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench
from labbook.checks.descent import HARD, Free, free_outputs
from labbook.checks.finding import Finding
from labbook.checks.looped import rooted
from labbook.checks.losses import loss_kind
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.torch_calls import Call, torch_calls
from labbook.checks.traced import Trace

if TYPE_CHECKING:
    from torch import Tensor

BLOCKED = Rule(
    "loss/blocked-gradient",
    kind="probe",
    stage="gradient",
    says="many outputs get no gradient from the loss",
    formula="free outputs drawn 4 to 64 times from N(0, 1): among those that ever get a gradient, "
    "the mean share with exactly none > share, or none ever gets one. Fail where a clamp, minimum, "
    "maximum or rounding on the way is the only use of what it is given; else note",
    limits={"share": 0.25},
    follows=("init/nonfinite", "grad/loss-detached", "data/target-range", "loss/batch-softmax"),
    advice="clipping the output or the loss is not the same as clipping the gradients!",
    causes=("clamp() on the outputs or on the loss", "rounding in the loss"),
    fix="drop the clamp; clip gradients with torch.nn.utils.clip_grad_norm_",
    false_positives="hinges and hard mining leave out part by design: noted only",
    source="Shelhamer, DIY Deep Learning; Karpathy: clipped the loss instead of the gradients",
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
_DRAWN = 2048
_UNIT = frozenset(("normalize", "cosine_similarity", "cdist"))


@BLOCKED.on_subject
def blocked(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Which free outputs get no gradient at some values, though they do at others?"""
    in_loop = rooted(bench)
    by_loop = _clamp_of_loop(in_loop, limits["share"]) if in_loop is not None else None
    if by_loop is not None:
        call, cut = by_loop
        yield BLOCKED.fail(
            value=cut,
            limit=limits["share"],
            where=call.where or "train()",
            evidence=f"{call.name}() changes {cut:.0%} of what it is given on the way to backward()"
            ": no gradient passes there",
            fix=f"drop {call.name}() from the way to the loss",
        )
        return
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
    if by is not None and not is_all and any(c.name in _UNIT for c in free.seen.calls):
        return  # unit vectors and cosines do not go where the free numbers were cut
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
            free.start(scale=1.0, seed=seed + n, flat=HARD)
            values.append(free.value().double().item())
    return all(abs(value - values[0]) <= 1e-7 * abs(values[0]) for value in values)


def _loss_place(bench: Bench) -> str:
    return place_of(bench.subject.loss) if bench.subject.loss is not None else ""


def _blocked_share(bench: Bench, free: Free) -> tuple[float, bool]:
    """(mean share without gradient among those that ever get one, whether none ever does)."""
    import torch

    dead: list[list[Tensor]] = []
    n_draws = max(4, min(64, _DRAWN // max(1, sum(root.numel() for root in free.roots))))
    for seed in range(n_draws):
        bench.tick()
        free.start(scale=1.0, seed=bench.seed + seed, flat=HARD)
        dead.append([grad == 0 for grad in free.gradients()])
    alive = [torch.stack(draws).logical_not().any(0) for draws in zip(*dead, strict=True)]
    n_alive = sum(int(a.sum()) for a in alive)
    if n_alive == 0:
        return 1.0, True
    n_dead = sum(int((d & a).sum()) for draw in dead for d, a in zip(draw, alive, strict=True))
    return n_dead / (n_draws * n_alive), False


def _clamp_of_loop(seen: Trace, limit: float) -> tuple[Call, float] | None:
    """(the call, the share it changes) of a clamp between the model and backward()."""
    calls = seen.loss_calls
    for call in calls:
        given = [t for t in leaves((call.args, call.kwargs)) if t.requires_grad]
        if call.name not in _CLAMPS or len(given) != 1 or not _cuts(call, given[0]):
            continue
        if not call.result.requires_grad or _n_uses(calls, given[0]) > 1:
            continue
        share = float((call.result.detach() != given[0].detach()).double().mean())
        if share > limit and seen.leads(call):
            return call, share
    return None


def _n_uses(calls: list[Call], tensor: Any) -> int:
    """Calls that take this tensor and lead on."""
    return sum(
        any(t is tensor for t in leaves((c.args, c.kwargs)))
        for c in calls
        if any(t.requires_grad for t in leaves(c.result))
    )


def _clamp(bench: Bench, free: Free) -> Call | None:
    """The call that cuts: of something that requires a gradient and goes nowhere else."""
    import torch

    free.start(scale=1.0, seed=bench.seed, flat=HARD)
    calls: list[Call] = []
    with torch_calls(calls):
        try:
            output = free.output()
            seen = Trace(free.seen.model, free.seen.batch, calls, loss=free.loss(output))
        except Cannot:
            return None
    in_tail = {c.name: c for c in free.seen.calls[: free.seen.n_model] if c.name in _CLAMPS}
    for call in calls:
        given = [t for t in leaves((call.args, call.kwargs)) if t.requires_grad]
        if call.name not in _CLAMPS or len(given) != 1 or not _cuts(call, given[0]):
            continue  # of two that require a gradient, the other one gets it
        if _n_uses(calls, given[0]) > 1 or not seen.leads(
            call
        ):  # what is clamped is used unclamped too
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
