"""The rules on data, for a recorded run: from what was counted of the batches its model was given.

Less is known here than of a subject (no model, no second pass), so what a model may undo is a note
where the followed net begins with a norm or an embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labbook.book.given import Card, Input, Mode, newest_cards
from labbook.book.nets import modules_of, nets
from labbook.checks.finding import Finding
from labbook.checks.recorded import Recorded
from labbook.checks.rule import Cannot, Limits
from labbook.checks.rules import (
    data_casts,
    data_imbalance,
    data_order,
    data_outliers,
    data_scale,
    data_targets,
)

_LEAST = 16
"""Examples without which nothing is said."""


def _cards(run: Recorded) -> list[tuple[Card, Mode]]:
    found = [(card, card.train) for card in newest_cards(run.run.facts) if card.train is not None]
    if not found:
        raise Cannot("not recorded: what the model was given in training (run.inspect)")
    return found


def _main(mode: Mode | None) -> Input | None:
    """The first input of floats with an axis beside the examples'."""
    inputs = mode.inputs if mode is not None else ()
    fit = [i for i in inputs if i.dtypes and i.shape is not None and len(i.shape) >= 1]
    floats = [i for i in fit if all("float" in kind for kind in i.dtypes)]
    return floats[0] if floats else None


def _inputs(run: Recorded) -> Iterator[tuple[Card, Input]]:
    found = [(card, _main(mode)) for card, mode in _cards(run)]
    known = [
        (card, given)
        for card, given in found
        if given is not None and given.examples_counted >= _LEAST
    ]
    if not known:
        raise Cannot("inputs are no floats, or too few")
    yield from known


def _where(card: Card, given: Input) -> str:
    return f"input {given.name} of {card.name} ({card.model})"


def _is_scaled_inside(run: Recorded) -> bool:
    """Whether a followed net begins with a norm, or with something that looks tokens up."""
    for net in nets(run.run.facts).values():
        kinds = [str(m.get("type")).rpartition(".")[2] for m in modules_of(net)]
        leaf = [kind for kind in kinds[1:] if kind not in {"Sequential", "ModuleList", "Flatten"}]
        if leaf and ("Norm" in leaf[0] or "Embedding" in leaf[0]):
            return True
    return False


