"""What a check says: findings, what could not run, and the report that holds both.

Standard library only: the terminal program and the pytest plugin read reports too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["SEVERITY", "Finding", "Kind", "Report", "Skipped", "Status", "at_least"]

Status = Literal["note", "warn", "fail"]
Kind = Literal["static", "free", "probe", "ledger"]

SEVERITY: dict[str, int] = {"note": 0, "warn": 1, "fail": 2}
"""Status -> rank; `note` alarms nobody."""


@dataclass(frozen=True)
class Finding:
    """One thing a rule found.

    `value` was measured and `limit` is what it was held against, both as the rule's formula names
    them; None where a rule has no number. `where` names what to change: `train.py:41 in train`, a
    module, a parameter, a batch, a step. `evidence` is what was seen, in a sentence. `causes` are
    likely first, `fix` is what to do, `advice` the craft behind it. `follows_from` names the rule
    whose finding explains this one. `seconds` is what the rule took.
    """

    rule: str
    status: Status
    kind: Kind
    value: float | str | None = None
    limit: float | str | None = None
    where: str = ""
    evidence: str = ""
    causes: tuple[str, ...] = ()
    fix: str = ""
    advice: str = ""
    seconds: float = 0.0
    seed: int | None = None
    version: int = 1
    follows_from: str | None = None
    reason: str | None = None  # why it is allowed, for those that are

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Skipped:
    """A rule that could not say anything: why. `crashed` when the rule itself broke."""

    rule: str
    reason: str
    crashed: bool = False
    trace: str = ""


@dataclass(frozen=True)
class Report:
    """What a check found.

    `findings` are sorted by severity, then by the order of causes; each is followed by those that
    follow from it (`follows_from`). `causes` are the ones that nothing else explains. `passed` are
    the rules that ran and found nothing, `skipped` those that could not say anything and why,
    `allowed` findings that were declared as meant, with the reason.
    """

    subject: str
    findings: tuple[Finding, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    passed: tuple[str, ...] = ()
    allowed: tuple[Finding, ...] = ()
    seconds: float = 0.0
    seed: int | None = None
    facts: tuple[tuple[str, Any], ...] = field(default=(), repr=False)

    @property
    def causes(self) -> tuple[Finding, ...]:
        """The findings that no other finding explains."""
        return tuple(f for f in self.findings if f.follows_from is None)

    @property
    def folded(self) -> tuple[Finding, ...]:
        """The findings that follow from another one."""
        return tuple(f for f in self.findings if f.follows_from is not None)

    @property
    def crashed(self) -> tuple[Skipped, ...]:
        """Rules that broke: a mistake in labbook, never a finding."""
        return tuple(s for s in self.skipped if s.crashed)

    @property
    def ok(self) -> bool:
        """Nothing failed, no rule broke, and at least one rule ran."""
        ran = bool(self.passed or self.findings)
        return ran and not self.crashed and not any(at_least(self.findings, "fail"))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "subject": self.subject,
            "ok": self.ok,
            "findings": [f.as_dict() for f in self.findings],
            "allowed": [f.as_dict() for f in self.allowed],
            "skipped": [asdict(s) for s in self.skipped],
            "passed": list(self.passed),
            "seconds": self.seconds,
            "seed": self.seed,
            "facts": dict(self.facts),
        }

    def __str__(self) -> str:
        from labbook.checks.text import report_text

        return report_text(self)


def at_least(findings: Iterable[Finding], status: Status) -> Sequence[Finding]:
    """Those findings that are at or above `status`."""
    return [f for f in findings if SEVERITY[f.status] >= SEVERITY[status]]
