"""What came of a task: said on the terminal, and on record where it is no result."""

from __future__ import annotations

import statistics
import time
from collections import deque
from typing import Any

from labbook.watch import reasons, report
from labbook.watch.jobs import Job
from labbook.watch.policy import Retries
from labbook.watch.report import environment_line

__all__ = ["Outcomes"]

_FLOOR_S = 60.0
_FACTOR = 5.0


class Outcomes:
    """Counts results, remembers failures until they are given up, and says each once."""

    def __init__(self) -> None:
        self._retries = Retries()
        self._seconds: deque[float] = deque(maxlen=31)
        self._told: set[str] = set()
        self.n_results = 0

    def result(self, job: Job, answer: dict[str, Any]) -> None:
        """It is published: nothing that was said against it holds any more."""
        reasons.clear(job.paths.reasons, job.reason("", "done"))
        self._seconds.append(float(answer.get("seconds") or 0.0))
        self.n_results += 1
        report.show(report.result_line(name_of(job), job.found.step, job.lane, answer))
        for warning in answer.get("warnings") or []:
            report.note(f"{name_of(job)} {job.found.file}: {warning}")
        self._tell_once(job, answer)

    def _tell_once(self, job: Job, answer: dict[str, Any]) -> None:
        """What holds for all results of a run is said once."""
        if job.facts.id in self._told:
            return
        self._told.add(job.facts.id)
        if job.code is not None and job.code.why is not None:
            report.note(f"{name_of(job)}: {job.code.why}: evaluated with the current code")
        differs = environment_line(answer.get("environment"))
        if differs is not None:
            report.note(f"{name_of(job)}: evaluated in another environment: {differs}")

    def skipped(self, job: Job, text: str) -> None:
        """The user's evaluation wants no result of this checkpoint."""
        reasons.write(job.paths.reasons, job.key, job.reason(text, "skipped"))
        report.show(f"{name_of(job)}  {job.found.file}  {job.lane}  skipped: {text}")

    def failed(self, job: Job, kind: str, text: str, trace: str | None) -> bool:
        """Record a failure; True when it is given up."""
        will_retry = self._retries.failed(job.key, kind, time.monotonic())
        attempts = self._retries.attempts(job.key)
        state = "waiting" if will_retry else "failed"
        reasons.write(job.paths.reasons, job.key, job.reason(text, state, attempts, trace))
        outcome = "trying again" if will_retry else "given up"
        report.note(f"{name_of(job)} {job.found.file}, {job.lane}: {text} ({outcome})")
        return not will_retry

    def delay_s(self, job: Job) -> float:
        """Seconds until it may be tried again; 0 when it may be now."""
        return self._retries.delay_s(job.key, time.monotonic())

    def patience_s(self) -> float | None:
        """How long an evaluation may take, by those before it; None when there were none."""
        if not self._seconds:
            return None
        return max(_FLOOR_S, _FACTOR * statistics.median(self._seconds))


def name_of(job: Job) -> str:
    """A run for people: its id, and its name where it has one."""
    if job.facts.name == job.facts.id:
        return job.facts.id
    return f"{job.facts.id} {job.facts.name}"
