"""Where a run came from: step by step back through the book, and what changed at each step.

A run is derived from its explicit parent where it has one (`rerun` says so). Else from the earlier
run that is most like it: among runs of the same script, one with the same code if there is any,
then the one with the fewest changes, then the latest. That is a guess, and is marked as one.

Reads the small files of every run once and no series: a book of 1,000 runs takes about a second.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.book.facts import Facts, as_int
from labbook.compare.changes import (
    Change,
    consequences,
    count_changes,
    headline,
    not_known,
    seed_changes,
    started_elsewhere,
)
from labbook.compare.code import compare_code
from labbook.compare.recorded import Recorded, compare_sections
from labbook.errors import StoreError

if TYPE_CHECKING:
    from labbook.book.reading import Book

__all__ = ["Ancestor", "lineage"]


@dataclass(frozen=True)
class Ancestor:
    """One run of a line, and how it differs from the one it was derived from.

    `how`: "parent" (it says so), "same code" or "nearest" (guesses), "missing" (its parent is not
    in this book), None for the beginning. `derived_from` and the changes are those to the older
    run.
    """

    id: str
    name: str
    created_ns: int | None
    how: str | None
    derived_from: str | None
    changes: tuple[Change, ...] = ()
    seed_changes: tuple[Change, ...] = ()
    unknown: tuple[str, ...] = ()
    headline: str = ""


@dataclass(frozen=True)
class _Known:
    """One run, reduced to what is compared a thousand times."""

    id: str
    name: str
    created_ns: int | None
    parent: str | None
    recorded: Recorded
    script: Any
    code: Any
    arguments: frozenset[tuple[str, str]]
    rest: tuple[str, ...]
    """Packages, Python, …: one word each, equal for equal content."""

    @property
    def order(self) -> tuple[int, str]:
        return self.created_ns or 0, self.id


def lineage(book: Book, which: str) -> list[Ancestor]:
    """Return the run and those it was derived from, newest first.

    Raises `RunNotFound` or `AmbiguousRun`.
    """
    start = book.run(which).id
    known = {run.id: run for run in _read(book)}
    if start not in known:
        return []
    line: list[Ancestor] = []
    run, seen = known[start], {start}
    earlier = sorted((r for r in known.values() if r.order < run.order), key=lambda r: r.order)
    while True:
        older, how = _derived_from(run, earlier, known)
        if older is not None and older.id in seen:
            older, how = None, None  # parents in a circle: nobody's own books have that
        line.append(_ancestor(book, run, older, how))
        if older is None:
            return line
        seen.add(older.id)
        run = older
        earlier = [candidate for candidate in earlier if candidate.order < run.order]


def _read(book: Book) -> Iterator[_Known]:
    for run_id in book.ids():
        facts = Facts(book.paths.run(run_id))
        try:
            facts.refresh()
        except (OSError, StoreError):
            continue
        yield _known(run_id, facts)


def _known(run_id: str, facts: Facts) -> _Known:
    recorded = Recorded.of(facts)
    identity = facts.identity
    renamed, given, parent = facts.fact("name"), identity.get("name"), identity.get("parent")
    sections = recorded.sections
    arguments = sections["arguments"] or {}
    launch = sections["launch"] or {}
    return _Known(
        run_id,
        next((n for n in (renamed, given) if isinstance(n, str) and n), run_id),
        as_int(identity.get("created_ns")),
        parent if isinstance(parent, str) and parent else None,
        recorded,
        launch.get("script"),
        recorded.code.identity,
        frozenset((name, _word(value)) for name, value in arguments.items()),
        tuple(_word(sections[name]) for name in ("packages", "python", "data", "launch")),
    )


def _word(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _derived_from(
    run: _Known, earlier: list[_Known], known: dict[str, _Known]
) -> tuple[_Known | None, str | None]:
    if run.parent is not None:
        parent = known.get(run.parent)
        return parent, "parent" if parent else "missing"
    alike = [candidate for candidate in earlier if candidate.script == run.script]
    same_code = [c for c in alike if run.code is not None and c.code == run.code]
    chosen = _nearest(run, same_code or alike)
    if chosen is None:
        return None, None
    return chosen, "same code" if same_code else "nearest"


def _nearest(run: _Known, candidates: list[_Known]) -> _Known | None:
    """The candidate with the fewest changes, of several the latest; they come oldest first."""
    nearest, least = None, -1
    for candidate in reversed(candidates):
        if candidate.rest == run.rest and candidate.arguments == run.arguments:
            return candidate
    for candidate in reversed(candidates):
        distance = _distance(run, candidate)
        if nearest is None or distance < least:
            nearest, least = candidate, distance
        if least == 1:  # none is nearer: equal ones were looked for before
            break
    return nearest


def _distance(run: _Known, other: _Known) -> int:
    names = {name for name, _ in run.arguments ^ other.arguments}
    return len(names) + sum(a != b for a, b in zip(run.rest, other.rest, strict=True))


def _with_given(book: Book, run: _Known) -> Recorded:
    facts = Facts(book.paths.run(run.id))
    try:
        facts.refresh()
    except (OSError, StoreError):
        return run.recorded  # removed in this moment
    return run.recorded.with_given(facts)


def _ancestor(book: Book, run: _Known, older: _Known | None, how: str | None) -> Ancestor:
    if older is None:
        derived_from = run.parent if how == "missing" else None
        return Ancestor(run.id, run.name, run.created_ns, how, derived_from)
    sections = compare_sections(_with_given(book, older), _with_given(book, run))
    code = compare_code(
        older.recorded, run.recorded, book.paths.code, book.paths.code, with_files=False
    )
    changes, seeds = count_changes(sections, code), seed_changes(sections)
    unknown = not_known(sections, code)
    line = headline(
        changes, seeds, unknown, started_elsewhere(sections), consequences(sections, changes)
    )
    return Ancestor(run.id, run.name, run.created_ns, how, older.id, changes, seeds, unknown, line)
