"""The loss before the first step, against predictors that see no input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.starting import Start, start
from labbook.checks.traced import trace

if TYPE_CHECKING:
    from torch import nn

INIT_LOSS = Rule(
    "init/loss",
    kind="probe",
    stage="init",
    says="the loss before the first step is not that of a predictor that knows nothing",
    formula="64 examples. Cross-entropies: loss > high × the loss of zero scores (uniform): fail; "
    "< low × the loss of the best constant output (prior): fail, for models made by a function "
    "and not pretrained; > 1.2 × uniform: note. Squared, absolute and Huber errors: loss > far × "
    "the loss of zero outputs: warn if outputs are beyond size (root mean square), else note. "
    "Other losses: note at most",
    limits={"high": 2, "low": 0.5, "far": 5, "size": 2},
    follows=(
        "init/nonfinite",
        "data/*",
        "loss/*",
        "grad/loss-detached",
        "model/*",
        "lm/*",
    ),
    advice="sanity check the loss against a suitable reference value: uniform distribution; mean "
    "of targets (or even just zero)",
    causes=(
        "weights that start too large, or inputs that are not standardised",
        "a leak of the targets into the inputs, when the loss is too small",
        "a last layer that starts far from what the targets are",
    ),
    fix="initialise the last layer smaller: nn.init.normal_(head.weight, std=0.01)",
    false_positives="scores scaled on purpose (cosines, margins) and embeddings that are also the "
    "output layer: noted only",
    source="Shelhamer, DIY Deep Learning; Karpathy, A Recipe for Training Neural Networks",
)

OUTPUT_BIAS = Rule(
    "init/output-bias",
    kind="probe",
    stage="init",
    says="an output bias from the targets would spare the first steps",
    formula="loss before the first step - loss of the best constant > gain·|the latter|; the same "
    "with that constant as the last layer's bias, verified: at least half of that is saved. Note",
    limits={"gain": 0.25},
    follows=("init/nonfinite", "loss/*", "data/target-range", "init/loss"),
    advice="bias learning in the right direction by setting output biases",
    causes=("classes of different size, or targets with a mean far from zero",),
    fix="set the last layer's bias from the targets",
    source="Shelhamer, DIY Deep Learning; Lin et al. 2017, RetinaNet, section 4.1",
)

_CROSS = {"ce", "nll", "bce", "bce-logits"}
_ERRORS = {"mse", "l1", "huber"}
_SCALED = frozenset(("normalize", "cosine_similarity", "norm", "linalg_vector_norm"))


@INIT_LOSS.on_subject
def init_loss(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Hold the first loss against the uniform predictor and the prior."""
    if bench.subject.pretrained:
        raise Cannot("pretrained: the model knows something before the first step")
    found = bench.shared(start)
    said = _verdict(bench, found, limits)
    if said is None:
        return
    status, limit, evidence = said
    if status != "note" and _is_scaled(found):
        status, evidence = "note", evidence + "; the scores are scaled on purpose"
    elif status != "note" and not _is_on_targets(found):
        status = "note"  # labels of the loss's own, as contrastive losses have
    yield INIT_LOSS.found(
        status,
        value=found.loss,
        limit=limit,
        where=_last_layer(found) or place_of(bench.subject.loss),
        evidence=evidence,
    )


def _verdict(bench: Bench, found: Start, limits: Limits) -> tuple[Any, float, str] | None:
    loss, zero, prior = found.loss, found.zero, found.constant
    if found.kind in _CROSS:
        return _cross(bench, found, limits)
    if zero <= 0 or not loss > limits["far"] * zero:
        return None
    size = float(bench.tensor(found.seen.output).detach().double().pow(2).mean().sqrt())
    text = f"loss {loss:.4g}, of outputs that are all zero {zero:.4g}, of their mean {prior:.4g}"
    is_large = found.kind in _ERRORS and size > limits["size"]  # else the targets are small
    return ("warn" if is_large else "note"), limits["far"] * zero, text


