"""`labbook check FILE.py[:NAME]`: finding the subjects that a file declares.

The file is the user's own program, named by the user: it is imported as Python would import it,
with its folder on the path. Nothing is recorded meanwhile.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from labbook.checks.origins import origins_noted
from labbook.checks.subject import is_subject
from labbook.errors import MisuseError

__all__ = ["is_file_target", "subjects_in"]


def is_file_target(target: str) -> bool:
    """Whether this means a Python file and not a run."""
    path, name = _parted(target)
    return path.endswith(".py") or (bool(name) and Path(path).is_file())


def subjects_in(target: str) -> dict[str, Any]:
    """The subjects by name that `file.py` declares, or the one that `file.py:name` names.

    Raises `MisuseError` when there is no such file or none in it; what the file itself raises
    comes through.
    """
    path, wanted = _parted(target)
    if not Path(path).is_file():
        raise MisuseError(f"there is no file {path}")
    module = _imported(Path(path))
    found = {
        name: value
        for name, value in vars(module).items()
        if is_subject(value) and not name.startswith("_") and not _is_class(value)
    }
    if wanted:
        if wanted not in vars(module):
            known = ", ".join(found) or "none"
            raise MisuseError(f"{path} has no {wanted!r}; its subjects: {known}")
        return {wanted: vars(module)[wanted]}
    if not found:
        raise MisuseError(
            f"{path} declares no subject: put @labbook.subject on a function that returns "
            "labbook.Subject(model=…, loss=…, loader=…)"
        )
    return found


def _parted(target: str) -> tuple[str, str]:
    head, colon, name = target.rpartition(":")
    return (head, name) if colon and name.isidentifier() else (target, "")


def _is_class(value: Any) -> bool:
    return isinstance(value, type)


def _imported(path: Path) -> Any:
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    os.environ["LABBOOK_MODE"] = "off"  # a start() in it must not begin a run
    name = path.stem if path.stem.isidentifier() else "checked"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise MisuseError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        with origins_noted():
            spec.loader.exec_module(module)
    except BaseException:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise
    return module
