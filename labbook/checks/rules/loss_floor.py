"""How low a loss can go, and what weighs in it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labbook.checks.agreeing import agreement
from labbook.checks.batch import leaves
from labbook.checks.bench import Bench
from labbook.checks.descent import MANY, descended
from labbook.checks.finding import Finding
from labbook.checks.losses import LOSS_KINDS
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.torch_calls import Call, torch_calls
from labbook.checks.traced import Trace, traced

if TYPE_CHECKING:
    from torch import Tensor

FLOOR = Rule(
    "loss/floor",
    kind="probe",
    stage="loss",
    says="no output can bring the loss near its smallest value",
    formula="after 200 Adam steps on free outputs (before the model's last activation), at rest: "
    "(value - smallest)/(value at zero - smallest) > gap, for the one call of a cross-entropy; "
    "smallest: the same call, same targets and weights, on logits that are free",
    limits={"gap": 0.3},
    follows=(
        "loss/sign",
        "loss/probabilities-as-logits",
        "loss/batch-softmax",
        "loss/blocked-gradient",
        "grad/loss-detached",
        "model/output-range",
        "data/target-range",
        "init/nonfinite",
    ),
    advice="check that the loss can be met: outputs on the targets should make it small",
    causes=(
        "a softmax or sigmoid before a loss that takes logits",
        "outputs that are bounded: tanh, or cosines without a scale",
    ),
    fix="give the loss raw scores, without a bound",
    false_positives="bounded scores on purpose, as a regularizer",
    source="softmax twice cannot go below log(1 + (C-1)/e): 1.46 for 10 classes",
)

WEIGHTS = Rule(
    "loss/class-weights",
    kind="probe",
    stage="loss",
    says="the class weights do not fit the classes",
    formula="weight of cross_entropy and nll_loss against class counts n of 4,000 or more targets "
    "(≥ 30 a class): another length than classes: fail; zero for a class that occurs (but for a "
    "single first or last class): warn; log w on log n with slope > 0.75 and r > 0.95, n spread "
    "over ≥ 2: warn; sorted w ∝ 1/n (r < -0.95) while in order r > -0.3: warn. pos_weight within "
    "a factor 1.5 of positives/negatives, where that is < 1/2 or > 2: warn",
    follows=("init/nonfinite", "data/target-range"),
    advice="histogram targets to see range and imbalance",
    causes=(
        "frequencies instead of their inverse",
        "weights in the order of another list of classes",
        "a weight left at zero",
    ),
    fix="weight = n.sum() / (n_classes * n), with n counted in the order of the labels",
    false_positives="frequent classes that are meant to count more",
    source="torch.nn.functional.cross_entropy",
)

_CROSS = {"ce", "nll", "bce", "bce-logits"}
_ENOUGH = 4000
_FREE_STEPS, _FREE_RATE = 150, 0.5


@FLOOR.on_subject
def floor(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare where the descent comes to rest with what the loss function could reach."""
    path = bench.shared(descended)
    calls: list[Call] = []
    with torch_calls(calls):
        path.free.loss(path.output)
    known = [c for c in calls if c.name in LOSS_KINDS]
    if len(known) != 1 or LOSS_KINDS[known[0].name] not in _CROSS:
        raise Cannot("the loss is not made of one cross-entropy: its smallest value is not known")
    if _is_outside(known[0]):
        raise Cannot("some targets lie outside 0 to 1, and are masked: no smallest value is known")
    late = path.losses[-1 - len(path.losses) // 4]
    reached = float(known[0].result.double().mean())
    start, lowest = _free_floor(bench, known[0])
    if start - lowest < 1e-3:
        return
    if abs(late - path.losses[-1]) > 0.02 * abs(path.losses[0] - path.losses[-1]):
        raise Cannot("the descent over outputs has not come to rest")
    gap = (reached - lowest) / (start - lowest)
    if not gap > limits["gap"] or agreement(bench, path) < 0.5:
        return
    yield FLOOR.warn(
        value=gap,
        limit=limits["gap"],
        where=known[0].where or place_of(bench.subject.loss),
        evidence=f"with the best outputs possible, {known[0].name} is {reached:.4g}; "
        f"it could be {lowest:.4g}",
    )


def _is_outside(call: Call) -> bool:
    target = call.given(1, "target")
    if not target.is_floating_point():
        return False
    return bool(((target < 0) | (target > 1)).any())


def _free_floor(bench: Bench, call: Call) -> tuple[float, float]:
    """(at zero, smallest) of the loss function over free logits."""
    import torch

    kind = LOSS_KINDS[call.name]
    free = torch.zeros_like(call.given(0, "input"), dtype=torch.float32).requires_grad_()
    is_large = free.numel() > MANY
    optimizer = torch.optim.Adam([free], 2 * _FREE_RATE if is_large else _FREE_RATE)
    kwargs = {name: value for name, value in call.kwargs.items() if name != "input"}
    values: list[float] = []
    for _ in range(_FREE_STEPS // 3 if is_large else _FREE_STEPS):
        bench.tick()
        given: Tensor = free
        if kind == "nll":
            given = free.log_softmax(1 if free.ndim > 1 else 0)
        elif kind == "bce":
            given = free.sigmoid()
        value = call.function(given, *call.args[1:], **kwargs).mean()
        values.append(value.detach().double().item())
        [free.grad] = torch.autograd.grad(value, [free])
        optimizer.step()
    return values[0], min(values)


@WEIGHTS.on_subject
def class_weights(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Hold each loss function's weights against the targets it gets."""
    seen = bench.shared(traced)
    weighted = [c for c in seen.known() if _weight(c) is not None]
    if not weighted:
        raise Cannot("the loss has no class weights")
    for call in weighted:
        is_binary = LOSS_KINDS[call.name] == "bce-logits"
        said = _binary(bench, seen, call) if is_binary else _classes(bench, seen, call)
        if said is not None:
            status, evidence = said
            yield WEIGHTS.found(
                status, where=call.where or place_of(bench.subject.loss), evidence=evidence
            )
            return


def _weight(call: Call) -> Tensor | None:
    import torch

    kind = LOSS_KINDS[call.name]
    found: Any = None
    if kind in {"ce", "nll"}:
        found = call.given(2, "weight")
    elif kind == "bce-logits":
        found = call.given(6, "pos_weight")
    return found if isinstance(found, torch.Tensor) else None


def _targets(bench: Bench, seen: Trace, call: Call) -> Tensor:
    """Of many batches where the loss gets them as they are, else of the first."""
    import torch

    target: Tensor = call.given(1, "target")
    if not seen.is_target_itself(target) or len(list(leaves(seen.batch.target))) != 1:
        return target
    n_batches = max(8, -(-_ENOUGH // max(1, target.numel())))
    parts = [next(leaves(b.target)).to(target.device) for b in bench.first(n_batches)]
    if target.is_floating_point() and target.ndim > 1:
        return torch.cat([p.reshape(-1, target.shape[-1]) for p in parts])
    return torch.cat([p.reshape(-1) for p in parts])


def _classes(bench: Bench, seen: Trace, call: Call) -> tuple[Any, str] | None:
    import torch

    given, weight = call.given(0, "input"), _weight(call)
    n_classes = int(given.shape[1 if given.ndim > 1 else 0])
    if weight is None:
        return None
    if weight.numel() != n_classes:
        return "fail", f"{weight.numel()} class weights for {n_classes} classes"
    target = _targets(bench, seen, call)
    if target.is_floating_point():
        return None
    target = target[(target >= 0) & (target < n_classes)].long()
    counts = torch.bincount(target.reshape(-1), minlength=n_classes).double()
    zero = [c for c in range(n_classes) if weight[c] == 0 and counts[c] > 0]
    if zero:
        is_idiom = len(zero) == 1 and n_classes > 2 and zero[0] in {0, n_classes - 1}
        share = float(counts[zero].sum() / counts.sum())
        names = ", ".join(map(str, zero[:8]))
        text = f"weight 0 for class {names}, {share:.0%} of the targets: they teach nothing"
        return ("note" if is_idiom else "warn"), text
    return _against(weight.double().cpu(), counts.cpu())


def _against(weight: Tensor, counts: Tensor) -> tuple[Any, str] | None:
    """Weights that grow with the counts, or are the right ones in another order."""
    present = counts > 0
    w, n = weight[present].log(), counts[present].log()
    if len(n) < 2 or int(counts.sum()) < 30 * len(counts):
        return None
    if float(n.max() - n.min()) < math.log(2) or float(w.max() - w.min()) < 0.1:
        return None
    slope, r = _line(n, w)
    if slope > 0.75 and r > 0.95:
        return "warn", "the class weights grow with the class counts: frequent classes weigh more"
    turned_slope, turned = _line(n.sort().values, w.sort(descending=True).values)
    if len(n) > 2 and turned < -0.95 and -1.3 < turned_slope < -0.7 and r > -0.3:
        return "warn", "the class weights are those of the counts, in another order of classes"
    return None


def _line(x: Tensor, y: Tensor) -> tuple[float, float]:
    """(slope, correlation) of y on x."""
    dx, dy = x - x.mean(), y - y.mean()
    spread = float((dx * dx).sum())
    size = math.sqrt(spread * float((dy * dy).sum()))
    return float((dx * dy).sum()) / max(spread, 1e-12), float((dx * dy).sum()) / max(size, 1e-12)


def _binary(bench: Bench, seen: Trace, call: Call) -> tuple[Any, str] | None:
    weight = _weight(call)
    target = _targets(bench, seen, call).double()
    if weight is None or target.numel() < 60 or weight.numel() != 1:
        return None
    share = float(target.mean())
    ratio = share / max(1 - share, 1e-9)
    value = float(weight.reshape(()))
    if 0.5 <= ratio <= 2 or ratio == 0 or not 2 / 3 < value / ratio < 3 / 2:
        return None
    text = f"pos_weight {value:.3g} is positives/negatives; rare positives need {1 / ratio:.3g}"
    return "warn", text
