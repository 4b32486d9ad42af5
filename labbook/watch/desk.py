"""The supervisor's end of one worker: starts it, hears it, ends it, knows what it has in hand."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labbook.watch import pin as pins
from labbook.watch.facts import arguments_digest
from labbook.watch.lease import HEARTBEAT_S, Lease
from labbook.watch.ledger import Job
from labbook.watch.report import Echo
from labbook.watch.worker_process import WorkerOptions, WorkerProcess

__all__ = ["Desk", "Task", "message_of"]


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
    """One worker process. `hear` gets every answer; `mourn` how it ended and its last words."""

    def __init__(
        self,
        options: WorkerOptions,
        selector: selectors.BaseSelector,
        hear: Callable[[dict[str, Any]], None],
        mourn: Callable[[str, str], None],
    ) -> None:
        self._options = options
        self._selector = selector
        self._hear = hear
        self._mourn = mourn
        self._echo = Echo()
        self._worker: WorkerProcess | None = None
        self._warm: set[tuple[str, str]] = set()
        self._beaten = 0.0
        self.is_ready = False
        self.task: Task | None = None

    @property
    def is_idle(self) -> bool:
        """True when it can be given work."""
        return self.is_ready and self.task is None

    def start(self) -> None:
        """Start a fresh worker; it answers `ready` when the user's code is imported."""
        worker = self._worker = WorkerProcess(self._options)
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
        self._beaten = time.monotonic()
        self._worker.send(message_of(job, pinned))

    def take_back(self) -> Task | None:
        """The task, which is not in hand any more."""
        task, self.task = self.task, None
        return task

    def beat(self) -> bool:
        """Keep the claim on the task, every few seconds; False when another watcher has it."""
        now = time.monotonic()
        if self.task is None or now - self._beaten < HEARTBEAT_S:
            return True
        self._beaten = now
        return self.task.lease.beat()

    def is_overdue(self) -> bool:
        """True when the task should have ended by now."""
        return self.task is not None and time.monotonic() >= self.task.deadline

    def _on_answers(self) -> None:
        if self._worker is None:
            return
        answers, is_closed = self._worker.read_answers()
        for answer in answers:
            if answer.get("type") == "ready":
                self.is_ready = True
            if answer.get("type") == "result" and self.task is not None:
                self._warm.add(_warmth(self.task.job))
            self._hear(answer)
        if is_closed and self._worker is not None:
            self._on_output()
            self._mourn(*self.stop(0.0))

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
    }
