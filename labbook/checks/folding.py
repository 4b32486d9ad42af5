"""One mistake raises many alarms: what follows from an earlier finding is put under it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from labbook.checks.finding import SEVERITY, Finding
from labbook.checks.rule import registry

__all__ = ["arranged"]


def arranged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Fold and sort: the severe first, causes in their order, each before what follows from it.

    A finding follows from another when its rule says so (`Rule.follows`), the other alarms, and the
    other stands earlier in the order of causes. The earliest such finding is its cause.
    """
    order = {name: n for n, name in enumerate(registry())}
    inline = sorted(findings, key=lambda f: order.get(f.rule, len(order)))
    folded = [_folded(f, inline) for f in inline]
    causes = [f for f in folded if f.follows_from is None]
    causes.sort(key=lambda f: -SEVERITY[f.status])  # stable: the order of causes stays
    result: list[Finding] = []
    placed: set[str] = set()
    for cause in causes:
        result.append(cause)
        if cause.rule not in placed:  # a rule may have found several things
            placed.add(cause.rule)
            result += [f for f in folded if f.follows_from == cause.rule]
    return tuple(result)


def _folded(finding: Finding, inline: Sequence[Finding]) -> Finding:
    cause = _root(finding.rule, inline, frozenset())
    return finding if cause is None else replace(finding, follows_from=cause)


def _root(rule: str, inline: Sequence[Finding], passed: frozenset[str]) -> str | None:
    """The rule at the beginning of the chain that explains `rule`; None when nothing does."""
    follows = registry()[rule].follows if rule in registry() else ()
    for other in inline:
        if other.rule == rule or other.rule in passed or SEVERITY[other.status] < SEVERITY["warn"]:
            continue
        if any(fnmatchcase(other.rule, pattern) for pattern in follows):
            return _root(other.rule, inline, passed | {rule}) or other.rule
    return None
