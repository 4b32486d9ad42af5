"""Something that is no number, before the first step: in the outputs, the loss or the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.place import place_of
from labbook.checks.rule import Limits, Rule
from labbook.checks.traced import Trace, traced

if TYPE_CHECKING:
    from torch import Tensor, nn

    from labbook.checks.torch_calls import Call

NONFINITE = Rule(
    "init/nonfinite",
    kind="probe",
    stage="run",
    says="not a number before the first step",
    formula="on one batch, before any step: NaN in an output, NaN or ∞ in the loss, or in the "
    "gradient of a parameter. Infinite outputs with a finite loss are masks and pass",
    advice="look at the loss before the first step: it should be a number, and the right one",
    causes=(
        "log(0), 0/0 or sqrt(0) in the loss or the model",
        "inputs that hold NaN",
        "parameters that were never initialised (torch.empty)",
    ),
    fix="find the first operation that makes it: torch.autograd.set_detect_anomaly(True)",
    source="exact",
)


@NONFINITE.on_subject
def nonfinite(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Name the first place where it appears: inputs, weights, module, loss, gradient."""
    import torch

    seen = bench.shared(traced)
    outputs = [t for t in leaves(seen.output) if t.is_floating_point()]
    is_bad = any(bool(t.isnan().any()) for t in outputs)
    if not is_bad and isinstance(seen.value, torch.Tensor):
        is_bad = not bool(seen.value.isfinite().all())
    if is_bad:
        where, evidence = _first(bench, seen)
        yield NONFINITE.fail(where=where, evidence=evidence)
        return
    if seen.error is not None:
        raise seen.error
    if seen.loss is None or not seen.loss.requires_grad:
        return
    yield from _gradient(seen)


def _first(bench: Bench, seen: Trace) -> tuple[str, str]:
    """(where, what) of the first thing that is not finite."""
    for n, tensor in enumerate(seen.batch.inputs):
        if _is_bad(tensor):
            return "the first batch", f"input {n} holds {_what(tensor)} before the model sees it"
    for name, parameter in seen.model.named_parameters():
        if _is_bad(parameter):
            return name, f"the parameter {name} holds {_what(parameter)}"
    for n, call in enumerate(seen.calls):
        if _makes(call):
            made = next(t for t in leaves(call.result) if _is_bad(t))
            text = f"{call.name.strip('_')}() makes {_what(made)} from finite numbers"
            inside = n < seen.n_model
            where = call.where or (_module(seen, call) if inside else "")
            return where or place_of(bench.subject.loss if not inside else seen.model), text
    target = next((t for t in leaves(seen.batch.target) if _is_bad(t)), None)
    if target is not None:
        return "the first batch", f"the targets hold {_what(target)}"
    return place_of(bench.subject.loss), "the loss is not finite"


def _is_bad(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and not bool(tensor.isfinite().all())


def _makes(call: Call) -> bool:
    """Whether something that is not finite comes out, and nothing such went in."""
    results = list(leaves(call.result))
    if not results or not any(_is_bad(t) for t in results):
        return False
    if call.name in {"masked_fill", "masked_fill_", "full", "full_like", "new_full", "where"}:
        return False  # a mask
    if call.name in {"log", "triu", "tril"} and not any(bool(t.isnan().any()) for t in results):
        return any(t.requires_grad for t in results)
    return not any(_is_bad(t) for t in leaves((call.args, call.kwargs)))


def _module(seen: Trace, call: Call) -> str:
    """The module of that kind of function, by name."""
    kind = call.name.replace("_", "").lower()
    named: list[tuple[str, nn.Module]] = list(seen.model.named_modules())
    return next(
        (f"{n} ({type(m).__name__})" for n, m in named if type(m).__name__.lower() == kind), ""
    )


def _what(tensor: Any) -> str:
    return "NaN" if bool(tensor.isnan().any()) else "an infinity"


def _gradient(seen: Trace) -> Iterator[Finding]:
    import torch

    loss = seen.loss
    named = [(n, p) for n, p in seen.model.named_parameters() if p.requires_grad]
    if loss is None or not named:
        return
    with torch.enable_grad():
        grads = torch.autograd.grad(
            loss, [p for _, p in named], retain_graph=True, allow_unused=True
        )
    bad = [n for (n, _), grad in zip(named, grads, strict=True) if _is_bad_grad(grad)]
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        yield NONFINITE.fail(
            where=_flat_place(seen) or bad[0],
            evidence=f"the loss is {loss.item():.4g}, the gradient of {bad[0]}{more} is not finite",
            fix="add a small number before the root, the norm or the logarithm: (x + 1e-8).sqrt()",
        )


def _is_bad_grad(grad: Any) -> bool:
    if grad is None:
        return False
    values = grad.coalesce().values() if grad.is_sparse else grad
    return not bool(values.isfinite().all())


def _flat_place(seen: Trace) -> str:
    """The line of a function whose slope is infinite, or no number, where it was called."""
    steep = {"sqrt", "norm", "linalg_norm", "linalg_vector_norm", "log", "pow", "__pow__", "std",
             "cdist", "acos", "asin", "div", "__truediv__", "atan2"}  # fmt: skip
    for call in seen.calls:
        given = [t for t in leaves((call.args, call.kwargs)) if t.requires_grad]
        if call.name in steep and call.where and given and bool((given[0] == 0).any()):
            return call.where
    return ""
