"""Free and ledger rules on a recorded run: nothing of the user's is imported or run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from labbook.checks.checking import apply, check_limits, chosen_rules, concluded, sorted_out
from labbook.checks.finding import Report, Skipped
from labbook.checks.recorded import Recorded
from labbook.checks.rule import limits_of, matching

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook.book.runreader import RunReader

__all__ = ["check_book", "check_run"]


def check_run(
    run: RunReader,
    book: Book | None = None,
    *,
    only: Iterable[str] = (),
    skip: Iterable[str] = (),
    limits: Mapping[str, Any] | None = None,
    allow: Mapping[str, str] | None = None,
) -> Report:
    """Apply the rules that need no model to a run, and with `book` those across its runs.

    `limits` are `{"rule.limit": value}`, `allow` is `{rule: reason}`, beside what the run itself
    recorded as allowed. Raises `MisuseError` for unknown names.
    """
    started = time.monotonic()
    recorded = Recorded(run, book)
    said = [_applied("run", recorded, only, skip, limits or {})]
    if book is not None:
        said.append(_applied("book", recorded, only, skip, limits or {}))
    report = Report(
        run.name,
        tuple(f for one in said for f in one.findings),
        tuple(s for one in said for s in one.skipped),
        tuple(p for one in said for p in one.passed),
    )
    return concluded(report, {**_known(recorded.allowed), **(allow or {})}, started)


def check_book(book: Book, **how: Any) -> Report:
    """`check_run` on the book's newest run that can be read. Raises `RunNotFound` when empty."""
    from labbook.errors import DamagedFile, RunNotFound

    for run_id in book.ids():
        try:
            run = book.run(run_id)
        except (DamagedFile, FileNotFoundError):
            continue
        return check_run(run, book, **how)
    raise RunNotFound(f"{book.root} has no run yet: train with labbook.start() first")


def _known(allow: Mapping[str, str]) -> dict[str, str]:
    """What another version of labbook allowed may be no rule of this one."""
    from labbook.errors import MisuseError

    kept = {}
    for pattern, reason in allow.items():
        try:
            matching([pattern])
        except MisuseError:
            continue
        kept[pattern] = reason
    return kept


def _applied(
    what: str,
    recorded: Recorded,
    only: Iterable[str],
    skip: Iterable[str],
    changed: Mapping[str, Any],
) -> Report:
    check_limits(changed)
    said = {
        rule: apply(rule, what, recorded, limits_of(rule, changed))
        for rule in chosen_rules(what, only, skip)
    }
    findings, skipped, passed = sorted_out(said)
    # many rules need what few runs record: that is no news, unless the rule was asked for
    told = skipped if tuple(only) else [s for s in skipped if s.crashed or not _is_absence(s)]
    return Report(what, tuple(findings), tuple(told), tuple(passed))


def _is_absence(skip: Skipped) -> bool:
    return "not recorded" in skip.reason
