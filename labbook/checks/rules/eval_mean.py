"""How an evaluation puts batches together: means of means, sums, and wrong denominators.

Each batch's loss and accuracy are computed again from the outputs that evaluate() saw. A returned
number that equals a wrong combination of them, to the last digits, and not the right one, was
computed that way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from labbook.checks.bench import Bench
from labbook.checks.eval_series import Series, series
from labbook.checks.evaluated import Evaluated, called
from labbook.checks.finding import Finding
from labbook.checks.rule import Limits, Rule

MEANS = Rule(
    "eval/mean-of-means",
    kind="free",
    stage="eval",
    says="a mean over batches is reported, in which the short last batch counts too much",
    formula="a number from evaluate() equals the plain mean of the batches' losses or metrics (or "
    "of their roots or exponentials) and not the mean weighted by examples",
    needs=("evaluate", "val"),
    follows=("eval/train-mode", "eval/on-train-data", "eval/not-repeatable"),
    advice="evaluate on the whole set: batch-wise statistics, even if smoothed, are too noisy",
    causes=("the sum over batches is divided by len(loader)",),
    fix="add value * len(x) for each batch, and divide by len(dataset)",
    source="the batches' own values, computed again",
)

SUMS = Rule(
    "eval/loss-as-sum",
    kind="free",
    stage="eval",
    says="the reported loss is a sum over batches, or such a sum over the number of examples",
    formula="a number from evaluate() equals Σ of the batches' mean losses, or that Σ divided by "
    "the number of examples, over ≥ 2 batches",
    needs=("evaluate", "val"),
    follows=("eval/train-mode", "eval/on-train-data", "eval/not-repeatable"),
    advice="add significant digits to your eval",
    causes=("the sum of mean losses is not divided by anything", "it is divided by len(dataset)"),
    fix="add loss.item() * len(x) for each batch, and divide by len(dataset)",
    source="the batches' own values, computed again",
)

METRIC = Rule(
    "eval/metric",
    kind="free",
    stage="eval",
    says="the reported number has the wrong denominator, or is that of one batch",
    formula="a number from evaluate() equals the number of correct answers divided by the number "
    "of batches, or by batches times batch size where the last one is short, or by the batch size; "
    "or the sum over examples divided by the size of the training set; or the value of the last "
    "or first batch alone",
    needs=("evaluate", "val"),
    follows=(
        "eval/train-mode",
        "eval/on-train-data",
        "eval/not-repeatable",
        "eval/mean-of-means",  # the same where the last batch has no correct answer
    ),
    advice="add significant digits to your eval",
    causes=("correct answers are divided by len(loader), or len(loader) * batch_size",),
    fix="divide the number of correct answers by len(dataset)",
    source="the batches' own values, computed again",
)

EXACT = 2e-6
"""Relative: sums of float32 in another order differ by less than this for sets of this size."""


_SHAPES: dict[str, Callable[[float], float]] = {
    "": lambda v: v,
    "root of ": lambda v: math.sqrt(v) if v >= 0 else math.nan,
    "exponential of ": lambda v: math.exp(v) if v < 300 else math.nan,
}


@MEANS.on_subject
def means(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for numbers that are plain means of batches."""
    seen, all_series = called(bench), bench.shared(series)
    for name, value in _unexplained(seen, all_series):
        for one in all_series:
            for shape, wrong in _plain_means(one):
                if not _is(value, wrong) or one.is_summed:
                    continue
                right = _SHAPES[shape](one.mean)
                yield MEANS.warn(
                    value=value,
                    limit=right,
                    where=seen.calls[0].where,
                    evidence=f"{_shown(name)}{value:.6g} is the mean over {len(one.values)} "
                    f"batches of the {shape}{one.name}; over {one.n} examples it is {right:.6g} "
                    f"(the last batch has {one.sizes[-1]} examples, others {one.sizes[0]})",
                )
                break
            else:
                continue
            break


