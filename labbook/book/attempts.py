"""Which rows a later attempt superseded."""

from __future__ import annotations

from collections.abc import Iterable

from labbook.book.facts import Facts, as_int
from labbook.journal.format import NO_STEP

__all__ = ["NEVER", "attempt_of", "limits", "order_of"]

NEVER = 1 << 63
"""A step no row reaches."""


def order_of(facts: Facts, writer: str) -> tuple[int, int, int, str]:
    """Sorts writers by attempt and rank; a writer without conditions comes first."""
    process = facts.processes.get(writer)
    if process is None:
        return 0, 0, 0, writer
    return process.attempt, process.rank, process.started_ns, writer


def attempt_of(facts: Facts, writer: str) -> int:
    """The attempt a writer belongs to; 0 when its conditions are not there."""
    return order_of(facts, writer)[0]


def limits(facts: Facts, writers: Iterable[str], first_steps: dict[int, int]) -> dict[int, int]:
    """For each attempt the step from which its rows are superseded.

    A later attempt supersedes from its `resume_step`, else from the step it logged first, which
    `first_steps` says of the attempts that logged any.
    """
    limit = NEVER
    found: dict[int, int] = {}
    for attempt in sorted({attempt_of(facts, writer) for writer in writers}, reverse=True):
        found[attempt] = limit
        begins = _resume_step(facts, attempt)
        if begins is None:
            begins = first_steps.get(attempt)
        if begins is not None and begins != NO_STEP:
            limit = min(limit, begins)
    return found


def _resume_step(facts: Facts, attempt: int) -> int | None:
    steps = (
        as_int(process.conditions.get("resume_step"))
        for process in facts.processes.values()
        if process.attempt == attempt
    )
    return min((step for step in steps if step is not None), default=None)
