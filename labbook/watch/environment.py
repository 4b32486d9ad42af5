"""How the worker's Python and packages differ from those of the run. Worker side.

Of packages that both have, only those are named that the evaluation has imported; the others are
counted.
"""

from __future__ import annotations

import functools
import platform
import re
import sys
from collections.abc import Mapping
from typing import Any

from labbook.conditions import packages

__all__ = ["differences"]

_MAJOR_MINOR = re.compile(r"\d+\.\d+")


def differences(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """What is not as it was in the run.

    `differs` is a list of {name, then, now, is_major}, null where the run recorded no packages;
    `is_major` says that more than the patch version differs. `n_others` counts packages that
    differ and are not imported here.
    """
    recorded = conditions.get("packages")
    python = conditions.get("python")
    version = python.get("version") if isinstance(python, dict) else None
    if not isinstance(recorded, dict) or not isinstance(version, str):
        return {"differs": None, "n_others": None}
    found = []
    if version != platform.python_version():
        found.append(_difference("python", version, platform.python_version()))
    now = _installed()
    other = [
        name
        for name, then in recorded.items()
        if isinstance(then, str) and now.get(name, then) != then
    ]
    used = _imported() if other else frozenset()
    found += [_difference(name, recorded[name], now[name]) for name in other if name in used]
    return {"differs": found, "n_others": sum(name not in used for name in other)}


def _difference(name: str, then: str, now: str) -> dict[str, Any]:
    return {"name": name, "then": then, "now": now, "is_major": _major(then) != _major(now)}


def _major(version: str) -> str:
    match = _MAJOR_MINOR.match(version)
    return match[0] if match else version


@functools.cache
def _installed() -> dict[str, str]:
    return packages.installed()


def _imported() -> frozenset[str]:
    """Distributions of which something is imported, by normalised name."""
    tops = {name.partition(".")[0] for name in sys.modules}
    return frozenset(
        re.sub(r"[-_.]+", "-", each).lower()
        for top, names in _distributions().items()
        if top in tops
        for each in names
    )


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    from importlib.metadata import packages_distributions

    return packages_distributions()
