"""A report as text: one line a finding with its value and limit, then where, why and what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from labbook.checks.finding import Finding, Report

__all__ = ["finding_lines", "report_text"]

_WIDTH = 100
_NAME = 26


def report_text(report: Report, verbose: bool = False) -> str:
    """The whole report; `verbose` also prints findings that follow from others, and passes."""
    lines: list[str] = []
    for finding in report.findings:
        if finding.follows_from is None or verbose:
            n = sum(f.follows_from == finding.rule for f in report.findings)
            lines += finding_lines(finding, 0 if verbose else n)
    for skip in report.skipped:
        word = "error" if skip.crashed else "skip"
        lines.append(f"{word:<5} {skip.rule:<{_NAME}} {skip.reason}")
    counts = [f"{len(report.passed)} passed"]
    for status in ("fail", "warn", "note"):
        n = sum(f.status == status for f in report.findings)
        counts += [f"{n} {status}"] if n else []
    counts += [f"{len(report.skipped)} skipped"] if report.skipped else []
    counts += [f"{len(report.allowed)} allowed"] if report.allowed else []
    lines.append(" · ".join([*counts, f"{report.seconds:.1f} s"]))
    return "\n".join(lines)


def finding_lines(finding: Finding, n_follow: int = 0) -> Iterator[str]:
    """One finding."""
    numbers = [
        f"{word} {_number(value)}"
        for word, value in (("value", finding.value), ("limit", finding.limit))
        if value is not None
    ]
    tail = f" ({', '.join(numbers)})" if numbers else ""
    yield f"{finding.status:<5} {finding.rule:<{_NAME}} {finding.evidence}{tail}"
    for word, text in (
        ("where", finding.where),
        ("cause", "; or ".join(finding.causes)),
        ("fix", finding.fix),
        ("advice", finding.advice and f"“{finding.advice}”"),
    ):
        if text:
            yield from _wrapped(word, text)
    if n_follow:
        yield from _wrapped("", f"{n_follow} more follow{'s' if n_follow == 1 else ''} from this")


def _wrapped(word: str, text: str) -> Iterator[str]:
    head = f"      {word:<7} "
    yield from textwrap.wrap(text, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
