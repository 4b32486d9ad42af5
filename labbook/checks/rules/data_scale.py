"""Range and variability of inputs: standardized, of one scale, the same in validation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from labbook.checks.bench import Bench
from labbook.checks.entry import Entry, entry
from labbook.checks.finding import Finding
from labbook.checks.passes import Pass, place_of_data, train_pass, val_pass
from labbook.checks.rule import Cannot, Limits, Rule

if TYPE_CHECKING:
    from torch import Tensor

_TALK = "check the min/max and mean/variance to catch mistakes like forgetting to standardize"


def values_of(seen: Pass) -> Tensor:
    """The finite numbers of the main input, as float64. `Cannot` for tokens and the like.

    Without the one example in a hundred with the largest numbers: data/outlier-property names it.
    """
    import torch

    parts = [x.double() for x in seen.xs if x.is_floating_point() and x.ndim > 1 and len(x)]
    if not parts:
        raise Cannot("inputs are no floats")
    tops = torch.cat([torch.nan_to_num(x).abs().reshape(len(x), -1).amax(1) for x in parts])
    bound = float(tops.quantile(0.99)) if len(tops) >= 100 else float("inf")
    values = torch.cat([x[t <= bound].reshape(-1) for x, t in _paired(parts, tops)])
    values = values[values.isfinite()]
    if not len(values):
        raise Cannot("no input is finite")
    return values


def _paired(parts: list[Tensor], tops: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    at = 0
    for part in parts:
        yield part, tops[at : at + len(part)]
        at += len(part)


def entering(bench: Bench) -> Entry:
    """The first layer; an empty one where the model cannot be run."""
    try:
        return bench.shared(entry)
    except Cannot:
        return Entry()


ZERO = Rule(
    "data/all-zero-inputs",
    kind="free",
    stage="data",
    says="every example has the same input",
    formula="least examples or more, and all rows of the main input are equal (all zero, or the "
    "same example): fail",
    limits={"least": 16},
    needs=("loader",),
    follows=("data/nonfinite",),
    advice="look at the data as it is given to the model: zeroed inputs should do worse",
    causes=(
        "a buffer is allocated and never filled",
        "a cast to integers of inputs between 0 and 1",
        "__getitem__ ignores its index",
    ),
    fix="look at dataset[0] and dataset[1], before and after the transform",
    false_positives="models whose only input is noise or a step, given a dummy",
    source="Shelhamer, DIY Deep Learning",
)


@ZERO.on_subject
def zero(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare all rows of the main input with the first."""
    seen = bench.shared(train_pass)
    rows = seen.rows
    if len(rows) < limits["least"]:
        raise Cannot(f"{len(rows)} examples are too few to tell")
    if not bool((rows == rows[0]).all()):
        return
    others = [t for b in seen.batches[:2] for t in b.inputs if t.ndim and len(t) == b.n]
    if any(len(t) > 1 and bool((t != t[0]).any()) for t in others):
        raise Cannot("other inputs differ")
    what = "zero" if not bool(rows.any()) else "the same example"
    yield ZERO.fail(
        value=float(len(rows)),
        limit=limits["least"],
        where=place_of_data(bench, "loader"),
        evidence=f"the inputs of all {len(rows)} examples are {what}",
    )


CONSTANT = Rule(
    "data/constant-feature",
    kind="free",
    stage="data",
    says="some features are the same in all examples",
    formula="features of (examples, features) inputs, or channels, with one value throughout",
    needs=("loader",),
    follows=("data/all-zero-inputs",),
    advice="histogram input dimensions to see range and variability",
    causes=("a column that was never filled", "a rare category that this part of the data lacks"),
    fix="leave these columns out, or look where they are filled",
    false_positives="corners of pictures, rare categories",
    source="TheDeepChecker, PreCheck",
)


