"""A report for machines: JUnit XML and GitHub's annotations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree as ET

from labbook.checks.finding import SEVERITY, Finding, Report, Status, at_least

__all__ = ["github_lines", "junit_xml"]

_LEVEL = {"fail": "error", "warn": "warning", "note": "notice"}
_PLACE = re.compile(r"^(?P<file>[^\s:]+\.py):(?P<line>\d+)")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(reports: Iterable[Report], fail_on: Status | None = "fail") -> str:
    """One suite a subject, one case a rule; a finding at or above `fail_on` is a failure."""
    top = ET.Element("testsuites")
    for report in reports:
        suite = ET.SubElement(top, "testsuite", name=_safe(report.subject))
        for rule, found in _by_rule(report).items():
            case = _case(suite, rule, sum(f.seconds for f in found[:1]))
            bad = at_least(found, fail_on) if fail_on else []
            for finding in bad[:1]:
                node = ET.SubElement(case, "failure", message=_safe(finding.evidence))
                node.text = _safe("\n\n".join(_paragraph(f) for f in bad))
            rest = [f for f in found if f not in bad]
            if rest:
                out = ET.SubElement(case, "system-out")
                out.text = _safe("\n\n".join(_paragraph(f) for f in rest))
        for skip in report.skipped:
            case = _case(suite, skip.rule, 0)
            if skip.crashed:
                node = ET.SubElement(case, "error", message=_safe(skip.reason))
                node.text = _safe(skip.trace)
            else:
                ET.SubElement(case, "skipped", message=_safe(skip.reason))
        for rule in report.passed:
            _case(suite, rule, 0)
        _count(suite)
    ET.indent(top)
    return ET.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, rule: str, seconds: float) -> ET.Element:
    area, _, name = rule.partition("/")
    return ET.SubElement(suite, "testcase", classname=area, name=name, time=f"{seconds:.3f}")


def _count(suite: ET.Element) -> None:
    suite.set("tests", str(len(suite)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(tag) is not None for case in suite)))


def _by_rule(report: Report) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in report.findings:
        found.setdefault(finding.rule, []).append(finding)
    return found


def _paragraph(finding: Finding) -> str:
    from labbook.checks.text import finding_lines

    return "\n".join(finding_lines(finding))


def _safe(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def github_lines(reports: Iterable[Report], fail_on: Status | None = "fail") -> Iterator[str]:
    """Workflow commands: an annotation at the line of each finding that nothing else explains.

    What is below `fail_on` is at most a warning.
    """
    for report in reports:
        for finding in report.causes:
            level = _LEVEL[finding.status]
            if level == "error" and (
                fail_on is None or SEVERITY[finding.status] < SEVERITY[fail_on]
            ):
                level = "warning"
            place = _PLACE.match(finding.where)
            at = f"file={_property(place['file'])},line={place['line']}," if place else ""
            text = "\n".join(filter(None, (finding.evidence, finding.where, finding.fix)))
            yield f"::{level} {at}title={_property(finding.rule)}::{_data(text)}"
        for skip in report.crashed:
            yield f"::error title={_property(skip.rule)}::{_data(skip.reason)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
