"""Where in the user's own files something is: `train.py:41 in train`."""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

__all__ = ["OURS", "caller", "is_users", "place_of", "place_of_error", "shown"]

OURS = str(Path(__file__).resolve().parent.parent)
"""The folder of labbook's own code."""

_CHECKS = str(Path(__file__).resolve().parent) + os.sep
_OUTSIDE = tuple(
    os.path.realpath(path)
    for name, path in sysconfig.get_paths().items()
    if name in {"stdlib", "platstdlib", "purelib", "platlib"}
)


@cache
def is_users(filename: str) -> bool:
    """Whether a file is the user's own: not labbook, not the standard library, not installed."""
    if filename.startswith("<") and not filename.startswith("<ipython"):
        return False
    real = os.path.realpath(filename)
    if {"site-packages", "dist-packages"} & set(Path(real).parts):  # of whatever environment
        return False
    return not real.startswith((OURS + os.sep, *(path + os.sep for path in _OUTSIDE)))


def shown(filename: str, line: int, name: str = "") -> str:
    """`train.py:41 in train`, the path relative to here where it lies below."""
    path = os.path.relpath(filename) if filename.startswith(os.getcwd() + os.sep) else filename
    return f"{path}:{line}" + (f" in {name}" if name and name != "<module>" else "")


def place_of(thing: Any) -> str:
    """Where a function or class is defined; empty where nothing says."""
    thing = inspect.unwrap(getattr(thing, "func", thing)) if callable(thing) else type(thing)
    code = getattr(thing, "__code__", None)
    if isinstance(code, CodeType):
        return shown(code.co_filename, code.co_firstlineno, thing.__name__.strip("<>"))
    kind = thing if inspect.isclass(thing) else type(thing)
    try:
        filename, (_, line) = inspect.getfile(kind), inspect.getsourcelines(kind)
    except (TypeError, OSError):
        return ""
    return shown(filename, line, kind.__name__) if is_users(filename) else kind.__name__


def caller(depth: int = 1) -> str:
    """The innermost line of the user's own that is running now; empty where there is none.

    What called the check itself is none: `labbook.check(…)` is not where a model is wrong.
    """
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and _is_checks(frame):  # the hook that asks
        frame = frame.f_back
    while frame is not None and not _is_checks(frame):
        if is_users(frame.f_code.co_filename):
            return shown(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        frame = frame.f_back
    return ""


def _is_checks(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_CHECKS)


def place_of_error(error: BaseException) -> str:
    """The innermost line of the user's own that an exception passed through."""
    found = ""
    for frame, line in _frames(error.__traceback__):
        if is_users(frame.f_code.co_filename):
            found = shown(frame.f_code.co_filename, line, frame.f_code.co_name)
    return found


def _frames(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    yield from traceback.walk_tb(trace)