@CONSTANT.on_subject
def constant(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """List features with one value."""
    stacked = bench.shared(train_pass).stacked
    if not stacked.is_floating_point() or not 2 <= stacked.ndim <= 5 or len(stacked) < 32:
        raise Cannot("inputs are no floats, or too few")
    columns = stacked.movedim(1, 0).reshape(stacked.shape[1], -1)
    dead = (columns == columns[:, :1]).all(1).nonzero()[:, 0].tolist()
    if not dead or len(dead) == len(columns):
        return
    named = ", ".join(map(str, dead[:12])) + (", …" if len(dead) > 12 else "")
    what = "features" if stacked.ndim == 2 else "channels"
    yield CONSTANT.note(
        value=float(len(dead)),
        limit=0.0,
        where=place_of_data(bench, "loader"),
        evidence=f"{len(dead)} of {len(columns)} {what} have one value throughout: {named}",
    )


SCALES = Rule(
    "data/feature-scales",
    kind="free",
    stage="data",
    says="features have very different scales",
    formula="(examples, features) inputs: largest standard deviation / median one > ratio, over "
    "features of 3 different values or more; not where the model standardizes first",
    limits={"ratio": 50.0},
    needs=("loader",),
    follows=("data/not-standardized", "data/nonfinite", "data/train-val-shift", "data/double-cast"),
    advice="histogram input dimensions to see range and variability",
    causes=("features are in their own units: standardize each",),
    fix="mean, sd = x_train.mean(0), x_train.std(0); x = (x - mean) / sd, in validation too",
    false_positives="features whose scale means something, as spectra",
    source="calibrated on clean programs: one-hot and binary features are left out",
)


@SCALES.on_subject
def scales(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare the spreads of features."""
    stacked = bench.shared(train_pass).stacked
    if stacked.ndim != 2 or not stacked.is_floating_point() or len(stacked) < 16:
        raise Cannot("inputs are no (examples, features) of floats, or too few")
    ratio, at = _ratio(stacked)
    if ratio <= limits["ratio"]:
        return
    at_layer = entering(bench)
    if at_layer.is_norm:
        return
    inner = at_layer.given
    if inner is not None and inner.ndim == 2 and inner.is_floating_point() and len(inner) > 8:
        rows = bench.batch.n
        if _ratio(inner)[0] < min(limits["ratio"], ratio / 4) and len(inner) == rows:
            return  # the model brings them to one scale
    yield SCALES.warn(
        value=round(ratio, 1),
        limit=limits["ratio"],
        where=place_of_data(bench, "loader"),
        evidence=f"the standard deviation of feature {at} is {ratio:.0f} times the median one",
    )


def _ratio(rows: Tensor) -> tuple[float, int]:
    """Largest / median standard deviation, and whose it is; features of few values left out."""
    import torch

    rows = torch.nan_to_num(rows.double())
    first = rows[:1]
    second = torch.where(rows != first, rows, first).amax(0, keepdim=True)
    lower = torch.where(rows != first, rows, first).amin(0, keepdim=True)
    second = torch.where(second != first, second, lower)
    varied = ((rows != first) & (rows != second)).any(0)
    sd = rows.std(0, correction=0)
    known = sd[varied & (sd > 0)]
    if len(known) < 2:
        return 1.0, 0
    top = torch.where(varied, sd, torch.zeros_like(sd)).argmax()
    return float(known.max() / known.median()), int(top)


STANDARDIZED = Rule(
    "data/not-standardized",
    kind="free",
    stage="data",
    says="inputs are not standardized",
    formula="pooled over all values of float inputs, at the model and at its first layer alike: "
    "sd > high, sd < low (sparse inputs: and max|x| < 0.05), or |mean| > far * sd; not where that "
    "layer is a norm. [0, 1] passes",
    limits={"high": 10.0, "low": 0.02, "far": 5.0},
    needs=("loader",),
    follows=(
        "data/nonfinite", "data/all-zero-inputs", "data/double-cast", "data/uint8-wrap",
        "data/train-val-shift", "data/quantized", "data/pretrained-stats",
    ),
    advice=_TALK,
    causes=(
        "pictures are 0 to 255: divide by 255, then subtract the mean",
        "the transform is missing in the training set, or applied twice",
    ),
    fix="x = (x - mean) / sd, with mean and sd of the training set",
    false_positives="physical units with a scale-free net; spectrograms in dB (sd 15 to 20)",
    source="0 of 38 clean programs; finds 0-255 and a second division by 255",
)  # fmt: skip


@STANDARDIZED.on_subject
def standardized(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Pool all values, at the model and at its first layer."""
    values = values_of(bench.shared(train_pass))
    wrong = _off_scale(values, limits)
    if wrong is None:
        return
    at_layer = entering(bench)
    inner = at_layer.given
    if at_layer.is_norm or at_layer.is_embedding:
        return
    if inner is not None and inner.is_floating_point():
        inside = inner.double().reshape(-1)
        inside = inside[inside.isfinite()]
        if len(inside) > 1 and _off_scale(inside, limits) is None:
            return
    yield STANDARDIZED.warn(
        value=round(wrong[0], 4),
        limit=wrong[1],
        where=place_of_data(bench, "loader"),
        evidence=f"inputs have mean {float(values.mean()):.3g} and standard deviation "
        f"{float(values.std(correction=0)):.3g}, from {float(values.min()):.3g} to "
        f"{float(values.max()):.3g}",
    )


def _off_scale(values: Tensor, limits: Limits) -> tuple[float, float] | None:
    """(value, limit) of what is off; None when nothing is."""
    mean, sd = float(values.mean()), float(values.std(correction=0))
    if sd > limits["high"]:
        return sd, limits["high"]
    is_sparse = float((values == 0).double().mean()) > 0.5
    if sd < limits["low"] and not (is_sparse and float(values.abs().max()) >= 0.05):
        return sd, limits["low"]
    if abs(mean) > limits["far"] * sd:
        return abs(mean) / max(sd, 1e-30), limits["far"]
    return None


SHIFT = Rule(
    "data/train-val-shift",
    kind="free",
    stage="data",
    says="validation inputs have another scale than training inputs",
    formula="pooled: |mean_train - mean_val| > mean * sd_train and beyond 6 standard errors of "
    "example means, or sd_val / sd_train outside [1/ratio, ratio] and the interquartile "
    "ranges so too; sequences need 4 times as much",
    limits={"mean": 0.5, "ratio": 2.0},
    needs=("loader", "val"),
    follows=("data/nonfinite", "data/all-zero-inputs"),
    advice=_TALK,
    causes=(
        "one of the two is standardized, the other is not",
        "each is standardized with its own mean",
    ),
    fix="apply the training set's transform, without its random parts, to the validation set",
    false_positives="splits by time or by source, which do shift; strong noise as augmentation",
    source="calibrated on clean programs with random splits",
)


@SHIFT.on_subject
def shift(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare pooled statistics of both loaders."""
    train, val = bench.shared(train_pass), bench.shared(val_pass)
    ours, theirs = values_of(train), values_of(val)
    if min(train.n, val.n) < 16:
        raise Cannot("too few examples to compare")
    mean, sd = float(ours.mean()), float(ours.std(correction=0))
    other, spread = float(theirs.mean()), float(theirs.std(correction=0))
    if sd == 0 or spread == 0:
        raise Cannot("inputs are constant")
    slack = 4.0 if train.xs[0].ndim == 3 else 1.0
    by_mean = abs(other - mean) / sd
    by_sd = max(spread / sd, sd / spread)
    z = abs(other - mean) / max(_standard_error(train, val), 1e-12)
    is_far = by_mean > slack * limits["mean"] and z > 6
    by_sd = min(by_sd, _middle_ratio(ours, theirs))
    if not is_far and by_sd <= slack * limits["ratio"]:
        return
    yield SHIFT.warn(
        value=round(by_mean if is_far else by_sd, 3),
        limit=slack * (limits["mean"] if is_far else limits["ratio"]),
        where=place_of_data(bench, "val"),
        evidence=f"training inputs have mean {mean:.3g} and sd {sd:.3g}, validation inputs "
        f"{other:.3g} and {spread:.3g}",
    )


def _middle_ratio(ours: Tensor, theirs: Tensor) -> float:
    """Of the interquartile ranges, which tails do not move; infinite where one is 0."""
    import torch

    spans = []
    for values in (ours, theirs):
        some = values[:: max(1, len(values) // 1_000_000)]
        first, third = (float(q) for q in torch.quantile(some, some.new_tensor([0.25, 0.75])))
        spans.append(third - first)
    return max(spans) / min(spans) if min(spans) > 0 else math.inf


def _standard_error(*passes: Pass) -> float:
    """Of the difference of means, examples as the units."""
    import torch

    total: float = 0.0
    for seen in passes:
        means = torch.cat(
            [torch.nan_to_num(x.double()).reshape(len(x), -1).mean(1) for x in seen.xs]
        )
        total += float(means.var(correction=0)) / len(means)
    return math.sqrt(total)
