"""Weights that start, or stay, all the same: outputs that do not depend on the input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.checks.bench import Bench, UserError
from labbook.checks.finding import Finding
from labbook.checks.rule import Cannot, Limits, Rule

if TYPE_CHECKING:
    from torch import Tensor, nn

CONSTANT_OUTPUT = Rule(
    "init/constant-output",
    kind="probe",
    stage="init",
    says="the output is the same for every example",
    formula="64 examples, dropout off: max over outputs of the standard deviation over examples "
    "< rel·max(1, largest |output|), before the first step and after 3 steps of Adam",
    limits={"rel": 1e-6},
    follows=("init/nonfinite", "data/*", "loss/batch-softmax", "model/*"),
    advice="if your loss is constant, double-check for zero initialization of the weights",
    causes=(
        "weights that are all zero",
        "a softmax over a single number",
        "units that are all switched off (ReLU after a large negative bias)",
    ),
    fix="initialise weights at random; zeros are for biases",
    false_positives="none known: a last layer that starts at zero opens within 3 steps",
    source="Shelhamer, DIY Deep Learning",
)

SYMMETRIC = Rule(
    "init/symmetric-weight",
    kind="probe",
    stage="init",
    says="the units of a layer are all the same, and stay so",
    formula="after 3 steps of Adam, dropout off: all rows of a trained weight equal within "
    "rel·its largest number, though it got gradients",
    limits={"rel": 1e-6},
    follows=("init/nonfinite", "init/constant-output", "grad/*"),
    advice="double-check for zero initialization of the weights: equal units learn the same",
    causes=("a constant initialization of the weights",),
    fix="nn.init.kaiming_normal_(layer.weight)",
    false_positives="none known",
    source="Shelhamer, DIY Deep Learning",
)

CONSTANT_WEIGHT = Rule(
    "init/constant-weight",
    kind="probe",
    stage="init",
    says="the weights of a layer all start at one number",
    formula="weights of linear, convolution, recurrent and embedding layers with more than one row "
    "and column: all one number other than 0; or 0 in more than half of two or more layers, and "
    "the same output for 64 examples",
    follows=("init/nonfinite", "init/constant-output", "init/symmetric-weight"),
    advice="double-check the initialization of the weights: equal units learn the same",
    causes=("nn.init.constant_ on weights",),
    fix="nn.init.kaiming_normal_(layer.weight)",
    false_positives="a layer that averages on purpose",
    source="measured: such nets train, and worse",
)

_LAYERS = (
    "Linear",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "LSTM",
    "GRU",
    "RNN",
    "Embedding",
    "MultiheadAttention",
    "Bilinear",
)
_STEPS, _RATE, _EXAMPLES = 3, 1e-3, 64


@dataclass(frozen=True)
class _Begun:
    """A copy before and after 3 steps: outputs, and the weights that got gradients."""

    before: Tensor
    after: Tensor
    model: nn.Module
    moved: frozenset[str]


def _begun(bench: Bench) -> _Begun:
    import torch

    model = _without_dropout(bench.model())
    try:
        batch = bench.examples(_EXAMPLES)
    except Cannot:
        batch = bench.batch
    if batch.n < 2:
        raise Cannot("a batch has fewer than two examples")
    if not any(t.ndim and bool((t[1:] != t[:1]).any()) for t in batch.inputs):
        raise Cannot("all inputs of a batch are the same")
    before = _output(bench, model, batch)
    params = [p for p in model.parameters() if p.requires_grad]
    if not params:
        raise Cannot("the model has nothing to train")
    optimizer = torch.optim.Adam(params, _RATE)
    moved: set[str] = set()
    for _ in range(_STEPS):
        bench.tick()
        outcome = bench.run(model, batch)
        if not outcome.loss.requires_grad:
            raise Cannot("the loss has no gradient")
        optimizer.zero_grad()
        bench.backward(outcome.loss)
        for name, p in model.named_parameters():
            if p.grad is not None and not p.grad.is_sparse and bool(p.grad.any()):
                moved.add(name)
        try:
            optimizer.step()
        except RuntimeError as error:  # sparse gradients
            raise UserError("a step of Adam", error) from error
    return _Begun(before, _output(bench, model, batch), model, frozenset(moved))


def _without_dropout(model: nn.Module) -> nn.Module:
    import torch

    for module in model.modules():
        if "Dropout" in type(module).__name__ or "DropPath" in type(module).__name__:
            module.eval()
        if isinstance(module, (torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN)):
            module.dropout = 0.0
    return model


def _output(bench: Bench, model: nn.Module, batch: Any) -> Tensor:
    import torch

    with torch.no_grad():
        return bench.tensor(bench.forward(model, batch)).detach().double()


@CONSTANT_OUTPUT.on_subject
def constant_output(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Do outputs differ between examples, at least after three steps?"""
    begun = bench.shared(_begun)
    spreads = [_spread(output) for output in (begun.before, begun.after)]
    limit = limits["rel"]
    if not all(spread <= limit for spread in spreads):
        return
    yield CONSTANT_OUTPUT.fail(
        value=spreads[1],
        limit=limit,
        where=_zero_layer(begun.model) or type(begun.model).__name__,
        evidence=f"{len(begun.before)} examples, one output: "
        f"{begun.before.reshape(len(begun.before), -1)[0, 0].item():.4g} in its first number, "
        "and no other after 3 steps",
    )


