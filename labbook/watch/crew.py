"""The workers of one watcher: who does what next, and what came of it."""

from __future__ import annotations

import selectors
from collections.abc import Callable, Iterator
from typing import Any

from labbook.errors import StoreError
from labbook.watch import pin as pins
from labbook.watch import report
from labbook.watch.codes import CURRENT, Code
from labbook.watch.desk import FIRST_PATIENCE_S, Desk, Task
from labbook.watch.devices import Device
from labbook.watch.handing import Done, Held, Unpinned, Unready, Unwritable, prepare
from labbook.watch.hold import Holder
from labbook.watch.jobs import Ask, Job, State
from labbook.watch.offers import Offers
from labbook.watch.outcome import Outcomes
from labbook.watch.plan import Plan
from labbook.watch.policy import Ranked, next_of
from labbook.watch.slots import Slot, open_work

__all__ = ["Crew"]

_STOP_GRACE_S = 10.0
_IDLE_DEATHS = 3
_KEPT = 2
"""Workers that a slot keeps; each holds its model and data in memory."""


class Crew:
    """Gives work to the slots. `state` is what the last look found; `look_again` asks for a new
    one, `resolve` finds the device for a slot, `give_up` hears of failures that stand."""

    def __init__(
        self,
        plan: Plan,
        selector: selectors.BaseSelector,
        offers: Offers,
        *,
        resolve: Callable[[Slot], Device],
        look_again: Callable[[], None],
        give_up: Callable[[Job], None],
        holder: Holder,
    ) -> None:
        self.plan = plan
        self._holder = holder
        self.state = State()
        self.outcomes = Outcomes()
        self.slots = [Slot(name) for name in plan.devices]
        self.is_broken = False
        self.n_changes = 0
        """Counts what may let something begin: a start, an end."""
        self._selector = selector
        self._offers = offers
        self._resolve = resolve
        self._look_again = look_again
        self._give_up = give_up
        self._idle_deaths: dict[str, int] = {}
        self._checker: Desk | None = None
        self._told: set[str] = set()

    @property
    def is_idle(self) -> bool:
        """True when nothing is in hand, or being started."""
        return all(slot.is_free for slot in self.slots)

    @property
    def in_hand(self) -> list[Task]:
        """The work in hand."""
        return [desk.task for slot in self.slots for desk in slot.desks if desk.task is not None]

    # ---------------------------------------------------------------- giving

    def dispatch(self) -> None:
        """Give each free slot the next piece of work that nobody else holds."""
        for slot in self.slots:
            if slot.is_free:
                self._feed(slot)

    def check(self) -> None:
        """Start a worker in the current code: a file that cannot be used is said at once."""
        if not any(slot.desks for slot in self.slots):
            self._checker = self._start(self.slots[0], CURRENT, None)

    def delays(self) -> Iterator[float]:
        """Seconds until what failed may be tried again."""
        yield from filter(None, map(self.outcomes.delay_s, self.state.pending))

    def _feed(self, slot: Slot) -> None:
        work = open_work(self.slots, self.state, self.outcomes, is_dry=self.plan.is_dry)
        while work and not self.is_broken:
            chosen = work.pop(next_of(list(work), self.state.done, self.plan.policy))
            code = chosen.code or CURRENT
            holders = (each for each in (slot, *self.slots) if each.is_free)
            desk = next(filter(None, (each.desk_for(code) for each in holders)), None)
            if isinstance(chosen, Ask) or desk is None:
                self._start(slot, code, chosen.ranked)
                return
            if self._take_up(desk, chosen) and not slot.is_free:
                return

    def _start(self, slot: Slot, code: Code, intent: Ranked | None) -> Desk:
        while len(slot.desks) >= _KEPT:
            self._end_desk(slot, min(slot.desks, key=lambda desk: desk.used))
        if slot.device is None:
            slot.device = self._resolve(slot)
        desk = Desk(
            self.plan.worker, code, slot.device, self._selector,
            hear=self._on_answer, mourn=self._on_death,
        )  # fmt: skip
        desk.start()
        slot.desks.append(desk)
        slot.intent = intent
        return desk

    def _take_up(self, desk: Desk, job: Job) -> bool:
        """Claim a job, pin its checkpoint and hand both over; False when that cannot be."""
        try:
            lease, pinned = prepare(job, self._holder)
        except Held:
            pass  # the next look says whether it was done
        except Unready:
            pass  # a look follows as soon as it is copied
        except Done:
            self.state.close(job)
        except pins.Moved:
            self._look_again()  # the next look says what it is now
        except Unwritable as error:
            self._complain(str(error))
        except Unpinned as error:
            self._fail(job, "load", str(error), None)
        else:
            desk.give(job, lease, pinned, self._patience_s(desk, job))
            return True
        return False

    def _complain(self, text: str) -> None:
        """Once, and no more, that nothing can be evaluated; a disk may have room again later."""
        if self.plan.is_once:
            raise StoreError(f"{text}. Nothing can be evaluated there")
        if text not in self._told:
            self._told.add(text)
            report.note(f"{text}. Nothing can be evaluated there until it can")

    def _patience_s(self, desk: Desk, job: Job) -> float:
        if self.plan.timeout_s is not None:
            return self.plan.timeout_s
        usual = self.outcomes.patience_s() if desk.is_warm_for(job) else None
        return usual or FIRST_PATIENCE_S

    # --------------------------------------------------------------- keeping

    def keep(self) -> None:
        """Keep the claims on what is in hand, and end what takes too long."""
        for slot in self.slots:
            for desk in list(slot.desks):
                if not desk.beat():
                    task = desk.take_back()
                    if task is not None:
                        report.note(f"{task.job.found.file}: another watcher took this over")
                        pins.unpin(task.pin)
                    self._end_desk(slot, desk)
                elif desk.is_overdue():
                    self._end_overdue(slot, desk)

    def close(self) -> None:
        """End every worker, and leave what is in hand to whoever comes next."""
        for slot in self.slots:
            for desk in list(slot.desks):
                task = desk.take_back()
                desk.stop(0.0 if task else 0.5)
                if task is not None:
                    task.put_back()
            slot.desks.clear()

    def _end_overdue(self, slot: Slot, desk: Desk) -> None:
        is_task = desk.task is not None
        _, words = desk.stop(_STOP_GRACE_S)
        slot.desks.remove(desk)
        self._changed(slot)
        if is_task:
            self._drop(desk, "timeout", "no end in sight, so the worker was stopped", words)
        else:
            self._refuse(desk.code, "its worker did not start within an hour")

    def _end_desk(self, slot: Slot, desk: Desk) -> None:
        desk.stop(0.5 if desk.is_idle else 0.0)
        slot.desks.remove(desk)
        self._changed(slot)

    def _changed(self, slot: Slot | None) -> None:
        self.n_changes += 1
        if slot is not None:
            slot.intent = None

    def _slot_of(self, desk: Desk) -> Slot | None:
        return next((slot for slot in self.slots if desk in slot.desks), None)

    # --------------------------------------------------------------- hearing

    def _on_answer(self, desk: Desk, answer: dict[str, Any]) -> None:
        kind = answer.get("type")
        if kind == "ready":
            self._on_ready(desk, answer)
        elif kind == "broken":
            self._on_broken(desk, answer)
        elif kind in {"result", "skipped", "failed"}:
            task = desk.task
            if task is not None and answer.get("key") == task.job.key:
                self._finish(desk, answer)

    def _on_ready(self, desk: Desk, answer: dict[str, Any]) -> None:
        slot = self._slot_of(desk)
        self._changed(slot)
        is_first = self._offers.is_empty
        is_new = self._offers.learn(desk.code, answer)
        names = ", ".join(each["name"] for each in answer["evaluations"])
        if is_first:
            where = f"on {answer.get('device')}, book {self.plan.book.root}"
            report.note(f"ready: {names} {where}")
        self._tell(desk.code, answer.get("notes") or [])
        if desk is self._checker and self.plan.code == "run" and slot is not None:
            self._end_desk(slot, desk)  # the runs will come with code of their own
        if is_new:
            self.state = State()  # keys of an older version of the code
            self._look_again()

    def _tell(self, code: Code, notes: list[str]) -> None:
        """What is to be known of a code, once, however many workers say it."""
        run = "" if code.run_root is None else f" of {code.run_root.name}"
        for text in (f"{code}{run}: {note}" for note in notes):
            if text not in self._told:
                self._told.add(text)
                report.note(text)

    def _on_broken(self, desk: Desk, answer: dict[str, Any]) -> None:
        slot = self._slot_of(desk)
        desk.stop(0.0)
        if slot is not None:
            slot.desks.remove(desk)
        self._changed(slot)
        text, what = str(answer.get("text")), answer.get("what")
        if what == "device" or (what == "nowhere" and self._offers.is_empty):
            report.note(text)
            self.is_broken = True
            return
        if what == "code" and desk.code.mode == "run":
            text = f"{text.rstrip('.')}. --code current evaluates with the files as they are now"
        self._refuse(desk.code, text)

    def _refuse(self, code: Code, text: str) -> None:
        """Nothing can be evaluated in a code; without any other there is nothing to stay for."""
        self._offers.refuse(code, text)
        if code == CURRENT and (self.plan.code == "current" or self._offers.is_empty):
            report.note(text)
            self.is_broken = True
        self.state.pending = [job for job in self.state.pending if job.code != code]
        self._look_again()

    def _finish(self, desk: Desk, answer: dict[str, Any]) -> None:
        task = desk.take_back()
        assert task is not None
        self._changed(None)
        self._idle_deaths.pop(desk.code.id, None)
        if answer["type"] == "result":
            pins.unpin(task.pin)
            task.lease.close()
            self.outcomes.result(task.job, answer)
            if task.job.subset != "mini":  # the ledger knows whether it is the best so far
                self._holder.release(task.job.paths, task.job.key)
            self.state.close(task.job)
            self._replace_if_outgrown(desk)
            return
        task.put_back()
        text = str(answer["text"])
        if answer["type"] == "skipped":
            self.outcomes.skipped(task.job, text)
            self._holder.release(task.job.paths, task.job.key)
            self.state.drop(task.job)
            return
        if answer["kind"] == "cuda":
            self._make_room(desk)
        self._fail(task.job, str(answer["kind"]), text, answer.get("traceback"))

    def _replace_if_outgrown(self, desk: Desk) -> None:
        """A worker that leaks is replaced before the system kills it; that is no failure."""
        outgrown, slot = desk.outgrown(self.plan.max_rss), self._slot_of(desk)
        if outgrown is None or slot is None:
            return
        rss, most = (f"{size / 2**20:,.0f} MiB" for size in outgrown)
        report.note(f"the worker grew to {rss} (limit {most}): a fresh one takes over")
        self._end_desk(slot, desk)

    def _make_room(self, desk: Desk) -> None:
        """Another worker of this slot may hold the memory that was lacking."""
        slot = self._slot_of(desk)
        for other in list(slot.desks) if slot is not None else ():
            if slot is not None and other is not desk:
                self._end_desk(slot, other)

    def _fail(self, job: Job, kind: str, text: str, trace: str | None) -> None:
        if self.outcomes.failed(job, kind, text, trace):
            self._give_up(job)
            self._holder.release(job.paths, job.key)
            self.state.drop(job)
            self.state.failed.add((job.facts.id, job.key))

    def _drop(self, desk: Desk, kind: str, text: str, words: str) -> None:
        """The worker ended with a task in hand."""
        task = desk.take_back()
        if task is not None:
            task.put_back()
            self._fail(task.job, kind, text, words or None)

    def _on_death(self, desk: Desk, how: str, words: str) -> None:
        slot = self._slot_of(desk)
        if slot is not None:
            slot.desks.remove(desk)
        self._changed(slot)
        last = f"; its last words: {words.splitlines()[-1]}" if words else ""
        if desk.task is not None:
            self._drop(desk, "crash", f"the worker died: {how}{last}", words)
            return
        deaths = self._idle_deaths[desk.code.id] = self._idle_deaths.get(desk.code.id, 0) + 1
        if not desk.was_ready or deaths >= _IDLE_DEATHS:
            self._refuse(desk.code, f"the worker for {desk.code} died: {how}{last}")
