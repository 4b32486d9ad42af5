"""What a look for mistakes found; see `labbook.watch.probes` for the kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Finding", "Report", "some"]


@dataclass(frozen=True)
class Finding:
    """A mistake: its kind, what it is and what to do, and the module, buffer or column."""

    kind: str
    text: str
    where: str | None = None


@dataclass
class Report:
    """What was found, and which looks could not be taken, with the reason."""

    tolerance: float
    findings: list[Finding] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)
    n_batches: int = 0
    seconds: float = 0.0

    def add(self, kind: str, text: str, where: str | None = None) -> None:
        """Note a mistake."""
        self.findings.append(Finding(kind, text, where))

    def has(self, *kinds: str) -> bool:
        """Whether one of these was found."""
        return any(finding.kind in kinds for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """As results have it under `probes`."""
        return {
            "found": [{"kind": f.kind, "text": f.text, "where": f.where} for f in self.findings],
            "not_run": self.not_run,
            "n_batches": self.n_batches,
            "seconds": round(self.seconds, 6),
            "tolerance": self.tolerance,
        }


def some(names: Sequence[str], limit: int = 3) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
