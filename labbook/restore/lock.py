"""The text of `labbook.lock`: the environment of a run, in the form `pip install -r` reads.

What a package is called and its version come from the book: only plain ones become requirements,
anything else is a comment, so that no line of it gives pip an option.
"""

from __future__ import annotations

import re
from typing import Any

from labbook.book.text import clean
from labbook.restore.recorded import Recorded

__all__ = ["LOCK", "lock_text"]

LOCK = "labbook.lock"
"""The file that restoring adds to the tree."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]*")


def lock_text(recorded: Recorded) -> str:
    """Return the lock file of a run: Python and machine as comments, a requirement a package."""
    conditions = recorded.conditions
    python, machine = _part(conditions, "python"), _part(conditions, "machine")
    packages = _part(conditions, "packages")
    lines = [
        f"# labbook.lock: the environment of run {recorded.run_id} ({recorded.name})",
        f"# python {python.get('version')} ({python.get('implementation')})",
        f"# {machine.get('system')} {machine.get('architecture')}, {machine.get('cpu')}",
    ]
    if machine.get("driver"):
        lines.append(f"# NVIDIA driver {machine['driver']}, CUDA {machine.get('cuda')}")
    gpus = machine.get("gpus")
    for gpu in gpus if isinstance(gpus, list) else []:
        lines.append(f"# GPU {gpu.get('name') if isinstance(gpu, dict) else gpu}")
    lines += [_requirement(name, packages[name], recorded) for name in sorted(packages)]
    return "\n".join(clean(line) for line in lines) + "\n"


def _requirement(name: str, version: Any, recorded: Recorded) -> str:
    if name in recorded.editable:
        tree = recorded.editable[name].tree
        return f"# {name}=={version} was installed in editable mode, from code {tree}"
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        return f"# {name}: version {version!r}"
    if not _NAME.fullmatch(name) or version == "unknown":
        return f"# {name!r}: version {version!r}"
    return f"{name}=={version}"


def _part(whole: dict[str, Any], name: str) -> dict[str, Any]:
    part = whole.get(name)
    return part if isinstance(part, dict) else {}