@data_scale.STANDARDIZED.on_run
def standardized(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Mean and standard deviation over all values."""
    for card, given in _inputs(run):
        mean, sd, top = given.mean, given.sd, max(abs(given.low or 0), abs(given.high or 0))
        if mean is None or sd is None or sd == 0 or _is_scaled_inside(run):
            continue
        is_sparse = given.n_zero > 0.5 * given.n and top >= 0.05
        wrong = None
        if sd > limits["high"]:
            wrong = sd, limits["high"]
        elif sd < limits["low"] and not is_sparse:
            wrong = sd, limits["low"]
        elif abs(mean) > limits["far"] * sd:
            wrong = abs(mean) / sd, limits["far"]
        if wrong is not None:
            yield data_scale.STANDARDIZED.warn(
                value=round(wrong[0], 4),
                limit=wrong[1],
                where=_where(card, given),
                evidence=f"inputs have mean {mean:.3g} and standard deviation {sd:.3g}, from "
                f"{given.low:.3g} to {given.high:.3g}",
            )


@data_scale.ZERO.on_run
def zero(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Nothing but zeros."""
    for card, given in _inputs(run):
        if given.n and given.n_zero == given.n:
            yield data_scale.ZERO.fail(
                value=float(given.examples_counted),
                limit=limits["least"],
                where=_where(card, given),
                evidence=f"all {given.n} values of {given.examples_counted} examples are zero",
            )


@data_scale.CONSTANT.on_run
def constant(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Features or channels with one value."""
    for card, given in _inputs(run):
        dead = given.features.constant if given.features is not None else []
        if given.features is not None and 0 < len(dead) < len(given.features.n):
            named = ", ".join(map(str, dead[:12])) + (", …" if len(dead) > 12 else "")
            yield data_scale.CONSTANT.note(
                value=float(len(dead)),
                limit=0.0,
                where=_where(card, given),
                evidence=f"{len(dead)} of {len(given.features.n)} have one value throughout: "
                f"{named}",
            )


@data_scale.SCALES.on_run
def scales(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The spreads of features of (examples, features) inputs."""
    from statistics import median

    for card, given in _inputs(run):
        features = given.features
        if features is None or given.shape is None or len(given.shape) != 1:
            continue
        columns = zip(features.sd, features.distinct, strict=True)
        known = {i: sd for i, (sd, n) in enumerate(columns) if sd and n >= 3}
        if len(known) < 2 or _is_scaled_inside(run):
            continue
        top = max(known, key=lambda i: known[i])
        ratio = known[top] / median(known.values())
        if ratio > limits["ratio"]:
            yield data_scale.SCALES.warn(
                value=round(ratio, 1),
                limit=limits["ratio"],
                where=_where(card, given),
                evidence=f"the standard deviation of feature {top} is {ratio:.0f} times the median",
            )


@data_scale.SHIFT.on_run
def shift(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The same input in training and in evaluation."""
    for card, given in _inputs(run):
        other = _main(card.eval)
        known = other is not None and other.examples_counted >= _LEAST
        if other is None or not known or None in (given.mean, given.sd, other.mean, other.sd):
            continue
        mean, sd = given.mean or 0.0, given.sd or 0.0
        theirs, spread = other.mean or 0.0, other.sd or 0.0
        if sd == 0 or spread == 0:
            continue
        slack = 4.0 if given.shape is not None and len(given.shape) == 2 else 1.0
        by_sd = max(spread / sd, sd / spread)
        by_mean = abs(theirs - mean) / sd
        # examples are the units: without their means, a quarter of sd each is the most they vary
        is_sure = by_mean > 6 * (1 / given.examples_counted + 1 / other.examples_counted) ** 0.5
        is_far = by_mean > slack * limits["mean"] and is_sure
        if is_far or by_sd > slack * limits["ratio"]:
            yield data_scale.SHIFT.warn(
                value=round(by_mean if is_far else by_sd, 3),
                limit=slack * (limits["mean"] if is_far else limits["ratio"]),
                where=_where(card, given),
                evidence=f"training inputs have mean {mean:.3g} and sd {sd:.3g}, those of "
                f"evaluation {theirs:.3g} and {spread:.3g}",
            )


@data_casts.TWICE.on_run
def twice(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The largest value."""
    for card, given in _inputs(run):
        low, high = given.low, given.high
        if low is not None and high is not None and low >= 0 and 0 < high <= limits["top"]:
            yield data_casts.TWICE.warn(
                value=high,
                limit=limits["top"],
                where=_where(card, given),
                evidence=f"inputs lie between {low:.3g} and {high:.3g}",
            )


@data_casts.QUANTIZED.on_run
def quantized(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The values one by one, where there are few."""
    for card, given in _inputs(run):
        values = _counts(given)
        n = sum(values.values())
        if not n or any(value != round(value) for value in values):
            continue
        share = {int(value): count / n for value, count in values.items()}
        said = data_casts.cut_scores(share, given.mean or 0.0, given.sd or 0.0, limits)
        if said is not None:
            status, evidence = said
            yield data_casts.QUANTIZED.found(
                status,
                value=float(len(share)),
                where=_where(card, given),
                evidence=f"{evidence} ({'/'.join(given.dtypes)})",
            )


@data_outliers.GREY.on_run
def grey(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """How many pictures have equal channels."""
    for card, given in _inputs(run):
        n = given.n_grey or 0
        share = n / given.examples_counted
        if n and 1e-4 <= share <= limits["share"]:
            yield data_outliers.GREY.note(
                value=round(share, 4),
                limit=limits["share"],
                where=_where(card, given),
                evidence=f"{n} of {given.examples_counted} pictures are grey",
            )


def _counts(given: Input) -> dict[float, int]:
    """Value -> how often, where few different ones were counted; else empty."""
    histogram = given.histogram
    return dict(histogram.values) if histogram is not None and histogram.values else {}


def _labels(run: Recorded) -> Iterator[tuple[Card, Input, dict[float, int], dict[str, Any]]]:
    """Targets of one whole number an example, their counts, and the card's raw record of them."""
    found = []
    for card, mode in _cards(run):
        for target in mode.targets[:1]:
            counts = _counts(target)
            is_flat = target.shape in {(), (1,)}
            if counts and is_flat and all(value == round(value) for value in counts):
                raw = card.raw.get("train", {}).get("targets", {}).get(target.name, {})
                found.append((card, target, counts, raw if isinstance(raw, dict) else {}))
    if not found:
        raise Cannot("not recorded: targets of one class an example")
    yield from found


@data_targets.CONSTANT.on_run
def labels_constant(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """One value; a warning, since more batches may hold others."""
    for card, target, counts, _ in _labels(run):
        n = sum(counts.values())
        if len(counts) == 1 and n >= limits["least"]:
            yield data_targets.CONSTANT.warn(
                value=1.0,
                limit=1.0,
                where=f"target {target.name} of {card.name}",
                evidence=f"the first {n} targets are all {next(iter(counts)):g}",
            )


@data_imbalance.IMBALANCE.on_run
def imbalance(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Counts of classes."""
    for card, target, counts, _ in _labels(run):
        n = sum(counts.values())
        ratio = max(counts.values()) / min(counts.values())
        if len(counts) > 1 and n >= 30 * len(counts) and ratio > limits["ratio"]:
            rarest = min(counts, key=lambda value: counts[value])
            yield data_imbalance.IMBALANCE.note(
                value=round(ratio, 1),
                limit=limits["ratio"],
                where=f"target {target.name} of {card.name}",
                evidence=f"class {rarest:g} has {counts[rarest]} of {n} examples, the largest "
                f"{ratio:.0f} times as many",
            )


@data_order.UNSHUFFLED.on_run
def unshuffled(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Equal neighbours within batches, against what the classes' shares give.

    Whether batches differ is not recorded: in the spread of counts a sorted batch has few classes,
    so it is a warning where the neighbours alone say it.
    """
    for card, target, counts, raw in _labels(run):
        about = raw.get("neighbours")
        pairs, equal = (about.get(k) if isinstance(about, dict) else 0 for k in ("pairs", "equal"))
        n = sum(counts.values())
        q = sum((count / n) ** 2 for count in counts.values())
        if not isinstance(pairs, int) or not isinstance(equal, int) or pairs < 32 or q >= 1:
            continue
        z = (equal / pairs - q) / (q * (1 - q) / pairs) ** 0.5
        if z > limits["z"]:
            yield data_order.UNSHUFFLED.warn(
                value=round(z, 2),
                limit=limits["z"],
                where=f"target {target.name} of {card.name}",
                evidence=f"{equal} of {pairs} neighbours within batches have the same class, "
                f"{q:.0%} would by chance: z = {z:.1f}",
            )
