"""A report as text: one line a finding with its value and limit, then where, why and what to do.

What runs and subjects are called comes from other people: everything is stripped of control
sequences.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator

from labbook.book.text import clean
from labbook.checks.finding import SEVERITY, Finding, Report, Skipped

__all__ = ["finding_lines", "report_text"]

_WIDTH = 100
_NAME = 24
_COLOURS = {"fail": "31", "warn": "33", "note": "36", "error": "35", "skip": "2", "pass": "32"}
_LONG = {"model/shape-primes"}
"""Tables to read once: shown by -v."""

_LAST = "“tools are no substitute for thought”"


def report_text(report: Report, verbose: bool = False, colour: bool = False) -> str:
    """The whole report; `verbose` also shows what follows from others, what passed, and skips."""
    lines: list[str] = []
    for finding in report.findings:
        if not verbose and (finding.follows_from is not None or finding.rule in _LONG):
            continue
        follow = [f.rule for f in report.findings if f.follows_from == finding.rule]
        is_first = next(f for f in report.findings if f.rule == finding.rule) is finding
        shown = follow if is_first and finding.follows_from is None and not verbose else []
        lines += finding_lines(finding, shown, colour)
    for allowed in report.allowed:
        reason = f"allowed: {allowed.reason} ({allowed.evidence})"
        lines += _line("pass", allowed.rule, reason, colour)
    for why, skips in _by_reason(report.skipped).items():
        lines += _skips(why, skips, verbose, colour)
    if verbose:
        lines += [*_line("pass", "", ", ".join(report.passed), colour)] if report.passed else []
    lines.append(_summary(report))
    if report.ok and not any(SEVERITY[f.status] for f in report.findings):
        lines.append(f"      {_LAST}")
    return "\n".join(lines)


def finding_lines(
    finding: Finding, follow: Iterable[str] = (), colour: bool = False
) -> Iterator[str]:
    """One finding, and which rules' findings follow from it."""
    numbers = [
        f"{word} {_number(value)}"
        for word, value in (("value", finding.value), ("limit", finding.limit))
        if value is not None
    ]
    tail = f" ({', '.join(numbers)})" if numbers else ""
    yield from _line(finding.status, finding.rule, f"{finding.evidence}{tail}", colour)
    then = finding.follows_from
    follow = sorted(set(follow))
    for word, text in (
        ("where", finding.where),
        ("cause", "; or ".join(finding.causes)),
        ("fix", finding.fix),
        ("advice", finding.advice and f"“{finding.advice}”"),
        ("from", then or ""),
        ("hence", ", ".join(follow)),
    ):
        if text:
            yield from _wrapped(word, text)


def _line(word: str, name: str, text: str, colour: bool) -> Iterator[str]:
    head = f"{word:<5} {name:<{_NAME}} " if name else f"{word:<5} "
    indent = " " * 6 if len(head) > 6 + _NAME + 1 else " " * len(head)
    lines = textwrap.wrap(
        clean(text), _WIDTH, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False
    ) or [head.rstrip()]
    if colour and word in _COLOURS:
        lines[0] = f"\x1b[{_COLOURS[word]}m{lines[0][:5]}\x1b[0m{lines[0][5:]}"
    yield from lines


def _wrapped(word: str, text: str) -> Iterator[str]:
    head = f"      {word:<7} "
    yield from textwrap.wrap(
        clean(text),
        _WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _by_reason(skipped: Iterable[Skipped]) -> dict[tuple[str, bool], list[Skipped]]:
    groups: dict[tuple[str, bool], list[Skipped]] = {}
    for skip in skipped:
        groups.setdefault((skip.reason, skip.crashed), []).append(skip)
    return groups


def _skips(
    reason: tuple[str, bool], skips: list[Skipped], verbose: bool, colour: bool
) -> Iterator[str]:
    text, crashed = reason
    word = "error" if crashed else "skip"
    names = [skip.rule for skip in skips]
    shown = names if verbose or len(names) <= 3 else [*names[:2], f"{len(names) - 2} more (-v)"]
    yield from _line(word, "", f"{', '.join(shown)}: {text}", colour)
    if crashed and verbose:
        yield from (f"      {clean(line)}" for line in skips[0].trace.splitlines())


def _summary(report: Report) -> str:
    counts = [f"pass {len(report.passed)}"]
    for status in ("fail", "warn", "note"):
        n = sum(f.status == status and f.follows_from is None for f in report.findings)
        counts += [f"{status} {n}"] if n else []
    n = sum(not skip.crashed for skip in report.skipped)
    counts += [f"skip {n}"] if n else []
    counts += [f"error {len(report.crashed)}"] if report.crashed else []
    counts += [f"allowed {len(report.allowed)}"] if report.allowed else []
    counts.append(f"{report.seconds:.1f} s")
    if report.seed is not None:
        counts.append(f"seed {report.seed}")
    if report.causes:
        counts.append(f"labbook check --why {report.causes[0].rule}")
    return "   ".join(counts)


def _number(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if math.isfinite(value) else str(value)
