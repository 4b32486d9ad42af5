"""Gathers the conditions of a run into one object, git beside everything else."""

from __future__ import annotations

import os
import sys
import threading
from types import FrameType
from typing import Any

from labbook.conditions import environment, machine, packages, repository, secrets, seeds
from labbook.conditions.arguments import Arguments, find

__all__ = ["gather", "script_path"]


def gather(
    frame: FrameType | None,
    explicit_args: Any = None,
    folder: str | os.PathLike[str] | None = None,
    *,
    arguments: Arguments | None = None,
) -> dict[str, Any]:
    """Return the conditions of this process, ready for JSON.

    `folder` is where git is asked: default the folder of the script, else the working directory
    (Hydra changes the latter). Pass `arguments` when they were found already. Raises
    `MisuseError` for an `explicit_args` of an unknown kind, and nothing else.
    """
    found = arguments if arguments is not None else find(frame, explicit_args)
    script = script_path()
    place = os.fspath(folder) if folder is not None else os.path.dirname(script or "") or _cwd()
    git: list[tuple[dict[str, Any] | None, str | None]] = []
    asking = threading.Thread(target=lambda: git.append(repository.describe(place)), daemon=True)
    asking.start()
    conditions: dict[str, Any] = {
        "host": machine.host(),
        "boot_id": machine.boot_id(),
        "pid_namespace": machine.pid_namespace(),
        "pid": os.getpid(),
        "command": secrets.mask_command(sys.orig_argv, found.secret_values()),
        "cwd": _cwd(),
        "script": script,
        "arguments": found.as_condition(),
        "packages": packages.installed(),
        "python": machine.python(),
        "machine": machine.describe(),
        "environment": environment.record(),
        "seeds": seeds.states(),
    }
    asking.join()
    described, reason = git[0] if git else (None, "asking git failed")
    return {**conditions, "git": described, "git_reason": reason}


def script_path() -> str | None:
    """Return the absolute path of the running script; None in a notebook, a shell or `-c`."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.abspath(file) if isinstance(file, str) else None


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # the working directory was removed under us
        return os.path.expanduser("~")
