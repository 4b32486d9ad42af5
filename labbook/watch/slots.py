"""The places that the workers of a watcher have, and what could be begun in them now.

A slot is one worker's place on one device. It works on one thing at a time; of the workers that it
has started, each for one code, it keeps a few, so that runs with different code take turns warm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from labbook.watch.codes import Code
from labbook.watch.desk import Desk
from labbook.watch.devices import Device
from labbook.watch.jobs import Ask, Job, State
from labbook.watch.outcome import Outcomes
from labbook.watch.policy import Ranked

__all__ = ["Slot", "open_work"]


@dataclass
class Slot:
    """One worker's place. `intent` is the work it is starting a worker for."""

    name: str
    device: Device | None = None
    desks: list[Desk] = field(default_factory=list)
    intent: Ranked | None = None

    @property
    def is_free(self) -> bool:
        """True when it could begin something now."""
        return all(desk.is_idle for desk in self.desks)

    @property
    def at_work(self) -> Desk | None:
        """The desk that has a task, or is being started."""
        return next((desk for desk in self.desks if not desk.is_idle), None)

    def desk_for(self, code: Code) -> Desk | None:
        """The idle desk with a worker for this code."""
        return next((desk for desk in self.desks if desk.code == code and desk.is_idle), None)


def open_work(
    slots: Sequence[Slot], state: State, outcomes: Outcomes, *, is_dry: bool
) -> dict[Ranked, Job | Ask]:
    """What could be begun now, by its rank; for a dry run nothing is evaluated."""
    desks = [desk for slot in slots for desk in slot.desks]
    held = {(desk.task.job.facts.id, desk.task.job.key) for desk in desks if desk.task is not None}
    intended = {slot.intent for slot in slots if slot.intent is not None}
    work: dict[Ranked, Job | Ask] = {}
    for job in () if is_dry else state.pending:
        is_taken = (job.facts.id, job.key) in held or job.ranked in intended
        if not is_taken and not outcomes.delay_s(job):
            work[job.ranked] = job
    # a code is asked for as if its newest checkpoint were to be evaluated
    subset = "mini" if any(ranked.subset == "mini" for ranked in work) else "full"
    known = {desk.code for desk in desks if not desk.is_ready}
    for ask in state.asks:
        if ask.code not in known:  # of several runs with one code, one is enough
            known.add(ask.code)
            ranked = Ranked(ask.ranked.run, ask.ranked.position, subset, ask.ranked.time_ns)
            work[ranked] = Ask(ask.code, ranked)
    return work
