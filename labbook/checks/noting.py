"""What a check found is written into the run that is being recorded, if one is."""

from __future__ import annotations

from typing import Any

from labbook.checks.finding import Report

__all__ = ["note_in_run"]


def note_in_run(report: Report, run: Any) -> None:
    """One event a finding that nothing else explains, and one for each that was allowed, and why.

    `run` is a `labbook.Run`, or None; its storage never raises.
    """
    if run is None:
        return
    for finding in report.causes:
        fields = {
            "rule": finding.rule,
            "status": finding.status,
            "where": finding.where,
            "version": finding.version,
            "fix": finding.fix,
        }
        run._journal.event("finding", f"{finding.rule}: {finding.evidence}", **fields)
    for finding in report.allowed:
        text = f"{finding.rule} is allowed: {finding.reason}"
        run._journal.event("allowed", text, rule=finding.rule, reason=finding.reason)
