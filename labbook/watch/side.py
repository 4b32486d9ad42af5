"""The first batch of an evaluation again, on the side: do its rows stay what they are?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from labbook.watch.closeness import Differing, differing
from labbook.watch.culprit import culprit
from labbook.watch.findings import Report
from labbook.watch.fingerprints import generators
from labbook.watch.measured import Outcome
from labbook.watch.nested import copied, picked, same
from labbook.watch.precision import is_compiled, watching
from labbook.watch.rows import Collector, Rows
from labbook.watch.session import Session, Work
from labbook.watch.training import training

__all__ = ["Side"]

_OTHER_SEED = 1_000_003


class Side:
    """The first batch again: as it was, with another seed, in halves, and backwards."""

    def __init__(self, session: Session, work: Work, outcome: Outcome, report: Report) -> None:
        self._session = session
        self._subset = work.subset
        self._outcome = outcome
        self._report = report
        self._modules = session.modules
        self._is_compiled = any(map(is_compiled, self._modules.values()))
        self._ids: list[int] = []
        self._batch: Any = None
        self._whole: Rows | None = None
        self._drawn: set[str] = set()

    def run(self) -> None:
        """Each look is on its own: one that fails says why, and the others go on."""
        report = self._report
        if not self._try("repeat", self._repeat) or report.has("training"):
            return  # all else would only be its consequences
        self._try("random", self._random)
        self._try("random-data", self._random_data)
        if report.has("random", "random-data"):
            reason = "the rows are random"
            report.not_run.update(batch=reason, order=reason)
            return
        self._try("batch", self._halves)
        if not report.has("batch"):
            self._try("order", self._backwards)

    def _try(self, kind: str, look: Callable[[], None]) -> bool:
        try:
            with torch.inference_mode():
                look()
            return True
        except Exception as error:  # the border to the user's code: a probe must not cost a result
            self._report.not_run[kind] = f"{type(error).__name__}: {error}"[:300]
            return False

    def _repeat(self) -> None:
        session = self._session
        session.seed()
        self._ids, self._batch = self._first()
        with watching(self._modules, session.context.device) as seen:
            again = self._rows(self._ids, self._batch)
        training(session, seen, self._report)
        if self._report.has("training", "state"):
            return
        found = differing(self._outcome.rows, again, self._report.tolerance)
        if found is not None:
            self._report.add(
                "repeat",
                f"the same batch with the same seed gave other rows the second time: {found}. "
                "Something is carried over from one batch to the next, or a kernel is not "
                "deterministic",
                found.column,
            )

    def _random(self) -> None:
        self._drawn.clear()
        one = self._once()
        drawn = sorted(self._drawn)
        if not drawn:
            return
        other = self._rows(self._ids, self._batch, _OTHER_SEED)
        found = differing(one, other, self._report.tolerance)
        if found is None:
            self._report.add(
                "rng",
                f"step() draws random numbers ({', '.join(drawn)}), though no row depends on them",
            )
            return
        places = range(len(self._ids))
        passes = [(self._pass(self._batch, seed), places) for seed in (0, _OTHER_SEED)]
        self._add(
            "random",
            f"the rows change with the random numbers: {found}. F.dropout(x, p) drops in eval mode "
            "too unless it is given training=self.training; sampling needs allow='random'",
            found,
            passes,
        )

    def _random_data(self) -> None:
        session = self._session
        if session.examples is None:
            return
        session.seed(_OTHER_SEED)
        _, other = self._first()
        if not same(self._batch, other):
            self._report.add(
                "random-data",
                "data() gives other examples with another seed: a random transform in the "
                "validation set",
            )

    def _halves(self) -> None:
        n = len(self._ids)
        if n < 2:
            self._report.not_run["batch"] = "the batch has one example"
            return
        whole = self._once()
        for places in self._parts(n):
            ids = [self._ids[place] for place in dict.fromkeys(places)]
            batch = self._pick(places)
            rows = self._rows(ids, batch, keep=len(ids))
            found = differing(whole, rows, self._report.tolerance)
            if found is not None:
                self._tell_batch(found, places, batch)
                return

    def _parts(self, n: int) -> list[list[int]]:
        """Two halves; of a compiled model one in place of both, so that no shape is new."""
        half = (n + 1) // 2
        if self._is_compiled:
            return [[place % half for place in range(n)]]
        return [list(range(half)), list(range(half, n))]

    def _tell_batch(self, found: Differing, places: list[int], batch: Any) -> None:
        distinct = list(dict.fromkeys(places))
        passes = [
            (self._pass(self._batch), distinct),
            (self._pass(batch), range(len(distinct))),
        ]
        self._add(
            "batch",
            f"the rows change with what else is in the batch: {found}. Statistics of the batch "
            "(BatchNorm that keeps none of its own), padding that is not masked, or a mean over "
            "the batch",
            found,
            passes,
        )

    def _backwards(self) -> None:
        n = len(self._ids)
        if n < 2:
            return
        whole = self._once()
        places = list(range(n))[::-1]
        batch = self._pick(places)
        ids = self._ids[::-1]
        found = differing(whole, self._rows(ids, batch), self._report.tolerance)
        if found is not None:
            passes = [(self._pass(self._batch), places), (self._pass(batch), range(n))]
            self._add(
                "order",
                f"the rows change with an example's place in the batch: {found}",
                found,
                passes,
            )

    def _add(self, kind: str, text: str, found: Differing, passes: Any) -> None:
        where: str | None = None
        try:
            where = culprit(self._modules, passes, self._report.tolerance)
            self._report.n_batches += 2
        except (RuntimeError, TypeError, ValueError, IndexError):
            pass  # named without the place then
        self._report.add(kind, f"{text} (in {where})" if where else text, where or found.column)

    def _first(self) -> tuple[list[int], Any]:
        """The first batch, as `step` is given it."""
        session = self._session
        expected = session.expected(self._subset)
        ids, batch = next(session.batches(expected, self._outcome.batch_size))
        return list(ids), batch

    def _once(self) -> Rows:
        """The rows of the whole first batch, with a seed of its own."""
        if self._whole is None:
            self._whole = self._rows(self._ids, self._batch)
        return self._whole

    def _pass(self, batch: Any, seed: int = 0) -> Callable[[], Any]:
        def run() -> None:
            with torch.inference_mode():
                self._session.seed(seed)
                self._session.step(copied(batch))

        return run

    def _rows(self, ids: Sequence[int], batch: Any, seed: int = 0, keep: int | None = None) -> Rows:
        """The rows of one batch; of a batch that was filled up the first `keep`."""
        session = self._session
        session.seed(seed)
        before = generators(session.context.device)
        columns = session.step(copied(batch))
        after = generators(session.context.device)
        self._drawn |= {name for name in after if before.get(name) != after[name]}
        self._report.n_batches += 1
        if keep is not None:
            columns = {name: value[:keep] for name, value in columns.items()}
        collector = Collector(session.declared.name)
        collector.add(ids, columns)
        return collector.finish()

    def _pick(self, places: Sequence[int]) -> Any:
        """The batch of some of its examples, made anew where the data are labbook's to read."""
        session = self._session
        if session.examples is not None:
            ids = [self._ids[place] for place in places]
            session.seed()
            return next(session.batches(ids, len(ids)))[1]
        return picked(self._batch, list(places), len(self._ids))
