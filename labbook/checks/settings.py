"""What a project sets for its checks, in the nearest `pyproject.toml`.

[tool.labbook.check]
skip = ["fit/*"]

[tool.labbook.check.allow]
"data/imbalance" = "the long tail is the task"

[tool.labbook.check.set]
"data/unshuffled.z" = 6
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from labbook.client.project import read_project

__all__ = ["ProjectChecks", "project_checks"]


class ProjectChecks(NamedTuple):
    """`allow` is rule -> reason, `skip` rules and patterns, `limits` "rule.limit" -> number."""

    allow: Mapping[str, str]
    skip: tuple[str, ...]
    limits: Mapping[str, float]


def project_checks(folder: Path | None = None) -> ProjectChecks:
    """Read them from the project that holds `folder` (default: here); raises `MisuseError`."""
    table = read_project(folder or Path.cwd()).check or {}
    return ProjectChecks(table.get("allow", {}), tuple(table.get("skip", ())), table.get("set", {}))
