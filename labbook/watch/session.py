"""One evaluation, kept warm: its model and data stay, weights come and go.

`setup` and `data` are called once for a worker and the arguments of a run; runs with other
arguments get their own. Per checkpoint the weights are copied in, then every batch is given to
`step` in eval and inference mode under a fixed seed.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from labbook.errors import EvaluationError
from labbook.watch.batches import Examples, mini_ids, move, split_data
from labbook.watch.evaluation import Context, Declaration
from labbook.watch.load import load_into, read_state, unverified
from labbook.watch.rows import Collector, Rows, check_once, measure

__all__ = ["Outcome", "Session", "Work"]

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Work:
    """One evaluation of one checkpoint, as the session sees it."""

    path: Path
    kind: str
    subset: str
    step: int | None


@dataclass(frozen=True)
class Outcome:
    """What came of it. `metrics` and `stderr` None where a row is not finite."""

    rows: Rows
    metrics: dict[str, float | None]
    stderr: dict[str, float | None]
    n_nonfinite: dict[str, int]
    n_expected: int | None
    coverage: str
    batch_size: int
    seconds: float
    warnings: list[str]


@dataclass
class Session:
    """An evaluation with its model and data in memory, for one run's arguments."""

    declared: Declaration
    target: Any
    module: Any
    context: Context
    _examples: Examples | None = None
    _data_digest: str | None = None
    _is_up: bool = False
    _user: Any = None
    warnings: list[str] = field(default_factory=list)

    @property
    def data_digest(self) -> str | None:
        """Fingerprint of the data; None where the evaluation makes its own batches."""
        return self._data_digest

    def start(self) -> None:
        """Build the model and the data, unless that is done."""
        if self._is_up:
            return
        self._seed()
        self._user = self.target() if isinstance(self.target, type) else None
        model = self._setup()
        if isinstance(model, torch.nn.Module):
            model = model.to(self.context.device)
        elif not self._has("load") and (self._user is not None or model is not None):
            raise EvaluationError(
                f"{self.declared.name}: setup() returned {type(model).__name__}, not a "
                "torch.nn.Module; return the model, or write load(context, path) too"
            )
        self.context.model = model
        if self._has("data") and not self._has("batches"):
            self._examples = split_data(self._user.data(self.context))
            self._data_digest = self._examples.fingerprint()
        self._is_up = True

    def load(self, work: Work) -> list[str]:
        """Put the checkpoint's weights into the model; returns warnings."""
        self.context.checkpoint, self.context.step = work.path, work.step
        if self._has("load"):
            replaced = self._user.load(self.context, work.path)
            if replaced is not None:
                self.context.model = replaced
            return unverified(work.kind)
        state = read_state(work.path, work.kind, self.declared.weights)
        if self.context.model is None:
            self.context.state = state
            return unverified(work.kind)
        return unverified(work.kind) + load_into(self.context.model, state)

    def evaluate(self, work: Work, progress: Progress) -> Outcome:
        """Go over the examples; on running out of memory once more with half the batch."""
        warnings: list[str] = []
        size = self.declared.batch_size
        try:
            return self._evaluate(work, size, progress, warnings)
        except torch.OutOfMemoryError:
            if size == 1 or self._examples is None:
                raise
            torch.cuda.empty_cache()
            size //= 2
            warnings.append(f"out of memory: evaluated with a batch size of {size}")
            return self._evaluate(work, size, progress, warnings)

    def _evaluate(self, work: Work, size: int, progress: Progress, warnings: list[str]) -> Outcome:
        began = time.monotonic()
        self._seed()
        expected = self._expected(work.subset)
        self.context.ids = expected if work.subset == "mini" else None
        collector = Collector(self.declared.name)
        done = 0
        model = self.context.model
        if isinstance(model, torch.nn.Module):
            model.eval()
        with torch.inference_mode():
            for ids, columns in self._columns(expected, size):
                done += collector.add(ids, columns)
                progress(done, None if expected is None else len(expected))
        rows = collector.finish()
        if not len(rows):
            raise EvaluationError(f"{self.declared.name}: not one batch came, so there are no rows")
        if expected is None and self.context.n_examples is not None:
            expected = range(self.context.n_examples)
        if expected is not None:
            check_once(rows, expected, self.declared.name)
        metrics, errors, bad = measure(rows, self.declared.weight)
        if self._has("reduce"):
            metrics, errors = _numbers(self._user.reduce(rows.columns)), {}
        return Outcome(
            rows=rows,
            metrics=metrics,
            stderr=errors,
            n_nonfinite=bad,
            n_expected=None if expected is None else len(expected),
            coverage="unverified" if expected is None else "complete",
            batch_size=size,
            seconds=time.monotonic() - began,
            warnings=warnings,
        )

    def _columns(
        self, expected: Sequence[int] | None, size: int
    ) -> Iterator[tuple[Sequence[int] | None, Any]]:
        if self._user is None:
            yield from self._function_columns()
        elif self._examples is not None:
            collate = self._user.collate if self._has("collate") else None
            for ids, batch in self._examples.batches(expected or [], size, collate):
                yield ids, self._user.step(self.context, move(batch, self.context.device))
        else:
            for ids, batch in self._user.batches(self.context):
                plain = [int(each) for each in ids]
                yield plain, self._user.step(self.context, move(batch, self.context.device))

    def _function_columns(self) -> Iterator[tuple[None, Any]]:
        model = self.context.model if self.context.model is not None else self.context.state
        found = self.target(model, self.context.device)
        if isinstance(found, Mapping):
            yield None, found
        else:
            for columns in found:
                yield None, columns

    def _expected(self, subset: str) -> Sequence[int] | None:
        """Ids that must come out; None where the evaluation does not say."""
        if self._examples is not None:
            ids: Sequence[int] = self._examples.ids
        elif self.context.n_examples is not None:
            ids = range(self.context.n_examples)
        elif subset == "mini":
            raise EvaluationError(
                f"{self.declared.name}: mini= with its own batches() needs context.n_examples, "
                "set in setup()"
            )
        else:
            return None
        return mini_ids(ids, self.declared.mini or len(ids)) if subset == "mini" else ids

    def _setup(self) -> Any:
        if self._user is not None:
            return self._user.setup(self.context)
        setup = getattr(self.module, "setup", None)
        return setup(self.context) if callable(setup) else None

    def _has(self, method: str) -> bool:
        return self._user is not None and callable(getattr(self._user, method, None))

    def _seed(self) -> None:
        random.seed(self.declared.seed)
        torch.manual_seed(self.declared.seed)
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            numpy.random.seed(self.declared.seed)


def _numbers(found: Any) -> dict[str, float | None]:
    """What `reduce` returned, as finite numbers or None."""
    if not isinstance(found, Mapping):
        raise EvaluationError(f"reduce() must return a dict of numbers, got {type(found).__name__}")
    numbers: dict[str, float | None] = {}
    for name, value in found.items():
        number = float(value)
        numbers[str(name)] = number if abs(number) < float("inf") else None
    return numbers
