"""Targets are what the loss function takes: class numbers, probabilities, counts.

Held against the call of torch's own loss function, so that what the user's loss does to the
targets first is counted in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.losses import LOSS_KINDS
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.traced import Trace, trace, traced

if TYPE_CHECKING:
    from torch import Tensor

    from labbook.checks.torch_calls import Call

RANGE = Rule(
    "data/target-range",
    kind="probe",
    stage="target",
    says="targets lie outside what the loss takes",
    formula="in the first 8 batches: class numbers outside [0, C) that are not ignore_index; "
    "probabilities outside [0, 1]; negative counts for the Poisson loss; elements whose loss gets "
    "no gradient are left out. Rows of class probabilities that do not sum to 1 within 1e-3: warn",
    advice="histogram targets to see range and imbalance",
    causes=(
        "labels that start at 1",
        "fewer outputs than classes",
        "a marker for missing labels that is not the loss's ignore_index",
        "labels cast to bytes: -1 becomes 255",
    ),
    fix="give class numbers 0 … C-1, or set ignore_index",
    false_positives="none known: torch raises, or computes something else",
    source="torch.nn.functional; Shelhamer, DIY Deep Learning",
)

DTYPE = Rule(
    "data/target-dtype",
    kind="probe",
    stage="target",
    says="the type of the targets changes their values in the loss",
    formula="in the loss, on one batch: unsigned targets that an operation takes below 0 or above "
    "their largest number (fail), targets with fractions that are cast to integers (warn)",
    advice="check for casting, especially to lower precision. what's -1 for a byte?",
    causes=("arithmetic on uint8 targets", "regression targets cast with .long() or .int()"),
    fix="cast targets before arithmetic: y.long() for classes, y.float() for values",
    false_positives="values binned on purpose: written as one .long() without arithmetic before it",
    source="Shelhamer, DIY Deep Learning",
)

BATCHES = 8
_SUM_LIMIT = 1e-3
_PROBABILITY = {"bce", "bce-logits"}


@RANGE.on_subject
def target_range(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """The first batch by the loss's own calls, the others by the targets they deliver."""
    seen = bench.shared(traced)
    calls = [c for c in seen.known() if isinstance(c.given(1, "target"), _tensor())]
    if not calls:
        raise Cannot("the loss gives no targets to one of torch's loss functions")
    for n, call in enumerate(calls):
        for at, target in _targets(bench, seen, n, call):
            said = _wrong(call, target)
            if said is None:
                continue
            status, value, evidence, fix = said
            yield RANGE.found(
                status,
                value=value,
                where=call.where or place_of(bench.subject.loss) or call.name,
                evidence=f"{evidence}, in batch {at}",
                fix=fix or RANGE.fix,
            )
            return


def _tensor() -> type:
    import torch

    return torch.Tensor


def _targets(bench: Bench, seen: Trace, n: int, call: Call) -> Iterator[tuple[int, Tensor]]:
    """(batch, what the loss function is given as its target), where it counts."""
    first = call.given(1, "target")
    yield 0, first[_counts(seen, call)]
    own = list(leaves(seen.batch.target))
    is_own = seen.is_target_itself(first) and len(own) == 1
    for at, batch in enumerate(bench.first(BATCHES)[1:], 1):
        bench.tick()
        if is_own and call.given(2, "weight") is None and call.result is not None:
            found = next(leaves(batch.target), None)
            if found is not None and _is_plain(call):
                yield at, found
                continue
        other = trace(bench, bench.model(), batch)
        same = other.known()
        if n < len(same) and isinstance(same[n].given(1, "target"), _tensor()):
            yield at, same[n].given(1, "target")[_counts(other, same[n])]


def _is_plain(call: Call) -> bool:
    return bool(call.given(6, "reduction", "mean") != "none")


def _counts(seen: Trace, call: Call) -> Any:
    """Which elements of the target have a part in the loss; `...` for all."""
    import torch

    result, target = call.result, call.given(1, "target")
    if seen.loss is None or result is None or not result.requires_grad:
        return ...
    if result.ndim == 0 or result.shape != target.shape or not seen.loss.requires_grad:
        return ...
    with torch.enable_grad():
        [grad] = torch.autograd.grad(seen.loss, [result], retain_graph=True, allow_unused=True)
    return ... if grad is None else grad != 0


def _wrong(call: Call, target: Tensor) -> tuple[Any, float, str, str] | None:
    kind = LOSS_KINDS[call.name]
    if target.numel() == 0:
        return None
    if kind in {"ce", "nll"}:
        given = call.given(0, "input")
        n_classes = int(given.shape[1 if given.ndim > 1 else 0])
        if target.is_floating_point():
            return _wrong_probabilities(target, n_classes)
        return _wrong_classes(target, n_classes, int(call.given(4, "ignore_index", -100)))
    low, high = float(target.min()), float(target.max())
    if kind in _PROBABILITY and (low < 0 or high > 1):
        worst = low if low < 0 else high
        text = f"{call.name} takes targets in [0, 1] and gets {low:.4g} to {high:.4g}"
        return "fail", worst, text, "map the targets to 0 and 1, and mask those that are missing"
    if call.name == "poisson_nll_loss" and low < 0:
        text = f"{call.name} takes counts and gets {low:.4g}"
        return "fail", low, text, "use another loss for values below zero: counts have none"
    return None


