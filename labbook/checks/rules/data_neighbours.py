"""Examples that are almost another one, or whose neighbours all have another label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.neighbours import Near, dimension, near, train_near
from labbook.checks.passes import Pass, class_labels, place_of_data, train_pass, val_pass
from labbook.checks.rule import Cannot, Limits, Rule

if TYPE_CHECKING:
    from torch import Tensor

_VOTERS = 10

NEAR = Rule(
    "data/near-duplicate",
    kind="free",
    stage="data",
    says="examples are almost the same as others",
    formula="distance to the nearest / to the 10th neighbour < ratio, and not 0; more often than "
    "chance in as many dimensions as the data fills (9 * ratio^dimensions). Validation examples "
    "near training ones above share: warn; else note",
    limits={"ratio": 0.13, "share": 0.15},
    needs=("loader",),
    follows=(
        "data/val-is-train", "data/train-val-duplicates", "data/dup-in-batch",
        "data/quantized", "data/uint8-wrap",
    ),
    advice="look at nearest neighbors in the raw data",
    causes=(
        "augmented copies were made before the split",
        "frames of one video, or measurements of one patient, lie on both sides",
    ),
    fix="split by source first, then augment the training part alone",
    false_positives="data that fills few dimensions: not judged",
    source="cleanlab's 0.13, here of the 10th neighbour, which copies do not move",
)  # fmt: skip


@NEAR.on_subject
def near_duplicate(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Within training, and between validation and training."""
    seen = bench.shared(train_pass)
    if not seen.is_rich:
        raise Cannot("inputs have so few values that near ones say nothing")
    inside = bench.shared(train_near)
    chance = 9 * limits["ratio"] ** dimension(inside.distances)
    yield from _said(bench, seen, inside, chance, limits)
    if bench.subject.val is not None:
        val = bench.shared(val_pass)
        yield from _said(bench, val, near(bench, val), chance, limits)


def _said(
    bench: Bench, seen: Pass, found: Near, chance: float, limits: Limits
) -> Iterator[Finding]:
    close = _close(found, limits["ratio"])
    n = int(close.sum())
    share = n / len(close)
    if n == 0 or n <= 10 * chance * len(close) + 0.5:
        return
    is_leak = seen.which == "val" and share > limits["share"]
    say = NEAR.warn if is_leak else NEAR.note
    where = "training examples" if seen.which == "val" else "another"
    yield say(
        value=round(share, 4),
        limit=limits["share"],
        where=place_of_data(bench, seen.which),
        evidence=f"{n} of {len(close)} examples of {seen.which} are almost the same as {where}: "
        + seen.named(close.nonzero()[:, 0].tolist()),
    )


def _close(found: Near, ratio: float) -> Tensor:
    first, tenth = found.distances[:, 0], found.distances[:, 9]
    is_other = first > 1e-5 * tenth.median()  # equal ones are data/train-val-duplicates
    return is_other & (first < ratio * tenth)


LABELS = Rule(
    "data/neighbour-labels",
    kind="free",
    stage="data",
    says="the nearest examples of some all have one other label",
    formula="the 10 nearest inputs of an example have one label, which is not its own; listed "
    "where less than 10 % of the examples are such",
    limits={"share": 0.1},
    needs=("loader",),
    follows=("data/labels-constant",),
    advice="look at nearest neighbors in the raw data",
    causes=("the label is wrong", "the example is hard"),
    fix="look at these examples: labbook check --card card.html",
    false_positives="rare classes whose inputs resemble a frequent one",
    source="1-nearest-neighbour agreement on raw digits is 0.985",
)


@LABELS.on_subject
def neighbour_labels(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """List candidates."""
    seen = bench.shared(train_pass)
    labels = class_labels(seen)
    if labels is None:
        raise Cannot("targets are no class labels")
    found = bench.shared(train_near)
    own = labels[: len(found.places)]
    if len(own) != len(found.places) or len(own) < 100:
        raise Cannot("too few examples")
    votes = labels[found.places[:, :_VOTERS]]
    alone = (votes == votes[:, :1]).all(1) & (votes[:, 0] != own)
    places = alone.nonzero()[:, 0].tolist()
    if not places or len(places) > limits["share"] * len(own):
        return
    yield LABELS.note(
        value=float(len(places)),
        limit=limits["share"] * len(own),
        where=place_of_data(bench, "loader"),
        evidence=f"{len(places)} of {len(own)} examples: {seen.named(places, 12)}",
    )
