"""How an evaluation puts batches together: means of means, sums, and wrong denominators.

Each batch's loss and accuracy are computed again from the outputs that evaluate() saw. A returned
number that equals a wrong combination of them, to the last digits, and not the right one, was
computed that way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from labbook.checks.bench import Bench, UserError
from labbook.checks.evaluated import Evaluated
from labbook.checks.finding import Finding
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.rules.eval_mode import called
from labbook.checks.rules.eval_set import Examples, training_examples, validation

MEANS = Rule(
    "eval/mean-of-means",
    kind="free",
    stage="eval",
    says="a mean over batches is reported, in which the short last batch counts too much",
    formula="a number from evaluate() equals the plain mean of the batches' losses or metrics (or "
    "of their roots or exponentials) and not the mean weighted by examples",
    limits={"apart": 1e-6},
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
    says="the reported accuracy has the wrong denominator",
    formula="a number from evaluate() equals the number of correct answers divided by the number "
    "of batches, or by batches times batch size where the last one is short, or by the batch size",
    needs=("evaluate", "val"),
    follows=("eval/train-mode", "eval/on-train-data", "eval/not-repeatable"),
    advice="add significant digits to your eval",
    causes=("correct answers are divided by len(loader), or len(loader) * batch_size",),
    fix="divide the number of correct answers by len(dataset)",
    source="the batches' own values, computed again",
)

EXACT = 2e-6
"""Relative: sums of float32 in another order differ by less than this for sets of this size."""


@dataclass(frozen=True)
class _Series:
    """One quantity, by batch: its means, and how many examples each batch has."""

    name: str
    values: tuple[float, ...]
    sizes: tuple[int, ...]
    is_summed: bool = False

    @property
    def total(self) -> float:
        return math.fsum(v * n for v, n in zip(self.values, self.sizes, strict=True))

    @property
    def n(self) -> int:
        return sum(self.sizes)

    @property
    def mean(self) -> float:
        return self.total / self.n

    @property
    def plain(self) -> float:
        return math.fsum(self.values) / len(self.values)


def series(bench: Bench) -> list[_Series]:
    """Losses and metrics of each call in evaluate(); `bench.shared` it.

    Raises `Cannot` where outputs cannot be matched with targets.
    """
    seen = called(bench)
    known = bench.shared(validation)
    rows = {row for call in seen.calls for row in call.rows}
    if not rows <= known.targets.keys() and bench.subject.loader is not None:
        known = bench.shared(training_examples)
    pairs = [_paired(call, known) for call in seen.calls]
    if any(pair is None for pair in pairs):
        raise Cannot("outputs of evaluate() cannot be matched with the targets of val=")
    sizes = tuple(call.n for call in seen.calls)
    found = [s for s in (_losses(bench, pairs, sizes), *_metrics(bench, pairs, sizes)) if s]
    if not found:
        raise Cannot("neither a loss nor a metric could be computed again")
    return found


def _paired(call: Any, known: Examples) -> tuple[Any, Any] | None:
    import torch

    if call.output is None or not call.rows or any(r not in known.targets for r in call.rows):
        return None
    return call.output, torch.stack([known.targets[row] for row in call.rows])


def _losses(bench: Bench, pairs: list[Any], sizes: tuple[int, ...]) -> _Series | None:
    import torch

    try:
        with torch.no_grad():
            values = [float(bench.loss(output, target)) for output, target in pairs]
    except (Cannot, UserError):
        return None
    values = values if all(map(math.isfinite, values)) else []
    return _Series("loss", tuple(values), sizes, _is_summed(bench, pairs[0])) if values else None


def _is_summed(bench: Bench, pair: tuple[Any, Any]) -> bool:
    """Whether twice the examples give twice the loss."""
    import torch

    from labbook.checks.batch import mapped

    def twice(value: Any) -> Any:
        return mapped(value, lambda t: torch.cat([t, t]) if t.ndim else t)

    try:
        one, two = bench.loss(*pair), bench.loss(twice(pair[0]), twice(pair[1]))
    except (Cannot, UserError):
        return False
    return abs(float(two) - 2 * float(one)) < 0.05 * abs(float(one))


def _metrics(bench: Bench, pairs: list[Any], sizes: tuple[int, ...]) -> Iterator[_Series]:
    for name, measure in _MEASURES.items():
        values: list[float] = []
        for output, target in pairs:
            try:
                value = measure(bench.tensor(output).double(), target)
            except (Cannot, RuntimeError, IndexError):
                value = None
            if value is None:
                break
            values.append(value)
        if len(values) == len(pairs):
            yield _Series(name, tuple(values), sizes)


def _accuracy(output: Any, target: Any) -> float | None:
    if target.is_floating_point() or output.ndim != target.ndim + 1:
        return None
    axis = -1 if output.shape[:-1] == target.shape else 1
    return float((output.argmax(axis) == target).double().mean())


def _binary(threshold: float) -> Callable[[Any, Any], float | None]:
    def measure(output: Any, target: Any) -> float | None:
        if output.numel() != target.numel() or not bool(((target == 0) | (target == 1)).all()):
            return None
        answer = (output > threshold).reshape(target.shape)
        return float((answer == target.bool()).double().mean())

    return measure


def _error(power: int) -> Callable[[Any, Any], float | None]:
    def measure(output: Any, target: Any) -> float | None:
        if output.numel() != target.numel() or not target.is_floating_point():
            return None
        return float((output.reshape(target.shape) - target).abs().pow(power).mean())

    return measure


_MEASURES: dict[str, Callable[[Any, Any], float | None]] = {
    "accuracy": _accuracy,
    "accuracy (> 0)": _binary(0.0),
    "accuracy (> 0.5)": _binary(0.5),
    "squared error": _error(2),
    "absolute error": _error(1),
}

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
            found = one.name.startswith("accuracy") and _denominator(value, one)
            if found:
                yield METRIC.warn(
                    value=value,
                    limit=one.mean,
                    where=seen.calls[0].where,
                    evidence=f"{_shown(name)}{value:.6g} is {one.total:.0f} correct answers divided "
                    f"by {found}; by {one.n} examples it is {one.mean:.6g}",
                )
                break


def _denominator(value: float, one: _Series) -> str:
    k, size = len(one.values), one.sizes[0]
    if one.total == 0 or k < 2:
        return ""
    for n, words in (
        (k, f"{k} batches"),
        (k * size, f"{k} batches of {size}"),
        (size, f"the batch size {size}"),
    ):
        if n != one.n and any(_is(value, factor * one.total / n) for factor in (1, 100)):
            return words
    return ""


def _plain_means(one: _Series) -> Iterator[tuple[str, float]]:
    for shape, change in _SHAPES.items():
        yield shape, math.fsum(map(change, one.values)) / len(one.values)
        if shape:
            yield shape, change(one.plain)
        else:
            yield shape, 100 * one.plain
            yield shape, 1 - one.plain


def _unexplained(seen: Evaluated, all_series: list[_Series]) -> Iterator[tuple[str, float]]:
    """The numbers returned that are not what they should be for any of the quantities."""
    for name, value in seen.values.items():
        is_count = value == int(value) and "acc" not in name.lower() if math.isfinite(value) else 1
        if is_count:
            continue
        if any(_is(value, right) for one in all_series for right in _right(one)):
            continue
        yield name, value


def _right(one: _Series) -> Iterator[float]:
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
