"""What a cast to fewer bits, or a scaling done twice, does to inputs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding, Status
from labbook.checks.passes import place_of_data, train_pass
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.rules.data_scale import entering, values_of

if TYPE_CHECKING:
    from torch import Tensor

_ADVICE = "check for casting, especially to lower precision. what's -1 for a byte?"
_MOST = 1 << 20

WRAP = Rule(
    "data/uint8-wrap",
    kind="free",
    stage="data",
    says="negative values have wrapped around in a byte",
    formula="whole numbers from 0 to 255 (or those / 255) of which > ends lie in 0..4 or 251..255, "
    "some in each, < hole in between, with 3 different values or more, 1..4 and 251..254 among "
    "them: warn",
    limits={"ends": 0.5, "hole": 0.01},
    needs=("loader",),
    advice=_ADVICE,
    causes=("standardized values were cast to uint8: -1 becomes 255",),
    fix="convert to float before subtracting: (x.float() - mean) / sd",
    false_positives="drawings in two tones with soft edges",
    source="astype(uint8) of standard scores gives {0, 1, 2, 254, 255}",
)


@WRAP.on_subject
def wrap(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for mass at both ends and a hole between."""
    import torch

    seen = bench.shared(train_pass)
    if entering(bench).is_embedding:
        raise Cannot("inputs are tokens")
    values = _sample(torch.cat([x.reshape(-1) for x in seen.xs]).double())
    whole = _as_bytes(values)
    if whole is None:
        return
    low, high = (whole <= 4).double().mean().item(), (whole >= 251).double().mean().item()
    hole = 1 - low - high
    inner = bool(((whole >= 1) & (whole <= 4)).any()) and bool(
        ((whole >= 251) & (whole <= 254)).any()
    )
    ends = bool((whole == 255).any()) and len(torch.unique(whole)) >= 3
    is_wrapped = inner or (bool((whole == 1).any()) and ends)
    if (
        min(low, high) > 0.02
        and low + high > limits["ends"]
        and hole < limits["hole"]
        and is_wrapped
    ):
        yield WRAP.warn(
            value=round(low + high, 3),
            limit=limits["ends"],
            where=place_of_data(bench, "loader"),
            evidence=f"{low:.0%} of the input values lie in 0..4, {high:.0%} in 251..255 and "
            f"{hole:.1%} between ({seen.xs[0].dtype})",
        )


def _sample(values: Tensor) -> Tensor:
    values = values[values.isfinite()]
    return values[:: max(1, len(values) // _MOST)]


def _as_bytes(values: Tensor) -> Tensor | None:
    """Whole numbers from 0 to 255; None when these are none, nor 255th parts."""
    if not len(values) or float(values.min()) < 0 or float(values.max()) > 255:
        return None
    for scaled in (values, values * 255):
        whole = scaled.round()
        if bool(((scaled - whole).abs() < 1e-4).all()) and float(whole.max()) <= 255:
            return whole if float(whole.max()) > 4 else None
    return None


QUANTIZED = Rule(
    "data/quantized",
    kind="free",
    stage="data",
    says="standardized inputs were cut to whole numbers",
    formula="all values whole, of both signs and ≥ 30 % of them 0, |mean| < 1, 0.3 < sd < 3, "
    "a share ≥ within no farther from 0 than 3: fail when they fall off from 0 to both sides, warn "
    "when just -1, 0 and 1",
    limits={"within": 0.95},
    needs=("loader",),
    advice="how does standardization change integer data?",
    causes=("an integer array was standardized in place", "a cast to int8 or long after it"),
    fix="convert first: x = (x.astype('float32') - mean) / sd",
    false_positives="boards of games, spins, signs",
    source="int8 of standard scores gives {-1, 0, 1}",
)


@QUANTIZED.on_subject
def quantized(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for whole numbers where fractions should be."""
    import torch

    seen = bench.shared(train_pass)
    if entering(bench).is_embedding:
        raise Cannot("inputs are tokens")
    parts = [x.double().reshape(-1) for x in seen.xs if x.ndim > 1]
    if not parts:
        raise Cannot("inputs have one number an example")
    values = _sample(torch.cat(parts))
    if not len(values) or bool((values != values.round()).any()):
        return
    found, counts = torch.unique(values, return_counts=True)
    share = {int(v): int(n) / len(values) for v, n in zip(found, counts, strict=True)}
    mean, sd = float(values.mean()), float(values.std(correction=0))
    said = cut_scores(share, mean, sd, limits)
    if said is not None:
        yield QUANTIZED.found(
            said[0],
            value=float(len(found)),
            where=place_of_data(bench, "loader"),
            evidence=f"{said[1]} ({seen.xs[0].dtype})",
        )


def cut_scores(
    share: dict[int, float], mean: float, sd: float, limits: Limits
) -> tuple[Status, str] | None:
    """Status and evidence where shares of whole numbers are those of standard scores, cut."""
    within = sum(part for value, part in share.items() if abs(value) <= 3)
    is_score = abs(mean) < 1 and 0.3 < sd < 3 and within >= limits["within"]
    if not is_score or min(share) >= 0 or max(share) <= 0 or share.get(0, 0.0) < 0.3:
        return None
    if len(share) > 3 and not _falls_off(share):
        return None
    shown = ", ".join(map(str, sorted(share)[:16]))
    said = f"the inputs hold only {shown}: mean {mean:.2f}, standard deviation {sd:.2f}"
    return ("fail" if len(share) > 3 else "warn"), said


def _falls_off(share: dict[int, float]) -> bool:
    """Whether shares only fall from 0 to 3 and -3, as those of standard scores."""
    for side in (1, -1):
        ordered = [share.get(side * k, 0.0) for k in range(4)]
        if any(later > before + 0.003 for before, later in pairwise(ordered)):
            return False
    return True


TWICE = Rule(
    "data/double-cast",
    kind="free",
    stage="data",
    says="inputs were scaled down twice",
    formula="float inputs, none negative, largest ≤ top, at the model and its first layer: warn",
    limits={"top": 1 / 200},
    needs=("loader",),
    follows=("data/all-zero-inputs",),
    advice="check the min/max to catch mistakes",
    causes=("ToTensor() has divided by 255 already, and the code divides again",),
    fix="divide by 255 once",
    false_positives="quantities that are small by their unit",
    source="1/255 of [0, 1] is at most 0.0039",
)


@TWICE.on_subject
def twice(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at the largest value."""
    values = values_of(bench.shared(train_pass))
    top = float(values.max())
    if float(values.min()) < 0 or not 0 < top <= limits["top"]:
        return
    at_layer = entering(bench)
    inner = at_layer.given
    if at_layer.kind in {"LayerNorm", "RMSNorm"}:
        return
    if inner is not None and inner.is_floating_point() and float(inner.abs().max()) > limits["top"]:
        return
    yield TWICE.warn(
        value=top,
        limit=limits["top"],
        where=place_of_data(bench, "loader"),
        evidence=f"inputs lie between {float(values.min()):.3g} and {top:.3g}",
    )
