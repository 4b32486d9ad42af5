"""Figures over many results: what was found, what was named rightly, what alarmed wrongly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.planted.faults.families import EXACT
from tests.planted.program import Program
from tests.planted.running import Result

Z95 = 1.959964


@dataclass(frozen=True)
class Seen:
    """What a report amounts to. An alarm is a finding at warn or fail."""

    program: Program
    alarms: tuple[str, ...]  # that follow from nothing else, worst first
    folded: tuple[str, ...]  # alarms that follow from another finding
    notes: tuple[str, ...]
    broken: tuple[str, ...]  # rules that crashed
    seconds: float | None
    error: str

    @property
    def rules(self) -> tuple[str, ...]:
        """The right rules: empty for a clean program."""
        return self.program.fault.rules if self.program.fault else ()

    @property
    def is_detected(self) -> bool:
        """Any alarm at all."""
        return bool(self.alarms or self.folded)

    @property
    def is_right_first(self) -> bool:
        """The first alarm names the fault."""
        return bool(self.alarms) and self.alarms[0] in self.rules

    @property
    def is_right(self) -> bool:
        """An alarm that is not folded names the fault."""
        return any(rule in self.rules for rule in self.alarms)


def look(program: Program, result: Result) -> Seen:
    """Sort a report's findings."""
    report = result.report or {"findings": [], "skipped": [], "seconds": None}
    found = report["findings"]
    loud = [f for f in found if f["status"] in ("warn", "fail")]
    return Seen(
        program=program,
        alarms=tuple(f["rule"] for f in loud if f["follows_from"] is None),
        folded=tuple(f["rule"] for f in loud if f["follows_from"] is not None),
        notes=tuple(f["rule"] for f in found if f["status"] == "note"),
        broken=tuple(s["rule"] for s in report["skipped"] if s["crashed"]),
        seconds=report["seconds"],
        error=result.error,
    )


def wilson(n_hits: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22:209); (0, 1) where n is 0."""
    if n == 0:
        return 0.0, 1.0
    p = n_hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def percentile(values: Sequence[float], share: float) -> float:
    """Smallest value that a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Row:
    """One exact check."""

    check: str
    n: int
    missed: tuple[str, ...]
    false: tuple[str, ...]  # clean programs where its rules alarm


@dataclass
class Score:
    """Figures and lists over what was seen."""

    faults: list[Seen] = field(default_factory=list)
    clean: list[Seen] = field(default_factory=list)

    def add(self, seen: Seen) -> None:
        """Count one program."""
        (self.faults if seen.program.fault else self.clean).append(seen)

    @property
    def alarmed(self) -> list[Seen]:
        """Clean programs with an alarm."""
        return [seen for seen in self.clean if seen.is_detected]

    def exact(self) -> list[Row]:
        """Each exact check, by its faults and by all clean programs."""
        rows = []
        for check, rules in EXACT.items():
            own = [s for s in self.faults if s.program.fault and s.program.fault.exact == check]
            missed = tuple(s.program.name for s in own if not s.is_right)
            false = tuple(s.program.name for s in self.clean if {*s.alarms, *s.folded} & {*rules})
            rows.append(Row(check, len(own), missed, false))
        return rows

    def seconds(self) -> tuple[float, float] | None:
        """Median and 95th percentile of a check's seconds."""
        found = [s.seconds for s in (*self.faults, *self.clean) if s.seconds is not None]
        return (median(found), percentile(found, 0.95)) if found else None
