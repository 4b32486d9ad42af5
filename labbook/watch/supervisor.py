"""The watcher's loop: look, claim, hand to the worker, record what came of it.

Events only make a look come sooner; every `poll_s` the book is looked at anyway. The supervisor
itself imports neither torch nor pyarrow and runs none of the user's code: that is the worker's,
which may hang, leak or die without harm.
"""

from __future__ import annotations

import os
import selectors
import signal
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from labbook.paths import BookPaths
from labbook.watch import lease as leases
from labbook.watch import pin as pins
from labbook.watch import reasons, report
from labbook.watch.clock import Clock
from labbook.watch.discover import Scanner
from labbook.watch.evaluation import Declaration
from labbook.watch.facts import arguments_digest
from labbook.watch.hints import Hints
from labbook.watch.ledger import Job, Ledger, State
from labbook.watch.policy import Retries, next_of
from labbook.watch.worker_process import WorkerOptions, WorkerProcess

__all__ = ["Plan", "Supervisor"]

_FIRST_TIMEOUT_S = 3600.0
_STOP_GRACE_S = 10.0


@dataclass(frozen=True)
class Plan:
    """What `labbook watch` was asked to do. `runs` and `files` None: all of them."""

    book: BookPaths
    worker: WorkerOptions
    is_once: bool = False
    poll_s: float = 2.0
    policy: str = "newest"
    runs: frozenset[str] | None = None
    files: frozenset[Path] | None = None
    retry_failed: bool = False
    code: str = "current"


@dataclass
class _Task:
    """Work that the worker has in hand."""

    job: Job
    lease: leases.Lease
    pin: Path
    deadline: float


