"""One evaluation, kept warm: its model and data stay, weights come and go.

`setup` and `data` are called once for a worker and the arguments of a run; runs with other
arguments get their own. Per checkpoint the weights are copied in, then every batch is given to
`step` in eval and inference mode under a fixed seed. What `probe` looks at afterwards is on the
side: the rows are there already, and nothing of it reaches the next checkpoint.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from labbook.errors import EvaluationError
from labbook.watch.averages import Averages
from labbook.watch.batches import Examples, mini_ids, move, split_data
from labbook.watch.context import ChosenSets, Context
from labbook.watch.evaluation import Declaration
from labbook.watch.fingerprints import Prints, modules_of, prints
from labbook.watch.load import load_into, read_state, unverified
from labbook.watch.measured import Outcome, of_rows, of_told
from labbook.watch.precision import Seen, describe, watching
from labbook.watch.rows import Collector
from labbook.watch.staleness import Staleness
from labbook.watch.told import Told, as_told

__all__ = ["Outcome", "Session", "Work"]

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Work:
    """One evaluation of one checkpoint, as the session sees it."""

    path: Path
    kind: str
    subset: str
    step: int | None


@dataclass
class Session:
    """An evaluation with its model and data in memory, for one run's arguments."""

    declared: Declaration
    target: Any
    module: Any
    context: Context
    examples: Examples | None = None
    data_digest: str | None = None
    """Fingerprint of the data; None where the evaluation makes its own batches and says none."""
    user: Any = None
    seen: Seen | None = None
    loaded: Prints = field(default_factory=dict)
    """Of the model, or the state dict, as the checkpoint left it."""
    averages: Averages = field(default_factory=Averages)
    staleness: Staleness = field(default_factory=Staleness)
    _is_up: bool = False

    @property
    def modules(self) -> dict[str, torch.nn.Module]:
        """The model under "", and those that the evaluation holds itself."""
        return modules_of(self.user, self.context.model)

    @property
    def has_own_loop(self) -> bool:
        """Whether it is a function, or a class with `evaluate` and without `step`."""
        return self.user is None or (self.has("evaluate") and not self.has("step"))

    @property
    def precision(self) -> dict[str, Any]:
        """See `labbook.watch.precision.describe`."""
        return describe(self.context.model, self.seen, self.context.device)

    def is_made_for_others(self, run: str, chosen: Callable[[], ChosenSets]) -> bool:
        """Whether it was built from the chosen sets of another run, which are others."""
        if not self.context.has_read_chosen or run == self.context.run:
            return False
        return dict(chosen()) != dict(self.context.chosen)

    def start(self) -> None:
        """Build the model and the data, unless that is done."""
        if self._is_up:
            return
        self.seed()
        self.user = self.target() if isinstance(self.target, type) else None
        model = self._setup()
        if isinstance(model, torch.nn.Module):
            model = model.to(self.context.device)
        elif not (self.has("load") or self.has_own_loop or self.user is model is None):
            raise EvaluationError(
                f"{self.declared.name}: setup() returned {type(model).__name__}, not a "
                "torch.nn.Module; return the model, or write load(context, path) too"
            )
        self.context.model = model
        if self.has("data") and not self.has("batches") and not self.has_own_loop:
            self.examples = split_data(self.user.data(self.context))
            # random transforms: the same view, whatever setup() drew before
            self.seed()
            self.data_digest = self.examples.fingerprint()
        self._is_up = True

    def load(self, work: Work) -> list[str]:
        """Put the checkpoint's weights into the model; returns warnings."""
        self.context.checkpoint, self.context.step = work.path, work.step
        warnings = unverified(work.kind)
        if self.has("load"):
            replaced = self.user.load(self.context, work.path)
            if replaced is not None:
                self.context.model = replaced
        elif self.context.model is not None or not isinstance(self.target, type):
            state = read_state(work.path, work.kind, self.declared.weights)
            if self.context.model is None:
                self.context.state = state
            else:
                warnings += load_into(self.context.model, state)
        if self.declared.probes:
            self.loaded = self.prints()
        return warnings

    def evaluate(self, work: Work, progress: Progress) -> Outcome:
        """Go over the examples; on running out of memory once more with half the batch."""
        began = time.monotonic()
        size = self.declared.batch_size
        warnings: tuple[str, ...] = ()
        try:
            outcome = self._evaluate(work, size, progress)
        except torch.OutOfMemoryError:
            if size == 1 or self.examples is None:
                raise
            torch.cuda.empty_cache()
            size //= 2
            warnings = (f"out of memory: evaluated with a batch size of {size}",)
            began = time.monotonic()
            outcome = self._evaluate(work, size, progress)
        return replace(outcome, seconds=time.monotonic() - began, warnings=warnings)

    def prints(self) -> Prints:
        """Of the model now, or of the state dict where there is no model."""
        model = self.context.model
        return prints(model if isinstance(model, torch.nn.Module) else self.context.state)

    def to_eval(self) -> None:
        """Put the model into eval mode."""
        if isinstance(self.context.model, torch.nn.Module):
            self.context.model.eval()

    def step(self, batch: Any) -> Any:
        """The user's columns for one batch."""
        return self.user.step(self.context, move(batch, self.context.device))

    def batches(
        self, expected: Sequence[int] | None, size: int
    ) -> Iterator[tuple[Sequence[int], Any]]:
        """(ids, batch) over what is expected, of at most `size`; or the user's own."""
        if self.examples is not None:
            collate = self.user.collate if self.has("collate") else None
            yield from self.examples.batches(expected or [], size, collate)
        else:
            for ids, batch in self.user.batches(self.context):
                yield [int(each) for each in ids], batch

    def has(self, method: str) -> bool:
        """Whether the user wrote it."""
        return self.user is not None and callable(getattr(self.user, method, None))

    def seed(self, more: int = 0) -> None:
        """Seed every generator with the evaluation's seed, plus `more`."""
        seed = self.declared.seed + more
        random.seed(seed)
        torch.manual_seed(seed)
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            numpy.random.seed(seed)

    def _evaluate(self, work: Work, size: int, progress: Progress) -> Outcome:
        self.seed()
        expected = self.expected(work.subset)
        self.context.ids = expected if work.subset == "mini" else None
        self.to_eval()
        collector = Collector(self.declared.name)
        with torch.inference_mode():
            told = self._go_over(collector, expected, size, progress)
        if told is not None:
            self.data_digest = told.data_digest or self.data_digest
            return of_told(self.declared, told)
        if expected is None and self.context.n_examples is not None:
            expected = range(self.context.n_examples)
        reduce = self.user.reduce if self.has("reduce") else None
        return of_rows(self.declared, collector.finish(), expected, reduce, size)

    def _go_over(
        self,
        collector: Collector,
        expected: Sequence[int] | None,
        size: int,
        progress: Progress,
    ) -> Told | None:
        """Collect every batch's columns; what is told instead of them."""
        if self.has_own_loop:
            with self._watched():
                return self._own_loop(collector, progress)
        done = 0
        total = None if expected is None else len(expected)
        for ids, batch in self.batches(expected, size):
            done += collector.add(ids, self._first_step(batch) if not done else self.step(batch))
            progress(done, total)
        return None

    def _first_step(self, batch: Any) -> Any:
        with self._watched():
            return self.step(batch)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """What comes first is watched: with which precision are the modules called?"""
        if self.seen is not None or not self.modules:
            yield
            return
        with watching(self.modules, self.context.device) as seen:
            yield
        self.seen = seen

    def _own_loop(self, collector: Collector, progress: Progress) -> Told | None:
        if self.user is not None:
            found = self.user.evaluate(self.context)
        else:
            model = self.context.model if self.context.model is not None else self.context.state
            found = self.target(model, self.context.device)
        told = as_told(found)
        if told is None:
            done = 0
            for columns in [found] if isinstance(found, Mapping) else found:
                done += collector.add(None, columns)
                progress(done, None)
        return told

    def expected(self, subset: str) -> Sequence[int] | None:
        """Ids that must come out; None where the evaluation does not say."""
        if self.examples is not None:
            ids: Sequence[int] = self.examples.ids
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
        if self.user is not None:
            return self.user.setup(self.context) if self.has("setup") else None
        setup = getattr(self.module, "setup", None)
        return setup(self.context) if callable(setup) else None
