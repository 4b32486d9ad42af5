"""`pytest checks.py`: one test a rule, for each subject that the file declares.

Collected are the files named on the command line or by `labbook_files` in pytest's settings, where
they declare a subject. The rules of a subject that are selected run together, in the first of its
tests. `labbook_fail_on` (default `fail`) says from which severity on a test fails; findings below
are warnings.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

__all__ = ["LabbookWarning", "RuleItem", "SubjectFile"]


class LabbookWarning(UserWarning):
    """A finding below `labbook_fail_on`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two settings."""
    parser.addini("labbook_files", "files with labbook subjects", type="args", default=[])
    parser.addini("labbook_fail_on", "note, warn or fail", default="fail")
    parser.addini("labbook_budget", "seconds for one subject", default="60")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A file that is meant and declares a subject."""
    if file_path.suffix != ".py":
        return None
    config = parent.config
    named = any(file_path.match(pattern) for pattern in config.getini("labbook_files"))
    if not named and not _is_argument(file_path, config):
        return None
    try:
        declares = b"labbook" in (raw := file_path.read_bytes()) and b"ubject" in raw
    except OSError:
        return None
    return SubjectFile.from_parent(parent, path=file_path) if declares else None


def _is_argument(path: Path, config: pytest.Config) -> bool:
    root = config.invocation_params.dir
    return any(path == (root / str(arg).partition("::")[0]).resolve() for arg in config.args)


class SubjectFile(pytest.File):
    """A file with subjects."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item a rule and subject."""
        from labbook.checks.loading import subjects_in
        from labbook.checks.rule import registry
        from labbook.errors import MisuseError

        try:
            subjects = subjects_in(str(self.path))
        except MisuseError:
            return
        for name, value in subjects.items():
            shared: dict[str, Any] = {"subject": value, "report": None}
            for rule in registry().values():
                if "subject" in rule.checks:
                    yield RuleItem.from_parent(
                        self, name=f"{name}[{rule.name}]", rule=rule.name, shared=shared
                    )


class RuleItem(pytest.Item):
    """One rule on one subject."""

    def __init__(self, *, rule: str, shared: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rule = rule
        self.shared = shared

    def runtest(self) -> None:
        """Fail with what was found."""
        report = self._report()
        for skip in report.skipped:
            if skip.rule == self.rule:
                if skip.crashed:
                    raise RuntimeError(f"{skip.reason}\n{skip.trace}")
                pytest.skip(skip.reason)
        self._judge([f for f in report.findings if f.rule == self.rule])

    def _judge(self, found: list[Any]) -> None:
        from labbook.checks.finding import at_least
        from labbook.checks.text import finding_lines

        bad = at_least(found, self.config.getini("labbook_fail_on"))
        if bad:
            text = "\n".join(line for f in bad for line in finding_lines(f))
            pytest.fail(text, pytrace=False)
        for finding in found:
            warnings.warn(f"{finding.rule}: {finding.evidence}", LabbookWarning, stacklevel=1)

    def _report(self) -> Any:
        from labbook.checks.checking import check

        if self.shared["report"] is None:
            wanted = [
                item.rule
                for item in self.session.items
                if isinstance(item, RuleItem) and item.shared is self.shared
            ]
            budget = float(self.config.getini("labbook_budget"))
            self.shared["report"] = check(self.shared["subject"], budget, wanted or [self.rule])
        return self.shared["report"]

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it stands."""
        return self.path, None, self.name
