"""Gathers the conditions of a run into one object, git beside everything else."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from labbook.conditions import environment, machine, packages, repository, secrets, seeds
from labbook.conditions.arguments import Arguments, find

if TYPE_CHECKING:
    from labbook.conditions.snapshot import Limits, Snapshot

__all__ = ["code_folder", "gather", "gather_with_code", "script_path"]

T = TypeVar("T")

_FAILED = "asking git failed"


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
    with _beside(lambda: repository.describe(code_folder(folder))) as answer:
        conditions = _others(found)
    described, reason = answer[0] if answer else (None, _FAILED)
    return {**conditions, "git": described, "git_reason": reason}


def gather_with_code(
    frame: FrameType | None,
    explicit_args: Any = None,
    folder: str | os.PathLike[str] | None = None,
    *,
    arguments: Arguments | None = None,
    code_git: str | os.PathLike[str],
    private_cache: str | os.PathLike[str],
    limits: Limits | None = None,
) -> tuple[dict[str, Any], Snapshot]:
    """As `gather`, and take the snapshot, which is also `snapshot` in the conditions.

    Git is asked once for both: cheaper than `gather` and `take` one after the other. `editable`
    holds the snapshots of the user's other repositories, by the name they are installed under.
    """
    from labbook.conditions.others import take_others
    from labbook.conditions.snapshot import Limits, Snapshot, Taken, take_all

    found = arguments if arguments is not None else find(frame, explicit_args)
    place = code_folder(folder)

    def ask() -> tuple[Taken, bytes | None, dict[str, Snapshot]]:
        kept = limits or Limits()
        with repository.described(place) as name:
            taken = take_all(place, code_git, limits=kept, private_cache=private_cache)
            others = take_others(place, code_git, limits=kept, private_cache=private_cache)
            return taken, name(), others

    with _beside(ask) as answer:
        conditions = _others(found)
    failed = Taken(Snapshot("none", _FAILED), reason=_FAILED)
    taken, name, others = answer[0] if answer else (failed, None, {})
    described: dict[str, Any] | None
    reason: str | None = None
    if taken.status is not None:
        described = repository.as_condition(taken.status, name, taken.settings)
    else:  # too broken, or too slow, for a snapshot: git alone may still say something
        described, reason = repository.describe(place)
    conditions |= {"git": described, "git_reason": reason}
    conditions["snapshot"] = taken.snapshot.as_condition()
    conditions["editable"] = {name: other.as_condition() for name, other in others.items()}
    return conditions, taken.snapshot


def code_folder(folder: str | os.PathLike[str] | None = None) -> str:
    """Return where the code is: the folder given, else the script's, else the working directory."""
    if folder is not None:
        return os.fspath(folder)
    return os.path.dirname(script_path() or "") or _cwd()


def _others(found: Arguments) -> dict[str, Any]:
    return {
        "host": machine.host(),
        "boot_id": machine.boot_id(),
        "pid_namespace": machine.pid_namespace(),
        "pid": os.getpid(),
        "pid_started": machine.pid_started(),
        "command": secrets.mask_command(sys.orig_argv, found.secret_values()),
        "cwd": _cwd(),
        "script": script_path(),
        "arguments": found.as_condition(),
        "packages": packages.installed(),
        "python": machine.python(),
        "machine": machine.describe(),
        "environment": environment.record(),
        "seeds": seeds.states(),
    }


@contextmanager
def _beside(work: Callable[[], T]) -> Iterator[list[T]]:
    """Do work in a thread during the block; its result is in the list afterwards."""
    done: list[T] = []
    thread = threading.Thread(target=lambda: done.append(work()), daemon=True)
    thread.start()
    try:
        yield done
    finally:
        thread.join()


def script_path() -> str | None:
    """Return the absolute path of the running script; None in a notebook, a shell or `-c`."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.abspath(file) if isinstance(file, str) else None


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # the working directory was removed under us
        return os.path.expanduser("~")
