"""The watcher's loop: look, let the crew work, say what came of it.

Events only make a look come sooner; every `poll_s` the book is looked at anyway. The supervisor
itself imports neither torch nor pyarrow and runs none of the user's code: that is the workers',
which may hang, leak or die without harm.
"""

from __future__ import annotations

import os
import selectors
import time
from types import FrameType

from labbook.watch import hold, report
from labbook.watch import lease as leases
from labbook.watch import pin as pins
from labbook.watch.clock import Clock
from labbook.watch.crew import Crew
from labbook.watch.devices import Device, choose, visible_gpus
from labbook.watch.discover import Scanner, Scene
from labbook.watch.hints import Hints
from labbook.watch.jobs import Job
from labbook.watch.ledger import Ledger
from labbook.watch.offers import Offers
from labbook.watch.over import all_over, trainings
from labbook.watch.plan import Plan, stop_signals
from labbook.watch.screen import Screen, lines
from labbook.watch.slots import Slot
from labbook.watch.status import StatusFile, standing

__all__ = ["Plan", "Supervisor"]

_SHARE = 0.05
_TICK_S = 5.0
"""Heartbeats of leases and of the status file go on while nothing happens."""


class Supervisor:
    """Runs until everything is done (`is_once`, `is_until_finished`) or a signal comes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._selector = selectors.DefaultSelector()
        self._offers = Offers(
            plan.worker.files, plan.worker.cache, plan.code,
            is_trusting=plan.is_trusting, store=plan.book.code,
        )  # fmt: skip
        self._holder = hold.Holder(plan.pin_budget, plan.policy == "newest", self._on_held)
        self._crew = Crew(
            plan, self._selector, self._offers, resolve=self._resolve,
            look_again=self._look_again, give_up=self._give_up, holder=self._holder,
        )  # fmt: skip
        self._ledger = Ledger(
            code="",
            declarations=[],
            choice=plan.policy,
            say=report.note,
            tick=self._keep,
            is_once=plan.is_once,
            retry_failed=plan.retry_failed,
            files=plan.files,
            offers=self._offers,
            is_dry=plan.is_dry,
            holder=None if plan.is_dry else self._holder,
        )
        self._scanner = Scanner(plan.book, plan.runs)
        self._clock = Clock(plan.book.root)
        self._scenes: list[Scene] = []
        self._swept: set[str] = set()
        self._signals: list[int] = []
        self._due = 0.0
        self._is_last_look = False
        self._is_greeted = False
        self._screen = Screen()
        self._status = StatusFile(plan.book)

    def run(self) -> int:
        """Watch. 0: fine; 1: the user's code cannot be used or, once, something failed; 128+n."""
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        os.set_blocking(write_end, False)
        self._wake, self._wake_end = read_end, write_end
        self._selector.register(read_end, selectors.EVENT_READ, self._drain_wake)
        hints = Hints(write_end)
        if hints.failure:
            every = f"looking every {self.plan.poll_s} s"
            report.note(f"no file events here ({hints.failure}): {every}")
        try:
            with stop_signals(self._on_signal, write_end), report.above(self._screen):
                self._loop(hints)
                self._finish_in_hand()
        finally:
            hints.close()
            self._crew.close()
            self._holder.close()
            self._screen.clear()
            self._status.remove()
            self._selector.close()
            os.close(read_end)
            os.close(write_end)
        return self._exit_code()

    def _loop(self, hints: Hints) -> None:
        while not self._signals and not self._crew.is_broken:
            is_fresh = time.monotonic() >= self._due
            if is_fresh:
                self._look(hints)
            self._crew.dispatch()
            if self._is_done():
                if is_fresh:
                    return
                self._due = 0.0  # what was seen last is done: is there anything else?
                continue
            self._wait(self._pause_s())

    def _look(self, hints: Hints) -> None:
        """See what there is to do now; until the next look, work goes on from what was seen."""
        spent = time.process_time()
        self._due = time.monotonic() + self.plan.poll_s
        now_ns = self._clock.now_ns()
        self._offers.refresh()
        self._scenes = [
            scene
            for scene in self._scanner.scan(now_ns)
            if self.plan.groups is None or scene.facts.group in self.plan.groups
        ]
        hints.watch(self._scanner.folders())
        if not self.plan.is_dry:
            self._sweep()
        self._crew.state = self._ledger.look(self._scenes, now_ns)
        # thousands of pending results are looked for one by one: at most a twentieth of our time
        if self._due:
            rest = (time.process_time() - spent) / _SHARE
            self._due = max(self._due, time.monotonic() + rest)
        self._greet()
        is_waiting = not any(scene.checkpoints for scene in self._scenes)
        if is_waiting and not self._crew.state.asks and self._offers.is_empty:
            self._crew.check()

    def _greet(self) -> None:
        """Once: what is known and done starts no worker, which would say that it is ready."""
        state = self._crew.state
        if self._is_greeted or self.plan.is_once:
            return
        self._is_greeted = True
        if state.is_over and any(state.done.values()):
            n_done = sum(map(len, state.done.values()))
            report.note(f"watching {self.plan.book.root}: {n_done} checkpoints have their results")

    def _is_done(self) -> bool:
        """Whether there is nothing left to stay for."""
        plan, state = self.plan, self._crew.state
        if not self._crew.is_idle:
            return False
        if plan.is_dry:
            return not state.asks
        if plan.is_once:
            return state.is_over
        if not (plan.is_until_finished and state.is_over and all_over(self._scenes)):
            return False
        if not self._is_last_look:
            # the last checkpoint of a run that was killed is the last: nobody wrote that down
            self._is_last_look = self._ledger.is_once = True
            self._ledger.forget()
            self._due = 0.0
            return False
        return True

    def _wait(self, seconds: float) -> None:
        """Handle whatever comes, until a hint, a change in the crew, or `seconds` have passed."""
        until = time.monotonic() + seconds
        before = self._crew.n_changes
        while not self._signals and not self._crew.is_broken:
            self._keep()
            left = until - time.monotonic()
            if left <= 0 or self._crew.n_changes != before:
                return
            if self._hear(min(left, _TICK_S)):
                self._due = 0.0
                return

    def _hear(self, seconds: float) -> bool:
        """Handle what comes within `seconds`; True when it was a hint."""
        ready = self._selector.select(seconds)
        for key, _ in ready:
            key.data()
        return any(key.fd == self._wake for key, _ in ready)

    def _pause_s(self) -> float:
        return min([max(0.0, self._due - time.monotonic()), *self._crew.delays()])

    def _keep(self) -> None:
        """Keep the claims, and say what is being done."""
        self._crew.keep()
        if self._status.is_due or self._screen.is_due:
            state = "draining" if self._signals else "watching"
            now = standing(self._crew, state, self._offers.names, self._lag_s())
            self._screen.draw(lines(now))
            if self._status.is_due and not self.plan.is_dry:
                self._status.write(now)

    def _lag_s(self) -> float | None:
        """How long the newest checkpoint without a result has been there."""
        times = [job.found.time_ns for job in self._crew.state.pending]
        if not times:
            return None
        return max(0.0, (self._clock.now_ns() - max(times)) / 1e9)

    def _finish_in_hand(self) -> None:
        """After a signal: what is in hand may end, within bounds; a second signal abandons it."""
        until = time.monotonic() + self.plan.grace_s
        n_signals = len(self._signals)
        if n_signals and self._crew.in_hand:
            report.note(
                f"ending after the evaluation in hand, at most {self.plan.grace_s:.0f} s; "
                "again to abandon it"
            )
        while n_signals and self._crew.in_hand and len(self._signals) == n_signals:
            left = until - time.monotonic()
            if left <= 0:
                return
            self._keep()
            self._hear(min(left, _TICK_S))

    def _resolve(self, slot: Slot) -> Device:
        """The device for a slot, when its first worker is started."""
        taken = [s.device.uuid for s in self._crew.slots if s.device is not None and s.device.uuid]
        is_asked = slot.name not in {"cpu", "mps"}
        running = trainings(self._scenes) if slot.name == "auto" else []
        device = choose(slot.name, visible_gpus() if is_asked else None, running, taken)
        if slot.name == "auto":
            report.note(f"device auto: {device.uuid or device.name} ({device.why})")
        return device

    def _sweep(self) -> None:
        """Remove what dead watchers left in runs that are seen for the first time."""
        for scene in self._scenes:
            if scene.facts.id in self._swept:
                continue
            # a checkpoint may be there as a pin alone
            if scene.checkpoints or os.path.isdir(scene.paths.pins):
                self._swept.add(scene.facts.id)
                leases.sweep(scene.paths.leases, scene.paths.has_result)
                pins.sweep(scene.paths.pins, leases.live(scene.paths.leases))
                hold.sweep(scene.paths)

    def _look_again(self) -> None:
        self._due = 0.0

    def _on_held(self) -> None:
        """Called by the thread that holds checkpoints: there may be something to begin."""
        try:
            os.write(self._wake_end, b"h")
        except OSError:
            pass  # it is full, so a look comes anyway; or we are ending

    def _give_up(self, job: Job) -> None:
        self._ledger.give_up(job)

    def _drain_wake(self) -> None:
        try:
            while os.read(self._wake, 4096):
                pass
        except BlockingIOError:
            pass  # that was all

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _exit_code(self) -> int:
        state = self._crew.state
        if self._crew.is_broken:
            return 1
        if self.plan.is_dry:
            report.plan(self._scenes, state)
            return 0
        if self._signals:
            return 128 + self._signals[0] if self.plan.is_once else 0
        n_failed = len(state.failed)
        told = "; the reasons are above, and in `labbook show RUN`" if n_failed else ""
        report.show(f"{self._crew.outcomes.n_results} new results, {n_failed} failed{told}")
        return 1 if n_failed else 0
