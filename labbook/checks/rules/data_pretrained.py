"""Inputs of a pretrained net: with the mean and scale that it was trained with."""

from __future__ import annotations

from collections.abc import Iterator

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.passes import place_of_data, train_pass
from labbook.checks.rule import Cannot, Limits, Rule

_MAKERS = ("torchvision.models.", "timm.models.")

PRETRAINED = Rule(
    "data/pretrained-stats",
    kind="free",
    stage="data",
    says="inputs do not have the mean and scale that the pretrained net expects",
    formula="pretrained=True, a net of torchvision or timm, pictures of 3 channels: pooled "
    "|mean| > mean or sd outside [1/ratio, ratio], where their transforms give 0 and 1: warn",
    limits={"mean": 0.5, "ratio": 2.0},
    needs=("loader",),
    follows=("data/nonfinite", "data/all-zero-inputs", "data/double-cast"),
    advice="you initialized from a pretrained checkpoint but didn't use the original mean",
    causes=("the weights' own transform is not applied",),
    fix="transform = weights.transforms(), or Normalize([0.485, 0.456, 0.406], "
    "[0.229, 0.224, 0.225])",
    false_positives="pictures unlike photographs: mostly black or white ones",
    source="Karpathy, A Recipe for Training Neural Networks; torchvision weights.transforms()",
)


@PRETRAINED.on_subject
def pretrained(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare with zero mean and unit scale."""
    if not bench.subject.pretrained:
        raise Cannot("not pretrained=True")
    kinds = {type(module).__module__ for module in bench.model().modules()}
    if not any(kind.startswith(_MAKERS) for kind in kinds):
        raise Cannot("no net of torchvision or timm")
    x = bench.shared(train_pass).xs[0]
    if x.ndim != 4 or x.shape[1] != 3 or not x.is_floating_point():
        raise Cannot("inputs are no pictures of 3 channels")
    mean, sd = float(x.double().mean()), float(x.double().std(correction=0))
    if abs(mean) <= limits["mean"] and 1 / limits["ratio"] <= sd <= limits["ratio"]:
        return
    yield PRETRAINED.warn(
        value=round(sd, 3),
        limit=1.0,
        where=place_of_data(bench, "loader"),
        evidence=f"inputs have mean {mean:.3g} and standard deviation {sd:.3g}; the net was "
        "trained with about 0 and 1",
    )
