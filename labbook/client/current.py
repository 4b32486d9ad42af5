"""The current run of this process: what `labbook.log` and `labbook.event` talk to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labbook.client.off import OffRun
from labbook.client.run import Run
from labbook.errors import MisuseError

__all__ = ["active", "current", "log", "set_current"]

_current: Run | OffRun | None = None


def set_current(run: Run | OffRun) -> None:
    """Make `run` the one that module-level calls talk to."""
    global _current  # noqa: PLW0603  # one process, one current run: sugar over the object
    _current = run


def active() -> Run | None:
    """The run that is being recorded, if any."""
    run = _current
    return run if isinstance(run, Run) and not run.finished else None


def current() -> Run | OffRun:
    """Return the run `labbook.start()` made last; raises `MisuseError` before the first."""
    if _current is None:
        raise MisuseError("no run yet: call labbook.start() first")
    return _current


def log(
    metrics: Mapping[str, Any] | None = None, /, *, step: int | None = None, **more: Any
) -> None:
    """Record numbers in the current run; see `Run.log`."""
    current().log(metrics, step=step, **more)
