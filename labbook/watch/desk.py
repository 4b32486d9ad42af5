"""The supervisor's end of one worker: starts it, hears it, ends it, knows what it has in hand."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labbook.watch import pin as pins
from labbook.watch.codes import Code
from labbook.watch.devices import Device
from labbook.watch.facts import arguments_digest
from labbook.watch.jobs import Job
from labbook.watch.lease import HEARTBEAT_S, Lease
from labbook.watch.report import Echo
from labbook.watch.worker_process import WorkerOptions, WorkerProcess

__all__ = ["FIRST_PATIENCE_S", "Desk", "Progress", "Task", "message_of"]


_GROWTH_BYTES = 1 << 30
FIRST_PATIENCE_S = 3600.0
"""A first evaluation, or a start, may build, compile and read everything."""


@dataclass(frozen=True)
class Progress:
    """How far the task is: `done` of `total` examples (null: unknown). Times are monotonic."""

    done: int
    total: int | None
    heard: float
    began: float
    first: int

    @property
    def rate(self) -> float | None:
        """Examples a second since the first word; null until the second."""
        seconds = self.heard - self.began
        return (self.done - self.first) / seconds if seconds > 0 else None


@dataclass(frozen=True)
class Task:
    """Work in hand: claimed, pinned, and given to the worker. `deadline` is monotonic."""

    job: Job
    lease: Lease
    pin: Path
    deadline: float

    def put_back(self) -> None:
        """Leave it, without a result, to whoever comes next."""
        pins.unpin(self.pin)
        self.lease.release()


class Desk:
    """One worker process, for one code.

    `hear` gets every answer; `mourn` how the worker ended, and its last words.
    """

    def __init__(
        self,
        options: WorkerOptions,
        code: Code,
        device: Device,
        selector: selectors.BaseSelector,
        *,
        hear: Callable[[Desk, dict[str, Any]], None],
        mourn: Callable[[Desk, str, str], None],
    ) -> None:
        self._options = options
        self.code = code
        self.device = device
        self._selector = selector
        self._hear = hear
        self._mourn = mourn
        self._echo = Echo()
        self._worker: WorkerProcess | None = None
        self._warm: set[tuple[str, str]] = set()
        self._beaten = 0.0
        self._started = 0.0
        self.is_ready = False
        self.was_ready = False
        self.task: Task | None = None
        self.progress: Progress | None = None
        self.used = 0.0
        self._first_rss: int | None = None

    def outgrown(self, most_bytes: int | None) -> tuple[int, int] | None:
        """Memory and limit, in bytes, of a worker that leaks; None when it may go on.

        Asked after each evaluation. Without `most_bytes` the limit is twice what it had after its
        first one, and a GiB.
        """
        rss = None if self._worker is None else self._worker.rss_bytes()
        if rss is None:
            return None
        if self._first_rss is None:
            self._first_rss = rss
        most = most_bytes or 2 * self._first_rss + _GROWTH_BYTES
        return (rss, most) if rss > most else None

    @property
    def is_idle(self) -> bool:
        """True when it can be given work."""
        return self.is_ready and self.task is None

    def start(self) -> None:
        """Start a fresh worker; it answers `ready` when the user's code is imported."""
        worker = self._worker = WorkerProcess(self._options, self.code, self.device)
        self._started = self.used = time.monotonic()
        self._warm.clear()
        self._selector.register(worker.answers, selectors.EVENT_READ, self._on_answers)
        self._selector.register(worker.output, selectors.EVENT_READ, self._on_output)

    def stop(self, grace_s: float) -> tuple[str, str]:
        """End the worker; how it ended, and its last words. Its task stays in hand."""
        worker, self._worker = self._worker, None
        self.is_ready = False
        if worker is None:
            return "", ""
        for fd in (worker.answers, worker.output):
            try:
                self._selector.unregister(fd)
            except KeyError:
                pass  # its output was closed already
        how = worker.stop(grace_s)
        return how, worker.last_words()

    def is_warm_for(self, job: Job) -> bool:
        """True when its model and data are built: no setup is to be waited for."""
        return _warmth(job) in self._warm

    def give(self, job: Job, lease: Lease, pinned: Path, timeout_s: float) -> None:
        """Hand over a job that is claimed and pinned."""
        assert self._worker is not None
        self._echo.begin()
        self.task = Task(job, lease, pinned.parent, time.monotonic() + timeout_s)
        self._beaten = self.used = time.monotonic()
        self.progress = None
        self._worker.send(message_of(job, pinned))

    def take_back(self) -> Task | None:
        """The task, which is not in hand any more."""
        task, self.task = self.task, None
        self.used = time.monotonic()
        return task

    def beat(self) -> bool:
        """Keep the claim on the task, every few seconds; False when another watcher has it."""
        now = time.monotonic()
        if self.task is None or now - self._beaten < HEARTBEAT_S:
            return True
        self._beaten = now
        return self.task.lease.beat()

    def is_overdue(self) -> bool:
        """True when the task, or the start, should have ended by now."""
        if self.task is None:
            return not self.is_ready and time.monotonic() >= self._started + FIRST_PATIENCE_S
        return time.monotonic() >= self.task.deadline

    def _on_answers(self) -> None:
        if self._worker is None:
            return
        answers, is_closed = self._worker.read_answers()
        for answer in answers:
            if answer.get("type") == "ready":
                self.is_ready = self.was_ready = True
            if answer.get("type") == "result" and self.task is not None:
                self._warm.add(_warmth(self.task.job))
            if answer.get("type") == "progress":
                self._follow(answer)
            self._hear(self, answer)
        if is_closed and self._worker is not None:
            self._on_output()
            self._mourn(self, *self.stop(0.0))

    def _follow(self, answer: dict[str, Any]) -> None:
        done, total = answer.get("done"), answer.get("total")
        if not isinstance(done, int):
            return
        now = time.monotonic()
        first = self.progress or Progress(done, None, now, now, done)
        self.progress = Progress(
            done, total if isinstance(total, int) else None, now, first.began, first.first
        )

    def _on_output(self) -> None:
        if self._worker is None:
            return
        raw, is_closed = self._worker.read_output()
        self._echo.feed(raw)
        if is_closed:
            try:
                self._selector.unregister(self._worker.output)
            except KeyError:
                pass  # seen closed before


def _warmth(job: Job) -> tuple[str, str]:
    return (job.declared.name, arguments_digest(job.facts.arguments))


def message_of(job: Job, pinned: Path) -> dict[str, Any]:
    """What the worker is told of a job."""
    return {
        "type": "evaluate",
        "key": job.key,
        "run_root": str(job.paths.root),
        "evaluation": job.declared.name,
        "subset": job.subset,
        "settings": job.declared.settings(job.subset),
        "checkpoint": job.checkpoint(),
        "path": str(pinned),
        "content": job.whole.identity.content(),
        "arguments_digest": arguments_digest(job.facts.arguments),
        "why": None if job.code is None else job.code.why,
    }
