"""A loss of torch's gets what it takes: logits, log-probabilities or probabilities.

Seen from the functions themselves: which one made the tensor that the loss is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.looped import traces
from labbook.checks.losses import LOSS_KINDS
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.traced import PICKING, RESHAPING, Trace

if TYPE_CHECKING:
    from labbook.checks.torch_calls import Call

AS_LOGITS = Rule(
    "loss/probabilities-as-logits",
    kind="probe",
    stage="loss",
    says="the loss takes logits and gets probabilities, or the reverse",
    formula="the function that made the tensor given to cross_entropy, nll_loss, binary_cross_"
    "entropy(_with_logits) or kl_div, through reshaping, picking and clamping; for cross_entropy "
    "also rows within 1e-4 of a distribution; for nll_loss and kl_div values above 1e-4 or "
    "Σ exp outside [0.5, 1.5]; for binary_cross_entropy values outside [0, 1]",
    follows=("init/nonfinite", "data/target-range", "loss/batch-softmax"),
    advice="know what your loss takes: a softmax before cross-entropy is a softmax twice",
    causes=(
        "a softmax or sigmoid at the end of the model, and again inside the loss",
        "the loss for probabilities instead of the one for logits",
    ),
    fix="give cross_entropy and binary_cross_entropy_with_logits the model's raw scores",
    source="torch.nn.functional; with C classes a softmax twice cannot go below log(1+(C-1)/e)",
)

BATCH_SOFTMAX = Rule(
    "loss/batch-softmax",
    kind="probe",
    stage="loss",
    says="the softmax runs over the batch instead of the classes",
    formula="softmax or log_softmax over axis 0 of outputs (examples, classes, …), handed to a "
    "loss, or in the loss of integer targets (examples,)",
    follows=("init/nonfinite",),
    advice="check the axis: each example's probabilities sum to one, not each class's",
    causes=("dim=0 in softmax or log_softmax", "dim left out for a tensor of three axes"),
    fix="softmax(output, dim=1)",
    false_positives="axis 0 is not the batch; a contrastive loss over both axes is left alone",
    source="torch.nn.functional._get_softmax_dim; Karpathy, A Recipe for Training Neural Networks",
)

_PROBABILITIES = frozenset(("softmax", "softmin", "sigmoid", "gumbel_softmax", "hardsigmoid"))
_LOGARITHMS = frozenset(("log_softmax", "logsigmoid", "log_sigmoid"))
_SOFTMAX = frozenset(("softmax", "log_softmax"))
_THROUGH = RESHAPING | PICKING | {"clamp", "clip", "clamp_min", "clamp_max", "clamp_"}
_IN_PLACE = frozenset(
    ["view", "reshape", "flatten", "contiguous", "clone", "float", "double", "to", "type_as"]
)
_EPS = 1e-4


@AS_LOGITS.on_subject
def as_logits(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at what each loss function is given."""
    calls = [
        (seen, call)
        for seen in traces(bench)
        for call in seen.loss_calls
        if call.name in LOSS_KINDS or call.name in _LOGARITHMS
    ]
    if not calls:
        raise Cannot("the loss calls none of torch's loss functions")
    said_before: set[str] = set()
    for seen, call in calls:
        given = call.given(0, "input")
        said = _verdict(seen, call, given) if _is_float(given) and given.requires_grad else None
        if said is None or not seen.leads(call):
            continue
        status, evidence, fix, made_by = said
        if evidence in said_before:  # by the loss, and again in the loop that calls it
            continue
        said_before.add(evidence)
        where = _where(bench, seen, made_by if made_by is not None else call)
        yield AS_LOGITS.found(status, where=where, evidence=evidence, fix=fix)
        if status == "fail":
            return


def _is_float(tensor: Any) -> bool:
    import torch

    return isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.numel() > 0


def _verdict(seen: Trace, call: Call, given: Any) -> tuple[Any, str, str, Call | None] | None:
    """(status, evidence, fix, the call that made the tensor) where something is wrong."""
    kind = LOSS_KINDS.get(call.name, "ce" if call.name == "log_softmax" else "bce-logits")
    made_by = seen.origin(given, _THROUGH)
    by = made_by.name if made_by is not None else ""
    if kind in {"ce", "bce-logits"}:
        return _for_logits(kind, call, given, made_by, by)
    if kind in {"nll", "kl"}:
        return _for_logarithms(kind, call, given, made_by, by)
    if kind == "bce" and bool(((given < 0) | (given > 1)).any()):
        return (
            "fail",
            f"{call.name} takes probabilities and gets values from {_span(given)}",
            "use binary_cross_entropy_with_logits, or a sigmoid before the loss",
            None,
        )
    return None