def _wrong_classes(
    target: Tensor, n_classes: int, ignored: int
) -> tuple[Any, float, str, str] | None:
    real = target[target != ignored].long()
    outside = real[(real < 0) | (real >= n_classes)]
    if outside.numel() == 0:
        return None
    worst = int(outside[0])
    text = (
        f"{outside.numel()} of {real.numel()} targets lie outside 0 … {n_classes - 1}, "
        f"such as {worst}"
    )
    fix = ""
    if bool((outside == n_classes).all()) and not bool((real == 0).any()):
        text += "; class 0 never occurs: the labels start at 1"
        fix = "give the loss the labels less one: y - 1"
    elif bool((outside == 255).all()):
        text += "; -1 in a byte, or the usual mark for no label"
        fix = "set ignore_index=255, or keep the labels out of uint8"
    elif bool((outside == -1).all()):
        fix = "set ignore_index=-1 if that marks examples without a label"
    elif bool((outside >= n_classes).all()):
        fix = (
            f"the model needs at least {int(outside.max()) + 1} outputs, or there are wrong labels"
        )
    return "fail", float(worst), text, fix


def _wrong_probabilities(target: Tensor, n_classes: int) -> tuple[Any, float, str, str] | None:
    if target.ndim == 0 or target.shape[1 if target.ndim > 1 else 0] != n_classes:
        return None
    low = float(target.min())
    if low < 0:
        return "fail", low, f"class probabilities of {low:.4g}, below zero", "give probabilities"
    total = target.sum(1 if target.ndim > 1 else 0)
    total = total[total != 0]  # a row of zeros counts for nothing
    off = float((total - 1).abs().max()) if total.numel() else 0.0
    if off <= _SUM_LIMIT:
        return None
    text = f"rows of class probabilities sum to up to {float(total.max()):.4g}, not to 1"
    fix = "several classes at once: use binary_cross_entropy_with_logits; else divide by the sum"
    return "warn", off, text, fix


@DTYPE.on_subject
def target_dtype(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at arithmetic and casts of targets in the loss."""
    seen = bench.shared(traced)
    if bench.subject.loss is None:
        raise Cannot("no loss= given: what a model does with its targets is its own")
    ours = seen.of_target()
    if not ours:
        raise Cannot("the batches have no targets")
    for call in seen.loss_calls:
        given = [t for t in leaves((call.args, call.kwargs)) if id(t) in ours]
        if not given:
            continue
        said = _wrapped(call, given[0]) or _cut(seen, call, given[0])
        if said is not None:
            status, evidence, fix = said
            where = call.where or place_of(bench.subject.loss)
            yield DTYPE.found(status, where=where, evidence=evidence, fix=fix)
            return


_ARITHMETIC = {
    "add": 1, "__add__": 1, "__radd__": 1, "sub": -1, "__sub__": -1, "subtract": -1,
    "mul": 2, "__mul__": 2, "__rmul__": 2, "rsub": -2, "__rsub__": -2, "neg": 0, "__neg__": 0,
}  # fmt: skip


def _wrapped(call: Call, target: Tensor) -> tuple[Any, str, str] | None:
    """Unsigned bytes that went below zero or above 255."""
    import torch

    result = call.result
    if target.dtype is not torch.uint8 or call.name not in _ARITHMETIC or result is None:
        return None
    if result.dtype is not torch.uint8:
        return None
    args = [a.long() if isinstance(a, torch.Tensor) else a for a in call.args]
    exact = call.function(*args, **call.kwargs)
    if not torch.equal(exact, result.long()):
        wrong = result[exact != result.long()][0].item()
        text = f"arithmetic on uint8 targets: {exact[exact != result.long()][0].item()} "
        return "fail", text + f"became {wrong}", "cast the targets first: y.long()"
    return None


def _cut(seen: Trace, call: Call, target: Tensor) -> tuple[Any, str, str] | None:
    """Fractions that a cast to integers dropped."""
    result = call.result
    if not target.is_floating_point() or not seen.is_target_itself(target):
        return None
    is_cast = call.name in {"long", "int", "short", "to", "type"} and result is not None
    if not is_cast or result.is_floating_point() or "bool" in str(result.dtype):
        return None
    share = float((target != target.trunc()).double().mean())
    if share == 0:
        return None
    text = f"{share:.0%} of the targets have a fraction that the cast to {result.dtype} drops"
    return "warn", text, "use the targets as they are: y.float()"