def _spread(output: Tensor) -> float:
    """The largest standard deviation over examples, by the largest output (at least 1)."""
    if output.ndim == 0 or len(output) < 2:
        raise Cannot("the output has no axis of examples")
    flat = output.reshape(len(output), -1)
    if not bool(flat.isfinite().all()):
        flat = flat[:, flat.isfinite().all(0)]
    if flat.numel() == 0:
        raise Cannot("the output is not finite")
    return float(flat.std(0).max()) / max(1.0, float(flat.abs().max()))


def _zero_layer(model: nn.Module) -> str:
    """The first layer whose weights are all the same."""
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if type(module).__name__ in _LAYERS and weight is not None:
            if float(weight.detach().double().std()) < 1e-2 * float(weight.detach().abs().max()):
                return f"{name} ({type(module).__name__})"
            if not bool(weight.any()):
                return f"{name} ({type(module).__name__})"
    return ""


@SYMMETRIC.on_subject
def symmetric(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Are the rows of a weight equal after three steps?"""
    begun = bench.shared(_begun)
    found = []
    for name, p in begun.model.named_parameters():
        if p.ndim < 2 or len(p) < 2 or name not in begun.moved:
            continue
        rows = p.detach().reshape(len(p), -1).double()
        off = float((rows - rows[:1]).abs().max())
        if off <= limits["rel"] * max(float(rows.abs().max()), 1e-30):
            found.append((name, len(p)))
    if found:
        name, n = found[0]
        yield SYMMETRIC.fail(
            value=float(len(found)),
            limit=0.0,
            where=name,
            evidence=f"the {n} rows of {name} are equal after {_STEPS} steps"
            + (f", and so in {len(found) - 1} more" if len(found) > 1 else ""),
        )


@CONSTANT_WEIGHT.on_subject
def constant_weight(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Is a weight one number throughout?"""
    if bench.subject.pretrained:
        raise Cannot("pretrained: the weights are given")
    found = []
    zeros = layers = 0
    for name, module in bench.model().named_modules():
        if type(module).__name__ not in _LAYERS:
            continue
        for own, p in module.named_parameters(name, recurse=False):
            rows = p.detach().reshape(len(p), -1) if p.ndim > 1 else p.detach()
            if rows.ndim < 2 or min(rows.shape) < 2 or "bias" in own or not p.requires_grad:
                continue
            value = rows[0, 0]
            layers += 1
            zeros += not bool(rows.any())
            if bool((rows == value).all()) and bool(value != 0) and bool(value.isfinite()):
                found.append((own, value.item()))
    if found:
        name, value = found[0]
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        yield CONSTANT_WEIGHT.warn(
            value=value, where=name, evidence=f"all numbers of {name} are {value:.4g}{more}"
        )
    elif layers > 1 and zeros > layers / 2 and _spread(bench.shared(_begun).before) <= 1e-6:
        yield CONSTANT_WEIGHT.warn(
            value=0.0,
            where=_zero_layer(bench.model()),
            evidence=f"the weights of {zeros} of {layers} layers are all zero, and the output is "
            "the same for every example",
        )
