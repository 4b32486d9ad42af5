"""What a project sets for all its runs: `[tool.labbook]` in the nearest `pyproject.toml`.

[tool.labbook]
dirty = "refuse"            # or "warn", "allow"

[tool.labbook.snapshot]
file_mib = 10               # a larger untracked or modified file is left out
total_mib = 100
seconds = 2.0
leave_out = ["*.npy"]       # untracked names, besides those that often hold secrets

[tool.labbook.check]        # see labbook.checks.settings
skip = ["fit/*"]
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from labbook.conditions.limits import Limits
from labbook.errors import MisuseError

__all__ = ["Project", "read_project"]

_KEYS: Final = ("dirty", "snapshot", "check")
_SNAPSHOT_KEYS: Final = ("file_mib", "total_mib", "seconds", "leave_out")
_CHECK_KEYS: Final = ("allow", "skip", "set")


class Project(NamedTuple):
    """The settings of a project; `complaint` is one line about a file that cannot be read."""

    dirty: str | None = None
    limits: Limits | None = None
    complaint: str | None = None
    check: Mapping[str, Any] | None = None


def read_project(folder: str | os.PathLike[str]) -> Project:
    """Read the settings of the project that holds `folder`.

    The nearest `pyproject.toml` counts, up to the top of the git working tree. Raises
    `MisuseError` for keys and values that labbook does not know.
    """
    path = _nearest(Path(folder).absolute())
    if path is None:
        return Project()
    try:
        raw = path.read_bytes()
        if b"labbook" not in raw:
            return Project()
        import tomllib

        table = tomllib.loads(raw.decode()).get("tool", {}).get("labbook", {})
    except (OSError, ValueError, AttributeError) as error:
        return Project(complaint=f"{path} cannot be read, its settings do not count: {error}")
    _check(path, "tool.labbook", table, _KEYS)
    return Project(
        _dirty(path, table.get("dirty")),
        _limits(path, table.get("snapshot")),
        check=_checks(path, table.get("check")),
    )


def _nearest(folder: Path) -> Path | None:
    for candidate in (folder, *folder.parents):
        path = candidate / "pyproject.toml"
        if path.is_file():
            return path
        if (candidate / ".git").exists():
            break
    return None


def _check(path: Path, where: str, table: Any, known: tuple[str, ...]) -> None:
    if not isinstance(table, Mapping):
        raise MisuseError(f"{path}: [{where}] must be a table")
    for key in table:
        if key not in known:
            raise MisuseError(f"{path}: [{where}] has no {key!r}; it has {', '.join(known)}")


def _dirty(path: Path, value: Any) -> str | None:
    if value not in {None, "warn", "refuse", "allow"}:
        raise MisuseError(
            f"{path}: [tool.labbook] dirty = {value!r}: expected 'warn', 'refuse' or 'allow'"
        )
    return None if value is None else str(value)


def _checks(path: Path, table: Any) -> Mapping[str, Any] | None:
    if table is None:
        return None
    where = "tool.labbook.check"
    _check(path, where, table, _CHECK_KEYS)
    skip, limits = table.get("skip", []), table.get("set", {})
    if not isinstance(skip, list) or not all(isinstance(each, str) for each in skip):
        raise MisuseError(f"{path}: [{where}] skip must be a list of rules")
    if not isinstance(limits, Mapping) or not all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in limits.values()
    ):
        raise MisuseError(f'{path}: [{where}.set] takes numbers: "data/unshuffled.z" = 6')
    allow = table.get("allow", {})
    if not isinstance(allow, Mapping) or not all(
        isinstance(reason, str) and reason.strip() for reason in allow.values()
    ):
        raise MisuseError(f"{path}: [{where}.allow] takes a rule and a reason, in words")
    result: Mapping[str, Any] = table
    return result


def _limits(path: Path, table: Any) -> Limits | None:
    if table is None:
        return None
    where = "tool.labbook.snapshot"
    _check(path, where, table, _SNAPSHOT_KEYS)
    for key in ("file_mib", "total_mib", "seconds"):
        value = table.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            raise MisuseError(f"{path}: [{where}] {key} = {value!r}: expected a number from 0")
    patterns = table.get("leave_out", [])
    if not isinstance(patterns, list) or not all(isinstance(each, str) for each in patterns):
        raise MisuseError(f"{path}: [{where}] leave_out must be a list of patterns")
    limits = Limits()
    if "file_mib" in table:
        limits = replace(limits, file_bytes=round(table["file_mib"] * 2**20))
    if "total_mib" in table:
        limits = replace(limits, total_bytes=round(table["total_mib"] * 2**20))
    if "seconds" in table:
        limits = replace(limits, seconds=float(table["seconds"]))
    return replace(limits, never=(*limits.never, *patterns))