def _cross(bench: Bench, found: Start, limits: Limits) -> tuple[Any, float, str] | None:
    loss, zero, prior = found.loss, found.zero, found.constant
    text = f"loss {loss:.4g}, of the uniform distribution {zero:.4g}, of the prior {prior:.4g}"
    if zero > 0 and loss > limits["high"] * zero:
        return "fail", limits["high"] * zero, text
    import torch

    is_new = not isinstance(bench.subject.model, torch.nn.Module)
    if is_new and prior > 1e-3 * zero and loss < limits["low"] * prior:
        return "fail", limits["low"] * prior, text + ": it knows the targets already"
    if zero > 0 and loss > 1.2 * zero:
        return "note", 1.2 * zero, text
    return None


def _is_scaled(found: Start) -> bool:
    """Scores of unit vectors times a number, or an embedding that is the output layer too."""
    import torch

    seen = found.seen
    if any(call.name in _SCALED for call in seen.calls):
        return True
    kinds: dict[int, set[str]] = {}
    for module in seen.model.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.nn.Parameter):
            kinds.setdefault(id(weight), set()).add(type(module).__name__)
    return any(len(names) > 1 and "Embedding" in names for names in kinds.values())


def _is_on_targets(found: Start) -> bool:
    ours = found.seen.of_target()
    return all(id(call.given(1, "target")) in ours for call in found.seen.known())


def _last_layer(found: Start) -> str:
    """The module whose result the compared outputs are, by name."""
    named = _biased(found)
    return f"{named[0]} ({type(named[1]).__name__})" if named is not None else ""


def _biased(found: Start) -> tuple[str, nn.Module] | None:
    """(name, module) of the linear or convolution layer whose result is the first free root."""
    seen = found.seen
    output = next(iter(_outputs(found)), None)
    for call in seen.chain(output):
        if call.name in {"linear", "conv1d", "conv2d", "conv3d"}:
            weight = call.given(1, "weight")
            for name, module in seen.model.named_modules():
                if getattr(module, "weight", None) is weight:
                    return name, module
            return None
    return None


def _outputs(found: Start) -> Iterator[Any]:
    from labbook.checks.batch import leaves

    yield from (t for t in leaves(found.seen.output) if t.requires_grad and t.ndim > 0)


@OUTPUT_BIAS.on_subject
def output_bias(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Try the best constant as the last layer's bias."""
    import torch

    if bench.subject.pretrained:
        raise Cannot("pretrained: the model knows something before the first step")
    found = bench.shared(start)
    if found.kind not in _CROSS | _ERRORS:
        raise Cannot("the loss is none whose best constant output is a bias")
    gain = found.loss - found.constant
    if not gain > limits["gain"] * abs(found.constant):
        return
    named = _biased(found)
    bias = getattr(named[1], "bias", None) if named is not None else None
    if named is None or bias is None or found.best.numel() != bias.numel():
        return
    model = bench.model()
    with torch.no_grad():
        model.get_submodule(named[0]).bias.copy_(found.best.reshape(-1))  # type: ignore[operator]
    again = trace(bench, model, found.seen.batch)
    if again.loss is None or not found.loss - again.loss.item() > 0.5 * gain:
        return
    numbers = ", ".join(f"{v:.3g}" for v in found.best.reshape(-1)[:6].tolist())
    more = ", …" if found.best.numel() > 6 else ""
    yield OUTPUT_BIAS.note(
        value=found.loss,
        limit=again.loss.item(),
        where=f"{named[0]} ({type(named[1]).__name__})",
        evidence=f"with the targets' own constant as bias the first loss is "
        f"{again.loss.item():.4g} instead of {found.loss:.4g}",
        fix=f'model.get_parameter("{named[0]}.bias").data[:] = torch.tensor([{numbers}{more}])',
    )