@dataclass
class Supervisor:
    """Runs until everything is done (`is_once`) or a signal comes; `run` returns the exit code."""

    plan: Plan
    n_results: int = 0
    n_failed: int = 0
    _task: _Task | None = None
    _worker: WorkerProcess | None = None
    _ledger: Ledger | None = None
    _stop: int = 0
    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=31))
    _retries: Retries = field(default_factory=Retries)
    _echo: report.Echo = field(default_factory=report.Echo)
    _beaten: float = 0.0
    _is_broken: bool = False
    _is_ready: bool = False

    def run(self) -> int:
        """Watch. 0: fine; 1: the user's code cannot be used or, once, something failed; 128+n."""
        self._selector = selectors.DefaultSelector()
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        os.set_blocking(write_end, False)
        self._wake = read_end
        self._selector.register(read_end, selectors.EVENT_READ, self._drain_wake)
        hints = Hints(write_end)
        if hints.failure:
            every = f"looking every {self.plan.poll_s} s"
            report.note(f"no file events here ({hints.failure}): {every}")
        try:
            with _signals(self._on_signal, write_end):
                self._start_worker()
                state = self._loop(hints)
        finally:
            hints.close()
            self._end()
            self._selector.close()
            os.close(read_end)
            os.close(write_end)
        if self._is_broken:
            return 1
        if self._stop:
            return 128 + self._stop if self.plan.is_once else 0
        report.show(self._summary(state))
        return 1 if state.failed else 0

    def _loop(self, hints: Hints) -> State:
        scanner = Scanner(self.plan.book, self.plan.runs)
        clock = Clock(self.plan.book.root)
        swept: set[str] = set()
        state = State()
        while not self._stop and not self._is_broken:
            if self._ledger is not None:
                now_ns = clock.now_ns()
                scenes = scanner.scan(now_ns)
                hints.watch(scanner.folders())
                for scene in scenes:
                    if scene.facts.id not in swept and scene.checkpoints:
                        swept.add(scene.facts.id)
                        _sweep(scene.paths.leases, scene.paths.pins)
                state = self._ledger.look(scenes, now_ns)
                self._dispatch(state)
                idle = self._task is None and not state.pending and not state.waiting
                if self.plan.is_once and idle:
                    break
            self._wait(self._pause_s(state))
        return state

    def _pause_s(self, state: State) -> float:
        now = time.monotonic()
        delays = [self._retries.delay_s(job.key, now) for job in state.pending]
        soonest = min((delay for delay in delays if delay > 0), default=self.plan.poll_s)
        return min(self.plan.poll_s, soonest)

    # -- giving work ------------------------------------------------------------------------

    def _dispatch(self, state: State) -> None:
        """Give the idle worker the next piece of work that nobody else holds."""
        now = time.monotonic()
        open_jobs = {
            job.ranked: job for job in state.pending if not self._retries.delay_s(job.key, now)
        }
        while self._task is None and self._is_ready and open_jobs:
            job = open_jobs.pop(next_of(list(open_jobs), state.done, self.plan.policy))
            lease = leases.claim(job.paths.leases, job.key)
            if lease is None:
                continue
            # someone may have published between our look and our claim
            if job.result.exists():
                lease.close()
                continue
            self._hand_over(job, lease)

    def _hand_over(self, job: Job, lease: leases.Lease) -> None:
        folder = job.paths.pins / lease.path.name
        is_reused = job.found.external and pins.is_reused_name(job.found.path.name)
        try:
            pinned = pins.pin(job.found.path, job.whole.identity, folder, copy=is_reused)
        except pins.Moved:
            lease.release()
            return
        except OSError as error:
            lease.release()
            self._record_failure(job, "load", f"it cannot be pinned: {error}", None)
            return
        self._echo.begin()
        timeout_s = max(60.0, 5 * statistics.median(self._seconds)) if self._seconds else None
        deadline = time.monotonic() + (timeout_s or _FIRST_TIMEOUT_S)
        self._task = _Task(job, lease, folder, deadline)
        assert self._worker is not None
        self._worker.send(_message(job, pinned))

    # -- hearing of it ----------------------------------------------------------------------

    def _wait(self, seconds: float) -> None:
        """Handle whatever comes, until a hint, the end of a task, or `seconds` have passed."""
        until = time.monotonic() + seconds
        task, was_ready = self._task, self._is_ready
        while not self._stop and not self._is_broken:
            self._beat()
            self._check_deadline()
            left = until - time.monotonic()
            if left <= 0 or self._task is not task or self._is_ready is not was_ready:
                return
            is_hint = False
            for key, _ in self._selector.select(left):
                key.data()
                is_hint = is_hint or key.fd == self._wake
            if is_hint:
                return

    def _drain_wake(self) -> None:
        try:
            while os.read(self._wake, 4096):
                pass
        except BlockingIOError:
            pass

    def _on_output(self) -> None:
        if self._worker is None:
            return
        raw, is_closed = self._worker.read_output()
        self._echo.feed(raw)
        if is_closed:
            self._selector.unregister(self._worker.output)

    def _on_answers(self) -> None:
        if self._worker is None:
            return
        answers, is_closed = self._worker.read_answers()
        for answer in answers:
            self._on_answer(answer)
        if is_closed and self._worker is not None:
            self._on_death()

    def _on_answer(self, answer: dict[str, Any]) -> None:
        kind = answer.get("type")
        if kind == "ready":
            self._on_ready(answer)
        elif kind == "broken":
            report.error(str(answer.get("text")))
            self._is_broken = True
        elif kind in {"result", "skipped", "failed"} and self._is_ours(answer):
            self._finish(answer)

    def _is_ours(self, answer: dict[str, Any]) -> bool:
        return self._task is not None and answer.get("key") == self._task.job.key

    def _on_ready(self, answer: dict[str, Any]) -> None:
        declarations = [Declaration(**each) for each in answer["evaluations"]]
        if self._ledger is None:
            names = ", ".join(each.name for each in declarations)
            report.note(f"ready: {names} on {answer.get('device')}, book {self.plan.book.root}")
        code = str(answer["code"]["digest"])
        if self._ledger is None or self._ledger.code != code:
            self._ledger = Ledger(
                code=code,
                declarations=declarations,
                choice=self.plan.policy,
                say=report.error,
                tick=self._beat,
                is_once=self.plan.is_once,
                retry_failed=self.plan.retry_failed,
                files=self.plan.files,
                code_of=self.plan.code,
            )
        self._is_ready = True

    def _finish(self, answer: dict[str, Any]) -> None:
        assert self._task is not None
        task, self._task = self._task, None
        job = task.job
        pins.unpin(task.pin)
        if answer["type"] == "result":
            task.lease.close()
            reasons.clear(job.paths.reasons, job.reason("", "done"))
            self._seconds.append(float(answer.get("seconds") or 0.0))
            self.n_results += 1
            report.show(report.result_line(_name(job), job.found.step, job.lane, answer))
            for warning in answer.get("warnings") or []:
                report.note(f"{_name(job)} {job.found.file}: {warning}")
        elif answer["type"] == "skipped":
            task.lease.release()
            reasons.write(job.paths.reasons, job.key, job.reason(str(answer["text"]), "skipped"))
            report.show(f"{_name(job)}  {job.found.file}  {job.lane}  skipped: {answer['text']}")
        else:
            task.lease.release()
            kind, text = str(answer["kind"]), str(answer["text"])
            self._record_failure(job, kind, text, answer.get("traceback"))

    def _record_failure(self, job: Job, kind: str, text: str, trace: str | None) -> None:
        will_retry = self._retries.failed(job.key, kind, time.monotonic())
        attempts = self._retries.attempts(job.key)
        state = "waiting" if will_retry else "failed"
        reasons.write(job.paths.reasons, job.key, job.reason(text, state, attempts, trace))
        outcome = "trying again" if will_retry else "given up"
        report.error(f"{_name(job)} {job.found.file}, {job.lane}: {text} ({outcome})")
        if not will_retry:
            self.n_failed += 1
            if self._ledger is not None:
                self._ledger.forget_retry(job)

    # -- the worker's life ------------------------------------------------------------------

    def _start_worker(self) -> None:
        self._worker = WorkerProcess(self.plan.worker)
        self._selector.register(self._worker.answers, selectors.EVENT_READ, self._on_answers)
        self._selector.register(self._worker.output, selectors.EVENT_READ, self._on_output)

    def _stop_worker(self, grace_s: float) -> tuple[str, str]:
        """How it ended, and the last it printed."""
        worker, self._worker = self._worker, None
        self._is_ready = False
        if worker is None:
            return "", ""
        for fd in (worker.answers, worker.output):
            try:
                self._selector.unregister(fd)
            except KeyError:
                pass  # its output was closed already
        how = worker.stop(grace_s)
        return how, worker.last_words()

    def _on_death(self) -> None:
        how, words = self._stop_worker(0.0)
        last = f"; its last words: {words.splitlines()[-1]}" if words else ""
        if self._ledger is None:
            report.error(f"{self.plan.worker.file}: the worker died while loading it: {how}{last}")
            self._is_broken = True
            return
        self._fail_task("crash", f"the worker died: {how}{last}", words)
        self._start_worker()

    def _check_deadline(self) -> None:
        if self._task is None or time.monotonic() < self._task.deadline:
            return
        _, words = self._stop_worker(_STOP_GRACE_S)
        self._fail_task("timeout", "no end in sight, and the worker was stopped", words)
        self._start_worker()

    def _fail_task(self, kind: str, text: str, words: str) -> None:
        if self._task is None:
            return
        answer = {"type": "failed", "kind": kind, "text": text, "traceback": words or None}
        self._finish(answer)

    def _beat(self) -> None:
        """Keep the lease; called often, does something every few seconds."""
        now = time.monotonic()
        if self._task is None or now - self._beaten < leases.HEARTBEAT_S:
            return
        self._beaten = now
        if not self._task.lease.beat():
            report.note(f"{self._task.job.found.file}: another watcher took this over")
            pins.unpin(self._task.pin)
            self._task = None
            self._stop_worker(0.0)
            self._start_worker()

    def _end(self) -> None:
        self._stop_worker(0.0 if self._task else 0.5)
        if self._task is not None:
            pins.unpin(self._task.pin)
            self._task.lease.release()
            self._task = None

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stop = number

    def _summary(self, state: State) -> str:
        failed = len(state.failed)
        return f"{self.n_results} new results, {failed} without a result" + (
            " (see the reasons above and in `labbook show RUN`)" if failed else ""
        )


def _message(job: Job, pinned: Path) -> dict[str, Any]:
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


def _name(job: Job) -> str:
    if job.facts.name == job.facts.id:
        return job.facts.id
    return f"{job.facts.id} {job.facts.name}"


def _sweep(lease_folder: Path, pin_folder: Path) -> None:
    """Remove what dead watchers left of this run."""
    leases.sweep(lease_folder)
    pins.sweep(pin_folder, leases.live(lease_folder))


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None], wake: int) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    old = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(old)
        for number, previous in before.items():
            signal.signal(number, previous)
