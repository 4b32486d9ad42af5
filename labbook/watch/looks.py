"""When a worker looks for mistakes, and what it knows of the sets that runs follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labbook.paths import RunPaths
from labbook.watch.canary import look_again
from labbook.watch.context import ChosenSets
from labbook.watch.evaluation import PROBE_EVERY
from labbook.watch.findings import Report
from labbook.watch.followed import are_the_same, read_chosen
from labbook.watch.measured import Outcome
from labbook.watch.precision import tolerance
from labbook.watch.probes import probe
from labbook.watch.session import Session, Work

__all__ = ["Looks"]

Lane = tuple[str, str]
"""Run and evaluation."""


class Looks:
    """Counts the results of each lane in this worker."""

    def __init__(self) -> None:
        self._counts: dict[Lane, int] = {}
        self._chosen: dict[str, ChosenSets] = {}
        self._matched: dict[Lane, dict[str, Any]] = {}

    def look(
        self, paths: RunPaths, session: Session, work: Work, out: Outcome, same: dict[str, Any]
    ) -> Report | None:
        """Look for mistakes; None where nothing was looked for and nothing found.

        `same` is what an old result must agree with to be made again: see `canary`.
        """
        lane = (paths.id, session.declared.name)
        count = self._counts[lane] = self._counts.get(lane, -1) + 1
        if count % (session.declared.probes or PROBE_EVERY) == 0:
            self._match(paths, session)
        if not session.declared.probes:
            return None
        is_due = count % session.declared.probes == 0
        report = probe(session, work, out) if is_due else Report(tolerance(session.precision))
        stale = session.staleness.look(work.subset, out.rows, session.loaded, work.step)
        if stale is not None and stale.kind not in session.declared.allow:
            report.findings.append(stale)
        if count == 0 and "drift" not in session.declared.allow:
            look_again(session, paths, work.subset, same, report)
        return report if is_due or report.findings else None

    def chosen_of(self, paths: RunPaths) -> Callable[[], ChosenSets]:
        """Reads a run's chosen sets when asked for; what was found once is kept."""

        def read() -> ChosenSets:
            found = self._chosen.get(paths.id) or read_chosen(paths)
            self._chosen[paths.id] = found
            return found

        return read

    def matched(self, paths: RunPaths, session: Session) -> dict[str, Any]:
        """The run's chosen sets by name, and whether they are `same` as the examples here."""
        return self._matched.get((paths.id, session.declared.name), {})

    def _match(self, paths: RunPaths, session: Session) -> None:
        found = self._matched.setdefault((paths.id, session.declared.name), {})
        for name, chosen in self.chosen_of(paths)().items():
            if name not in found:
                examples = session.examples
                found[name] = {
                    "digest": chosen.digest,
                    "seed": chosen.seed,
                    "n": len(chosen.indices),
                    "same": None if examples is None else are_the_same(chosen, examples),
                }
