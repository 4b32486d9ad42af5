"""What the runs of a book have in common and in what they differ, kept up to date run by run.

With thousands of runs and a few live ones, to count everything anew each second would take the
time that keys need.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from labbook.book.fields import searched_text
from labbook_tui.folding import fold_key
from labbook_tui.series import ordered

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

__all__ = ["Survey"]


class Survey:
    """Counts of arguments and their values, of series and of metrics."""

    def __init__(self) -> None:
        self._runs: dict[str, RunSummary] = {}
        self._values: dict[str, Counter[str]] = {}
        self._having: Counter[str] = Counter()
        self._with_any = 0
        self._series: Counter[str] = Counter()
        self._metrics: Counter[tuple[str, str]] = Counter()
        self.n_dirty = 0
        self.texts: dict[str, tuple[RunSummary, str]] = {}
        """By run what words of filters are looked for in."""
        self.fold_keys: dict[str, tuple[RunSummary, str | None]] = {}
        """By run what `folding.fold_key` gives."""

    def update(self, runs: Sequence[RunSummary], seconds: float = math.inf) -> bool:
        """Take these runs in place of those known; what is the same object is not read again.

        False when the time was over before the last of them.
        """
        until = time.monotonic() + seconds
        present = {run.id: run for run in runs}
        for run_id in [run_id for run_id in self._runs if run_id not in present]:
            self._count(self._runs.pop(run_id), -1)
        for run in runs:
            known = self._runs.get(run.id)
            if known is run:
                continue
            if time.monotonic() > until:
                return False
            if known is not None:
                self._count(known, -1)
            self._count(run, 1)
            self._runs[run.id] = run
        return True

    def _count(self, run: RunSummary, by: int) -> None:
        self.n_dirty += by * bool(run.dirty)
        if by > 0:
            self.texts[run.id] = (run, searched_text(run))
            self.fold_keys[run.id] = (run, fold_key(run))
        else:
            self.texts.pop(run.id, None)
            self.fold_keys.pop(run.id, None)
        self._with_any += by * bool(run.arguments)
        for name, value in run.arguments.items():
            self._having[name] += by
            self._values.setdefault(name, Counter())[str(value)] += by
        for name in run.stats:
            self._series[name] += by
        for evaluation, metrics in run.results.items():
            for metric in metrics:
                self._metrics[evaluation, metric] += by

    @property
    def arguments(self) -> list[str]:
        """Names of all arguments."""
        return [name for name, count in self._having.items() if count > 0]

    @property
    def series(self) -> list[str]:
        """Names of all series, the telling ones first."""
        return ordered(name for name, count in self._series.items() if count > 0)

    @property
    def metrics(self) -> list[tuple[str, str]]:
        """Evaluations with their metrics, the telling metrics first."""
        pairs = [pair for pair, count in self._metrics.items() if count > 0]
        ranked = {name: place for place, name in enumerate(ordered({m for _, m in pairs}))}
        return sorted(pairs, key=lambda pair: (ranked[pair[1]], pair[0]))

    @property
    def differing(self) -> list[str]:
        """Arguments whose values are not the same in all runs that have any, most telling first.

        One that has another value in every run (an output folder, say) tells the least.
        """
        different = {
            name: sum(count > 0 for count in self._values[name].values()) for name in self.arguments
        }
        found = [n for n, k in different.items() if k > 1 or self._having[n] < self._with_any]
        return sorted(found, key=lambda name: different[name] >= max(3, self._having[name]))
