"""The watcher's loop: look, claim, hand to the worker, record what came of it.

Events only make a look come sooner; every `poll_s` the book is looked at anyway. The supervisor
itself imports neither torch nor pyarrow and runs none of the user's code: that is the worker's,
which may hang, leak or die without harm.
"""

from __future__ import annotations

import os
import selectors
import time
from types import FrameType
from typing import Any

from labbook.errors import StoreError
from labbook.watch import lease as leases
from labbook.watch import pin as pins
from labbook.watch import report
from labbook.watch.clock import Clock
from labbook.watch.desk import Desk
from labbook.watch.discover import Scanner, Scene
from labbook.watch.evaluation import Declaration
from labbook.watch.hints import Hints
from labbook.watch.ledger import Job, Ledger, State
from labbook.watch.outcome import Outcomes
from labbook.watch.plan import Plan, stop_signals
from labbook.watch.policy import next_of

__all__ = ["Plan", "Supervisor"]

_FIRST_PATIENCE_S = 3600.0  # a first evaluation may build, compile and read everything
_STOP_GRACE_S = 10.0
_IDLE_DEATHS = 3


class Supervisor:
    """Runs until everything is done (`is_once`) or a signal comes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._selector = selectors.DefaultSelector()
        self._desk = Desk(plan.worker, self._selector, self._on_answer, self._on_death)
        self._outcomes = Outcomes()
        self._ledger: Ledger | None = None
        self._scanner = Scanner(plan.book, plan.runs)
        self._swept: set[str] = set()
        self._signal = 0
        self._is_broken = False
        self._idle_deaths = 0
        self._state = State()
        self._due = 0.0
        self._complaints: set[str] = set()

    def run(self) -> int:
        """Watch. 0: fine; 1: the user's code cannot be used or, once, something failed; 128+n."""
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
            with stop_signals(self._on_signal, write_end):
                self._desk.start()
                state = self._loop(hints)
        finally:
            hints.close()
            self._end()
            self._selector.close()
            os.close(read_end)
            os.close(write_end)
        return self._exit_code(state)

    def _loop(self, hints: Hints) -> State:
        clock = Clock(self.plan.book.root)
        while not self._signal and not self._is_broken:
            is_fresh = self._ledger is not None and time.monotonic() >= self._due
            if is_fresh:
                self._look(hints, clock.now_ns())
            self._dispatch()
            state = self._state
            if self.plan.is_once and self._desk.is_idle and not (state.pending or state.waiting):
                if is_fresh:
                    break
                self._due = 0.0  # what was seen last is done: is there anything else?
                continue
            self._wait(self._pause_s())
        return self._state

    def _look(self, hints: Hints, now_ns: int) -> None:
        """See what there is to do now; until the next look, work goes on from what was seen."""
        assert self._ledger is not None
        self._due = time.monotonic() + self.plan.poll_s
        scenes = self._scanner.scan(now_ns)
        hints.watch(self._scanner.folders())
        self._sweep(scenes)
        self._state = self._ledger.look(scenes, now_ns)

    def _dispatch(self) -> None:
        """Give the idle worker the next piece of work that nobody else holds."""
        state = self._state
        jobs = {job.ranked: job for job in state.pending if not self._outcomes.delay_s(job)}
        while self._desk.is_idle and jobs:
            job = jobs.pop(next_of(list(jobs), state.done, self.plan.policy))
            try:
                lease = leases.claim(job.paths.leases, job.key)
            except OSError as error:
                self._complain(f"{job.paths.leases} cannot be written: {error}")
                return
            if lease is None:
                continue
            # someone may have published between our look and our claim
            if job.result.exists():
                lease.close()
                state.close(job)
            else:
                self._hand_over(job, lease)

    def _complain(self, text: str) -> None:
        """Once, and no more, that nothing can be evaluated; a disk may have room again later."""
        if self.plan.is_once:
            raise StoreError(f"{text}. Nothing can be evaluated there")
        if text not in self._complaints:
            self._complaints.add(text)
            report.note(f"{text}. Nothing can be evaluated there until it can")

    def _hand_over(self, job: Job, lease: leases.Lease) -> None:
        folder = job.paths.pins / lease.path.name
        is_reused = job.found.external and pins.is_reused_name(job.found.path.name)
        try:
            pinned = pins.pin(job.found.path, job.whole.identity, folder, copy=is_reused)
        except pins.Moved:
            lease.release()
            self._due = 0.0  # the next look says what it is now
        except OSError as error:
            lease.release()
            self._fail(job, "load", f"it cannot be pinned: {error}", None)
        else:
            self._desk.give(job, lease, pinned, self._patience_s(job))

    def _patience_s(self, job: Job) -> float:
        if self.plan.timeout_s is not None:
            return self.plan.timeout_s
        usual = self._outcomes.patience_s() if self._desk.is_warm_for(job) else None
        return usual or _FIRST_PATIENCE_S

    def _wait(self, seconds: float) -> None:
        """Handle whatever comes, until a hint, a change at the desk, or `seconds` have passed."""
        until = time.monotonic() + seconds
        before = (self._desk.task, self._desk.is_ready)
        while not self._signal and not self._is_broken:
            self._keep()
            left = until - time.monotonic()
            if left <= 0 or (self._desk.task, self._desk.is_ready) != before:
                return
            ready = self._selector.select(left)
            for key, _ in ready:
                key.data()
            if any(key.fd == self._wake for key, _ in ready):
                self._due = 0.0
                return

    def _pause_s(self) -> float:
        delays = [self._outcomes.delay_s(job) for job in self._state.pending]
        until_look = max(0.0, self._due - time.monotonic())
        if self._ledger is None:
            until_look = self.plan.poll_s
        return min([until_look, *(delay for delay in delays if delay > 0)])

    def _keep(self) -> None:
        """Keep the claim on what is in hand, and end what takes too long."""
        if not self._desk.beat():
            task = self._desk.take_back()
            if task is not None:
                report.note(f"{task.job.found.file}: another watcher took this over")
                pins.unpin(task.pin)
            self._desk.stop(0.0)
            self._desk.start()
        elif self._desk.is_overdue():
            _, words = self._desk.stop(_STOP_GRACE_S)
            self._drop("timeout", "no end in sight, so the worker was stopped", words)
            self._desk.start()

    def _on_answer(self, answer: dict[str, Any]) -> None:
        kind = answer.get("type")
        if kind == "ready":
            self._on_ready(answer)
        elif kind == "broken":
            report.note(str(answer.get("text")))
            self._is_broken = True
        elif kind in {"result", "skipped", "failed"}:
            task = self._desk.task
            if task is not None and answer.get("key") == task.job.key:
                self._finish(answer)

    def _on_ready(self, answer: dict[str, Any]) -> None:
        declarations = [Declaration(**each) for each in answer["evaluations"]]
        code = str(answer["code"]["digest"])
        if self._ledger is None:
            names = ", ".join(each.name for each in declarations)
            report.note(f"ready: {names} on {answer.get('device')}, book {self.plan.book.root}")
        if self._ledger is None or self._ledger.code != code:
            self._state, self._due = State(), 0.0
            self._ledger = Ledger(
                code=code,
                declarations=declarations,
                choice=self.plan.policy,
                say=report.note,
                tick=self._keep,
                is_once=self.plan.is_once,
                retry_failed=self.plan.retry_failed,
                files=self.plan.files,
            )

    def _finish(self, answer: dict[str, Any]) -> None:
        task = self._desk.take_back()
        assert task is not None
        self._idle_deaths = 0
        if answer["type"] == "result":
            pins.unpin(task.pin)
            task.lease.close()
            self._outcomes.result(task.job, answer)
            self._state.close(task.job)
            return
        task.put_back()
        text = str(answer["text"])
        if answer["type"] == "skipped":
            self._outcomes.skipped(task.job, text)
            self._state.drop(task.job)
        else:
            self._fail(task.job, str(answer["kind"]), text, answer.get("traceback"))

    def _fail(self, job: Job, kind: str, text: str, trace: str | None) -> None:
        is_given_up = self._outcomes.failed(job, kind, text, trace)
        if is_given_up and self._ledger is not None:
            self._ledger.give_up(job)
            self._state.drop(job)
            self._state.failed.add((job.facts.id, job.key))

    def _drop(self, kind: str, text: str, words: str) -> None:
        """The worker ended with a task in hand."""
        task = self._desk.take_back()
        if task is not None:
            task.put_back()
            self._fail(task.job, kind, text, words or None)

    def _on_death(self, how: str, words: str) -> None:
        last = f"; its last words: {words.splitlines()[-1]}" if words else ""
        self._idle_deaths += self._desk.task is None
        if self._ledger is None or self._idle_deaths >= _IDLE_DEATHS:
            report.note(f"the worker for {self.plan.worker.file} died: {how}{last}")
            self._is_broken = True
            return
        self._drop("crash", f"the worker died: {how}{last}", words)
        self._desk.start()

    def _sweep(self, scenes: list[Scene]) -> None:
        """Remove what dead watchers left in runs that are seen for the first time."""
        for scene in scenes:
            if scene.facts.id not in self._swept and scene.checkpoints:
                self._swept.add(scene.facts.id)
                leases.sweep(scene.paths.leases, scene.paths.has_result)
                pins.sweep(scene.paths.pins, leases.live(scene.paths.leases))

    def _drain_wake(self) -> None:
        try:
            while os.read(self._wake, 4096):
                pass
        except BlockingIOError:
            pass  # that was all

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signal = number

    def _end(self) -> None:
        task = self._desk.take_back()
        self._desk.stop(0.0 if task else 0.5)
        if task is not None:
            task.put_back()

    def _exit_code(self, state: State) -> int:
        if self._is_broken:
            return 1
        if self._signal:
            return 128 + self._signal if self.plan.is_once else 0
        n_failed = len(state.failed)
        told = "; the reasons are above, and in `labbook show RUN`" if n_failed else ""
        report.show(f"{self._outcomes.n_results} new results, {n_failed} failed{told}")
        return 1 if n_failed else 0
