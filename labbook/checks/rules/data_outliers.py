"""Examples unlike the rest: by their values, their colours, their size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.passes import Pass, given_x, place_of_data, train_pass, val_pass
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.rules.data_scale import entering

if TYPE_CHECKING:
    from torch import Tensor

PROPERTY = Rule(
    "data/outlier-property",
    kind="free",
    stage="data",
    says="a few examples have quite other values than the rest",
    formula="|v - median| / (1.4826 MAD) > z for less than share of the examples, v their mean, "
    "standard deviation, minimum or maximum; note, warn when mean or standard deviation > far",
    limits={"z": 6.0, "share": 0.01, "far": 100.0},
    needs=("loader",),
    follows=("data/nonfinite",),
    advice="visualize distribution and outliers: huge images that should have been rescaled",
    causes=("these examples were not scaled as the rest", "broken files, sensors or units"),
    fix="look at these examples, and scale or leave them out",
    false_positives="heavy tails",
    source="median absolute deviation; Shelhamer, DIY Deep Learning",
)


@PROPERTY.on_subject
def outlier_property(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare each example's summary with those of all."""
    if entering(bench).is_embedding:
        raise Cannot("inputs are tokens")
    passes = [bench.shared(train_pass)]
    if bench.subject.val is not None:
        passes.append(bench.shared(val_pass))
    for seen in passes:
        found = _outlying(seen, limits)
        if not found:
            continue
        far = max((z for name, z, _ in found if name in {"mean", "sd"}), default=0.0)
        name, z, places = max(found, key=lambda one: one[1])
        say = PROPERTY.warn if far > limits["far"] else PROPERTY.note
        yield say(
            value=round(z, 1),
            limit=limits["far"] if far > limits["far"] else limits["z"],
            where=place_of_data(bench, seen.which),
            evidence=f"the {name} of {len(places)} of {seen.n} examples of {seen.which} lies up to "
            f"{z:.0f} robust deviations away: {seen.named(places)}",
        )


def _outlying(seen: Pass, limits: Limits) -> list[tuple[str, float, list[int]]]:
    """(property, largest z, places) of each that has outliers."""
    import torch

    rows = seen.rows
    if rows.shape[1] < 4 or len(rows) < 50:
        raise Cannot("too few examples, or too few numbers in each")
    rows = torch.nan_to_num(rows.double())
    scale = float(rows.std(1, correction=0).median())
    found = []
    for name, values in (
        ("mean", rows.mean(1)),
        ("sd", rows.std(1, correction=0)),
        ("minimum", rows.amin(1)),
        ("maximum", rows.amax(1)),
    ):
        away = (values - values.median()).abs()
        mad = 1.4826 * float(away.median())
        if mad < 1e-3 * scale:
            if name in {"minimum", "maximum"} or scale == 0:
                continue  # bounded: most examples touch the bound
            mad = 1e-3 * scale
        z = away / mad
        for bound in (limits["far"], limits["z"]):
            places = (z > bound).nonzero()[:, 0]
            if 0 < len(places) < max(limits["share"] * len(rows), 2.5):
                order = z[places].argsort(descending=True)
                found.append((name, float(z.max()), places[order].tolist()))
                break
    return found


GREY = Rule(
    "data/grayscale-minority",
    kind="free",
    stage="data",
    says="a few grey pictures among coloured ones",
    formula="channels equal within 1e-3 of the range for 0.01 % to share of the examples",
    limits={"share": 0.05},
    needs=("loader",),
    advice="visualize outliers: rare grayscale images in a color dataset",
    causes=("grey files that were read as colour",),
    fix="look whether they belong to one class: the net may learn the file's kind instead",
    false_positives="photographs: one or two in a hundred are grey",
    source="Shelhamer, DIY Deep Learning",
)


@GREY.on_subject
def grey(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare channels."""
    seen = bench.shared(train_pass)
    is_grey: list[bool] = []
    for x in seen.xs:
        if x.ndim != 4 or 3 not in (x.shape[1], x.shape[3]):
            raise Cannot("inputs are no pictures of 3 channels")
        is_grey += _is_grey(x)
    n, share = sum(is_grey), sum(is_grey) / max(1, len(is_grey))
    if n and 1e-4 <= share <= limits["share"]:
        places = [i for i, grey in enumerate(is_grey) if grey]
        yield GREY.note(
            value=round(share, 4),
            limit=limits["share"],
            where=place_of_data(bench, "loader"),
            evidence=f"{n} of {len(is_grey)} pictures are grey: {seen.named(places)}",
        )


def _is_grey(x: Tensor) -> list[bool]:
    pictures = x.double() if x.shape[1] == 3 else x.double().movedim(3, 1)
    span = float(pictures.max() - pictures.min()) or 1.0
    apart = (pictures.amax(1) - pictures.amin(1)).reshape(len(x), -1).amax(1)
    found: list[bool] = (apart <= 1e-3 * span).tolist()
    return found


SIZE = Rule(
    "data/size-minority",
    kind="free",
    stage="data",
    says="a few pictures have quite another size than the rest",
    formula="height * width outside [Q1 - 3 IQR, Q3 + 3 IQR] for less than share of the examples",
    limits={"share": 0.05},
    needs=("loader",),
    advice="visualize outliers: huge images that should have been rescaled",
    causes=("pictures that were not rescaled",),
    fix="resize in the transform, or look at these files",
    false_positives="data of many sizes",
    source="cleanvision odd_size, iqr_factor 3",
)


@SIZE.on_subject
def size(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare areas; batches must differ in size for that."""
    import torch

    seen = bench.shared(train_pass)
    areas: list[float] = []
    for batch in seen.batches:
        x = given_x(batch)
        if x is None or x.ndim != 4:
            raise Cannot("inputs are no pictures")
        areas += [float(x.shape[2] * x.shape[3])] * len(x)
    values = torch.tensor(areas)
    first, third = (float(q) for q in values.quantile(torch.tensor([0.25, 0.75])))
    spread = 3 * (third - first)
    places = ((values < first - spread) | (values > third + spread)).nonzero()[:, 0].tolist()
    if 0 < len(places) <= limits["share"] * len(values):
        yield SIZE.note(
            value=float(values[places].max()),
            limit=third + spread,
            where=place_of_data(bench, "loader"),
            evidence=f"{len(places)} of {len(areas)} pictures have {values[places[0]]:.0f} pixels, "
            f"the middle half {first:.0f} to {third:.0f}: {seen.named(places)}",
        )
