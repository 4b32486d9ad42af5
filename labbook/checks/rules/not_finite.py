"""Numbers that are not finite, before the first step: weights, and what a forward pass makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.models import as_made
from labbook.checks.rule import Limits, Rule
from labbook.checks.torch_calls import Call, torch_calls

WEIGHTS = Rule(
    "model/weights-nonfinite",
    kind="static",
    stage="run",
    says="a weight is not finite",
    formula="any NaN or infinity in a parameter, or in the running statistics of a norm layer",
    advice="double-check the model actually is what you thought you defined",
    causes=("torch.empty without an initialisation", "a damaged checkpoint", "a 0/0 in an init"),
    fix="initialise it (nn.init.…), or load a checkpoint that is whole",
    source="exact",
)

FORWARD = Rule(
    "loss/nonfinite-forward",
    kind="probe",
    stage="run",
    says="the loss is not finite before any step",
    formula="the loss of one of the first 4 batches is NaN or infinite, inputs and weights finite",
    needs=("loader",),
    follows=("model/weights-nonfinite", "data/nonfinite*", "init/nonfinite*"),
    advice="sanity check the loss at initialization",
    causes=("log or division of a zero", "exp of a large number", "a row that is masked whole"),
    fix="F.log_softmax instead of log(softmax), + eps in a denominator, logits losses",
    source="exact; the first module or call whose inputs are finite and whose result is not",
)

GRADIENT = Rule(
    "grad/nonfinite",
    kind="probe",
    stage="run",
    says="a gradient is not finite though the loss is",
    formula="any NaN or infinity in a parameter's gradient on one of the first 4 batches",
    needs=("loader",),
    follows=(
        "model/weights-nonfinite",
        "loss/nonfinite-forward",
        "data/nonfinite*",
        "init/nonfinite*",
    ),
    advice="check gradients, and do it thoroughly",
    causes=("sqrt or norm at exactly 0", "torch.where over a branch that divides by 0"),
    fix="(x + eps).sqrt(), or mask the argument before the function, not its result",
    source="exact",
)


@WEIGHTS.on_subject
def weights(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at every parameter and running statistic."""
    model = as_made(bench)
    tensors: list[tuple[str, Any]] = list(model.named_parameters())
    tensors += [(n, b) for n, b in model.named_buffers() if n.endswith(("_mean", "_var"))]
    bad = [(name, t) for name, t in tensors if not _is_finite(t)]
    if bad:
        name, first = bad[0]
        n = int((~first.detach().isfinite()).sum())
        also = f"; {len(bad)} tensors in all" if len(bad) > 1 else ""
        yield WEIGHTS.fail(
            value=float(len(bad)),
            limit=0.0,
            where=name,
            evidence=f"{n} of {first.numel()} values of {name} are not finite{also}",
        )


@FORWARD.on_subject
def forward(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Run the first batches, and look for the first module where it fails."""
    import torch

    model = bench.model()
    for n, batch in enumerate(bench.first(4)):
        if not all(_is_finite(t) for t in batch.inputs):
            continue
        with torch.no_grad():
            outcome = bench.run(model, batch)
        if _is_finite(outcome.loss):
            continue
        module, where = _first(bench, batch)
        yield FORWARD.fail(
            value=str(outcome.loss.item()),
            limit="finite",
            where=where or module,
            evidence=f"the loss of batch {n} is {outcome.loss.item()}"
            + (f"; the first output that is not finite is that of {module}" if module else ""),
        )
        return


def _first(bench: Bench, batch: Any) -> tuple[str, str]:
    """The first module, or else the first call, that makes something not finite; and its line."""
    import torch

    model = bench.model()
    found: list[str] = []

    def look(name: str) -> Any:
        def hook(module: Any, args: Any, output: Any) -> None:
            if not found and not all(map(_is_finite, leaves(output))):
                found.append(f"{name or 'the model'} ({type(module).__name__})")

        return hook

    handles = [m.register_forward_hook(look(name)) for name, m in model.named_modules()]
    calls: list[Call] = []
    try:
        with torch.no_grad(), torch_calls(calls):
            bench.run(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    call = next((c for c in calls if _breaks(c, want_nan=True)), None)
    call = call or next((c for c in calls if _breaks(c, want_nan=False)), None)
    module = found[0] if found else (f"{call.name}()" if call else "")
    return module, call.where if call else ""


def _breaks(call: Call, want_nan: bool) -> bool:
    """Whether a call makes NaN (or else an infinity that is no mask) of finite numbers."""
    if call.name in {"masked_fill", "masked_fill_", "full", "full_like", "fill_", "where", "triu"}:
        return False
    made = [t for t in leaves(call.result) if t.is_floating_point()]
    if not made:
        return False
    if want_nan:
        given = leaves((call.args, call.kwargs))
        return any(bool(t.isnan().any()) for t in made) and not any(
            bool(t.isnan().any()) for t in given if t.is_floating_point()
        )
    given = leaves((call.args, call.kwargs))
    return not all(map(_is_finite, made)) and all(map(_is_finite, given))


@GRADIENT.on_subject
def gradient(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at the gradients of the first batches, without a step."""
    model = bench.model()
    for n, batch in enumerate(bench.first(4)):
        outcome = bench.run(model, batch)
        if not outcome.loss.requires_grad or not _is_finite(outcome.loss):
            continue
        model.zero_grad()
        bench._users("backward()", outcome.loss.backward)
        bad = [name for name, p in model.named_parameters() if not _is_finite(p.grad)]
        if bad:
            node, where = _node(bench, batch)
            yield GRADIENT.fail(
                value=float(len(bad)),
                limit=0.0,
                where=where or bad[-1],
                evidence=f"batch {n}: the loss is {outcome.loss.item():.4g}, but "
                f"{len(bad)} gradients are not finite, among them that of {bad[-1]}"
                + (f"; first in the backward pass of {node}" if node else ""),
            )
            return


def _node(bench: Bench, batch: Any) -> tuple[str, str]:
    """The call whose backward pass first makes a number that is not finite, and its line."""
    model = bench.model()
    calls: list[Call] = []
    with torch_calls(calls):
        outcome = bench.run(model, batch)
    made: dict[Any, Call] = {}
    for call in calls:
        for t in leaves(call.result):
            if t.grad_fn is not None:
                made.setdefault(t.grad_fn, call)
    found: list[Call] = []

    def look(call: Call) -> Any:
        def hook(inputs: Any, outputs: Any) -> None:
            is_whole = all(map(_is_finite, leaves(outputs)))
            if not found and is_whole and not all(map(_is_finite, leaves(inputs))):
                found.append(call)

        return hook

    handles = [node.register_hook(look(call)) for node, call in made.items()]
    try:
        bench._users("backward()", outcome.loss.backward)
    finally:
        for handle in handles:
            handle.remove()
    return (found[0].name, found[0].where) if found else ("", "")


def _is_finite(tensor: Any) -> bool:
    if tensor is None or not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    tensor = tensor.detach()
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    return bool(tensor.isfinite().all())