def _for_logits(
    kind: str, call: Call, given: Any, made_by: Call | None, by: str
) -> tuple[Any, str, str, Call | None] | None:
    fix = f"give {call.name} the raw scores: drop the {by or 'softmax'}"
    if by in _PROBABILITIES or (by in _LOGARITHMS and kind == "bce-logits"):
        return "fail", f"{call.name} takes logits and gets the result of {by}", fix, made_by
    axis = 1 if given.ndim > 1 else 0
    if by == "log_softmax" and made_by is not None and call.name != "log_softmax":
        if _axis(made_by) != axis or given.ndim != made_by.result.ndim:
            return None  # another axis: not the same softmax, see loss/batch-softmax
        text = "cross_entropy gets the result of log_softmax: it takes it again, which changes "
        return "note", text + "nothing but time", "drop the log_softmax, or use nll_loss", made_by
    if kind == "ce" and call.name == "cross_entropy" and given.shape[axis] > 1:
        inside = bool(((given >= 0) & (given <= 1)).all())
        if inside and bool(((given.sum(axis) - 1).abs() < _EPS).all()) and given.shape[0] > 1:
            return "fail", "cross_entropy takes logits and gets rows that sum to 1", fix, None
    return None


def _for_logarithms(
    kind: str, call: Call, given: Any, made_by: Call | None, by: str
) -> tuple[Any, str, str, Call | None] | None:
    text = f"{call.name} takes log-probabilities and gets "
    fix = f"{call.name}(log_softmax(output, dim=1), …)" + (
        ", or cross_entropy(output, …)" if kind == "nll" else ""
    )
    if by in _PROBABILITIES:
        return "fail", text + f"the result of {by}", fix, made_by
    if by in _LOGARITHMS or not bool(given.isfinite().all()):
        return None
    if bool((given > _EPS).any()):
        return "fail", text + f"values from {_span(given)}", fix, None
    total = given.exp().sum(1 if given.ndim > 1 else 0)
    if kind == "nll" and bool(((total < 0.5) | (total > 1.5)).all()):
        return (
            "fail",
            text + f"rows whose probabilities sum to {total.mean().item():.3g}",
            fix,
            None,
        )
    return None


def _span(tensor: Any) -> str:
    return f"{tensor.min().item():.3g} to {tensor.max().item():.3g}"


def _axis(call: Call) -> int:
    """The axis of a softmax; left out, it is torch's old guess."""
    n_axes = max(1, int(call.given(0, "input").ndim))
    axis = call.given(1, "dim")
    if axis is None:
        axis = 0 if n_axes in {1, 3} else 1
    return int(axis) % n_axes


def _where(bench: Bench, seen: Trace, call: Call) -> str:
    if call.where:
        return call.where
    kind = call.name.replace("_", "")
    for name, module in seen.model.named_modules():
        if type(module).__name__.lower() == kind:
            return f"{name} ({type(module).__name__})"
    return place_of(bench.subject.loss) if bench.subject.loss is not None else call.name


@BATCH_SOFTMAX.on_subject
def batch_softmax(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at the axis of each softmax that outputs go through on their way into a loss."""
    for seen, call in ((s, c) for s in traces(bench) for c in _softmaxes(bench, s)):
        n = seen.batch.n
        tensor = call.given(0, "input")
        if tensor.ndim < 2 or tensor.shape[0] != n or n < 2 or tensor.shape[1] == n:
            continue
        if _axis(call) == 0 and seen.leads(call):
            yield BATCH_SOFTMAX.fail(
                where=_where(bench, seen, call),
                evidence=f"{call.name} of a tensor {tuple(tensor.shape)} over axis 0, "
                f"the {n} examples of the batch",
                fix=f"{call.name}(…, dim=1)",
            )
            return


def _softmaxes(bench: Bench, seen: Trace) -> Iterator[Call]:
    """Those that a known loss gets directly, and those of the loss on the model's output."""
    import torch

    for call in seen.known():
        made_by = seen.origin(call.given(0, "input"), _IN_PLACE | {"log", "clamp", "add"})
        if made_by is not None and made_by.name in _SOFTMAX and call.name in _CLASS_LOSSES:
            yield made_by
    target = seen.batch.target
    if not isinstance(target, torch.Tensor) or target.is_floating_point() or target.ndim != 1:
        return
    output = bench.tensor(seen.output) if seen.output is not None else None
    for call in seen.loss_calls:
        if call.name in _SOFTMAX and call.given(0, "input") is output:
            yield call


_CLASS_LOSSES = frozenset(
    ("nll_loss", "cross_entropy", "binary_cross_entropy", "kl_div", "mse_loss")
)
