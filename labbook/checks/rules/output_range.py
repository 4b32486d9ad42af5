"""Outputs that can reach the targets, and targets of a size that outputs reach soon."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.losses import LOSS_KINDS
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.traced import Trace, traced

if TYPE_CHECKING:
    from torch import Tensor

    from labbook.checks.torch_calls import Call

OUTPUT_RANGE = Rule(
    "model/output-range",
    kind="probe",
    stage="loss",
    says="the last activation keeps outputs away from the targets",
    formula="the function that made the compared outputs, through reshaping, is bounded, and more "
    "than `share` of the targets lie outside its range (squared, absolute and Huber errors: fail); "
    "relu before a cross-entropy of logits: fail for two classes, warn for several; tanh and "
    "other bounds: warn",
    limits={"share": 0.02},
    follows=("init/nonfinite", "data/target-range", "loss/broadcast", "loss/batch-softmax"),
    advice="check the range of outputs against the range of targets",
    causes=(
        "an activation after the last layer",
        "targets that were standardised, and outputs that cannot be negative",
    ),
    fix="drop the activation after the last layer, or scale the targets into its range",
    false_positives="targets beyond the range that are meant to be met only nearly",
    source="Shelhamer, DIY Deep Learning",
)

SCALE = Rule(
    "data/target-scale",
    kind="probe",
    stage="target",
    says="targets are far from the size that a fresh net puts out",
    formula="regression, first 8 batches: standard deviation sd > high or < low, or |mean| > "
    "shift·sd; not where the fresh model's outputs have that mean (within 3 sd) and spread (by a "
    "tenth)",
    limits={"high": 10, "low": 1e-3, "shift": 5},
    follows=("init/nonfinite", "data/target-range"),
    advice="histogram targets to see range and imbalance",
    causes=("targets in their own unit", "targets scaled twice"),
    fix="standardise: (y - y.mean()) / y.std(), with the training set's figures",
    false_positives="physical units with a matching rate",
    source="Shelhamer, DIY Deep Learning; limits measured",
)

_RANGES = {
    "sigmoid": (0, 1), "sigmoid_": (0, 1), "hardsigmoid": (0, 1), "softmax": (0, 1),
    "tanh": (-1, 1), "tanh_": (-1, 1), "softsign": (-1, 1), "hardtanh": (-1, 1),
    "relu": (0, math.inf), "relu_": (0, math.inf), "relu6": (0, 6), "softplus": (0, math.inf),
    "exp": (0, math.inf), "logsigmoid": (-math.inf, 0), "log_sigmoid": (-math.inf, 0),
    "elu": (-1, math.inf), "gelu": (-0.17, math.inf), "silu": (-0.28, math.inf),
    "cos": (-1, 1), "sin": (-1, 1),
}  # fmt: skip
_ERRORS = {"mse", "l1", "huber"}
_BATCHES = 8


@OUTPUT_RANGE.on_subject
def output_range(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at the function that made what the loss compares."""
    seen = bench.shared(traced)
    compared = list(_compared(bench, seen))
    if not compared:
        raise Cannot("outputs and targets are not compared by one of torch's loss functions")
    for kind, output, target in compared:
        by = _last(seen, kind, output)
        if by is None or by.name not in _RANGES:
            continue
        if by.name == "softmax" and bool((by.result == 1).all()):
            continue  # of a single number: init/constant-output
        if kind in _ERRORS:
            yield from _errors(bench, seen, by, target, limits["share"])
        elif kind in {"ce", "nll", "bce", "bce-logits"}:
            yield from _logits(seen, kind, by)


