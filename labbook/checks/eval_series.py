"""Losses and metrics of each batch of an evaluation, computed again from the outputs it saw."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from labbook.checks.bench import Bench, UserError
from labbook.checks.evaluated import called
from labbook.checks.examples import Examples, training_examples, validation
from labbook.checks.rule import Cannot

__all__ = ["MEASURES", "Series", "series"]


@dataclass(frozen=True)
class Series:
    """One quantity, by batch: its means, and how many examples each batch has."""

    name: str
    values: tuple[float, ...]
    sizes: tuple[int, ...]
    is_summed: bool = False

    @property
    def total(self) -> float:
        """Over all examples."""
        return math.fsum(v * n for v, n in zip(self.values, self.sizes, strict=True))

    @property
    def n(self) -> int:
        """Examples."""
        return sum(self.sizes)

    @property
    def mean(self) -> float:
        """Weighted by examples."""
        return self.total / self.n

    @property
    def plain(self) -> float:
        """Of the batches, each counted once."""
        return math.fsum(self.values) / len(self.values)


def series(bench: Bench) -> list[Series]:
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


def _losses(bench: Bench, pairs: list[Any], sizes: tuple[int, ...]) -> Series | None:
    import torch

    try:
        with torch.no_grad():
            values = [float(bench.loss(output, target)) for output, target in pairs]
    except (Cannot, UserError):
        return None
    values = values if all(map(math.isfinite, values)) else []
    return Series("loss", tuple(values), sizes, _is_summed(bench, pairs[0])) if values else None


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


def _metrics(bench: Bench, pairs: list[Any], sizes: tuple[int, ...]) -> Iterator[Series]:
    for name, measure in MEASURES.items():
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
            yield Series(name, tuple(values), sizes)


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


MEASURES: dict[str, Callable[[Any, Any], float | None]] = {
    "accuracy": _accuracy,
    "accuracy (> 0)": _binary(0.0),
    "accuracy (> 0.5)": _binary(0.5),
    "squared error": _error(2),
    "absolute error": _error(1),
}