@SUMS.on_subject
def sums(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for numbers that are sums of mean losses."""
    seen, all_series = called(bench), bench.shared(series)
    for name, value in _unexplained(seen, all_series):
        for one in all_series:
            if one.is_summed or len(one.values) < 2 or one.name.startswith("accuracy"):
                continue
            total = math.fsum(one.values)
            by = "" if _is(value, total) else f", divided by {one.n} examples"
            if _is(value, total) or _is(value, total / one.n):
                yield SUMS.warn(
                    value=value,
                    limit=one.mean,
                    where=seen.calls[0].where,
                    evidence=f"{_shown(name)}{value:.6g} is the sum of {len(one.values)} batches' "
                    f"mean {one.name}{by}; the mean over examples is {one.mean:.6g}",
                    causes=(SUMS.causes[1 if by else 0],),
                )
                break


@METRIC.on_subject
def metric(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for accuracies over another number than that of the examples."""
    seen, all_series = called(bench), bench.shared(series)
    for name, value in _unexplained(seen, all_series):
        for one in all_series:
            found = _mistaken(name, value, one, _trained_on(bench))
            if found:
                yield METRIC.warn(
                    value=value,
                    limit=one.mean,
                    where=seen.calls[0].where,
                    evidence=f"{_shown(name)}{value:.6g} is {found}; over {one.n} examples it is "
                    f"{one.mean:.6g}",
                )
                break


def _mistaken(name: str, value: float, one: Series, n_train: int) -> str:
    """What the value is, in words; empty where it is none of these."""
    is_accuracy = one.name.startswith("accuracy")
    found = _denominator(value, one) if is_accuracy else ""
    if found:
        return f"{one.total:.0f} correct answers divided by {found}"
    if one.is_summed or len(one.values) < 2:
        return ""
    if n_train and n_train != one.n and _is(value, one.total / n_train):
        return f"the sum of the {one.name} divided by {n_train}, the size of the training set"
    if not is_accuracy or "acc" in name.lower():
        for n, words in ((-1, "last"), (0, "first")):
            if one.values[n] and _is(value, one.values[n]):
                return f"the {one.name} of the {words} of {len(one.values)} batches"
    return ""


def _trained_on(bench: Bench) -> int:
    """Examples in the training set; 0 where it does not say."""
    try:
        return len(getattr(bench.subject.loader, "dataset", ()))
    except (TypeError, NotImplementedError):
        return 0


def _denominator(value: float, one: Series) -> str:
    k, size = len(one.values), one.sizes[0]
    if one.total == 0:
        return ""
    of_batches = (k, f"{k} batch{'es' if k > 1 else ''}")
    others = ((k * size, f"{k} batches of {size}"), (size, f"the batch size {size}"))
    for n, words in (of_batches, *(others if k > 1 else ())):
        if n != one.n and any(_is(value, factor * one.total / n) for factor in (1, 100)):
            return str(words)
    return ""


def _plain_means(one: Series) -> Iterator[tuple[str, float]]:
    for shape, change in _SHAPES.items():
        yield shape, math.fsum(map(change, one.values)) / len(one.values)
        if shape:
            yield shape, change(one.plain)
        else:
            yield shape, 100 * one.plain
            yield shape, 1 - one.plain


def _unexplained(seen: Evaluated, all_series: list[Series]) -> Iterator[tuple[str, float]]:
    """The numbers returned that are not what they should be for any of the quantities."""
    for name, value in seen.values.items():
        is_count = value == int(value) and "acc" not in name.lower() if math.isfinite(value) else 1
        if is_count:
            continue
        if any(_is(value, right) for one in all_series for right in _right(one)):
            continue
        yield name, value


def _right(one: Series) -> Iterator[float]:
    if one.is_summed:
        yield math.fsum(one.values)
        yield math.fsum(one.values) / one.n
    for change in _SHAPES.values():
        yield change(one.mean)
    yield from (100 * one.mean, 1 - one.mean, 100 * (1 - one.mean))


def _is(value: float, other: float) -> bool:
    return math.isfinite(other) and abs(value - other) <= EXACT * max(abs(value), 1e-9)


def _shown(name: str) -> str:
    return f"{name}: " if name else ""