def _compared(bench: Bench, seen: Trace) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(kind, outputs, targets) of each comparison."""
    import torch

    known = seen.known()
    for call in known:
        target = call.given(1, "target")
        if isinstance(target, torch.Tensor) and call.result is not None:
            yield LOSS_KINDS[call.name], call.given(0, "input"), target
    target = next(leaves(seen.batch.target), None)
    if known or target is None or seen.output is None or bench.task != "regression":
        return
    output = bench.tensor(seen.output)
    if output.shape == target.shape and target.is_floating_point():
        yield "mse", output, target


def _last(seen: Trace, kind: str, output: Tensor) -> Call | None:
    """The function that bounds: what made the outputs, or the logits below a softmax."""
    by = seen.origin(output)
    into = {"nll": ("log_softmax",), "bce": ("sigmoid", "softmax")}.get(kind, ())
    if by is not None and by.name in into and by.args:
        return seen.origin(by.args[0])
    return by if not into else None


def _errors(bench: Bench, seen: Trace, by: Call, target: Tensor, limit: float) -> Iterator[Finding]:
    low, high = _RANGES[by.name]
    values = _all(bench, seen, target).double()
    slack = 1e-3 * float(values.abs().max()) if values.numel() else 0.0
    share = float(((values < low - slack) | (values > high + slack)).double().mean())
    if not share > limit:
        return
    yield OUTPUT_RANGE.fail(
        value=share,
        limit=limit,
        where=by.where or _module(seen, by),
        evidence=f"{share:.0%} of the targets lie outside {_shown(low, high)}, where {by.name} "
        f"puts the outputs: they go from {values.min().item():.3g} to {values.max().item():.3g}",
        fix=f"drop the {by.name.strip('_')} after the last layer, or scale the targets",
    )


def _logits(seen: Trace, kind: str, by: Call) -> Iterator[Finding]:
    name = by.name.strip("_")
    if name not in {"relu", "relu6", "tanh", "hardtanh", "softsign"}:
        return
    is_binary = kind in {"bce", "bce-logits"}
    low, high = _RANGES[by.name]
    below = low == 0
    yield OUTPUT_RANGE.found(
        "fail" if is_binary and below else "warn",
        where=by.where or _module(seen, by),
        evidence=f"{name} before a cross-entropy keeps the scores in {_shown(low, high)}"
        + (": no probability below 0.5" if is_binary and below else ""),
        fix=f"drop the {name} after the last layer",
    )


def _shown(low: float, high: float) -> str:
    return f"[{low:g}, {high:g}]" if math.isfinite(high) and math.isfinite(low) else (
        f"[{low:g}, ∞)" if math.isfinite(low) else f"(-∞, {high:g}]"
    )  # fmt: skip


def _all(bench: Bench, seen: Trace, target: Tensor) -> Tensor:
    """The targets of the first batches where the loss gets them as they are."""
    import torch

    if not seen.is_target_itself(target) or len(list(leaves(seen.batch.target))) != 1:
        return target
    return torch.cat([next(leaves(b.target)).reshape(-1) for b in bench.first(_BATCHES)])


def _module(seen: Trace, call: Call) -> str:
    kind = call.name.replace("_", "")
    last = ""
    for name, module in seen.model.named_modules():
        if type(module).__name__.lower() == kind:
            last = f"{name} ({type(module).__name__})"
    return last or call.name


@SCALE.on_subject
def target_scale(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Mean and spread of all targets together."""
    if bench.task != "regression":
        raise Cannot(f"targets of {bench.task} have no scale")
    seen = bench.shared(traced)
    pairs = [(o, t) for kind, o, t in _compared(bench, seen) if kind in _ERRORS]
    if len(pairs) != 1:
        raise Cannot("outputs and targets are not compared by one error")
    output, target = pairs[0]
    values = _all(bench, seen, target).double()
    if values.numel() < 16:
        raise Cannot("too few targets to tell their scale")
    mean, sd = float(values.mean()), float(values.std())
    said = _scale(mean, sd, limits)
    if said is None or _is_matched(output.detach().double(), mean, sd):
        return
    value, limit = said
    yield SCALE.warn(
        value=value,
        limit=limit,
        where=place_of(bench.subject.loss) or "the targets",
        evidence=f"targets have mean {mean:.4g} and standard deviation {sd:.4g}",
    )


def _scale(mean: float, sd: float, limits: Limits) -> tuple[float, float] | None:
    if sd > limits["high"]:
        return sd, limits["high"]
    if sd < limits["low"]:
        return sd, limits["low"]
    if abs(mean) > limits["shift"] * sd:
        return abs(mean) / sd, limits["shift"]
    return None


def _is_matched(output: Any, mean: float, sd: float) -> bool:
    """Whether the fresh model already puts out such values, by a scale of its own."""
    if output.numel() < 2:
        return False
    return abs(float(output.mean()) - mean) < 3 * sd and float(output.std()) > 0.1 * sd
