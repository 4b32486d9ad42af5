"""Walks the caller's frames outwards, looking for an object that holds the program's arguments."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from types import FrameType
from typing import Any, NamedTuple

from labbook.conditions.plain import fields_of, is_of

__all__ = ["Place", "is_library", "is_program", "outwards", "search"]

NAMES = ("args", "config", "cfg", "hparams")
"""Variables that hold arguments when their type does not tell."""

_RUNNERS = frozenset({
    "pytest", "_pytest", "pluggy", "xdist", "execnet", "unittest", "nose", "doctest", "hypothesis",
    "coverage", "trace", "cProfile", "profile", "viztracer", "scalene", "memory_profiler",
    "line_profiler", "kernprof", "pdb", "bdb", "ipdb", "pudb", "debugpy", "ptvsd", "pydevd",
    "_pydevd_bundle", "_pydevd_frame_eval", "IPython", "ipykernel", "traitlets", "ptpython",
    "bpython", "runpy", "code",
})  # fmt: skip
"""Programs that run programs: nothing beyond their frames is the user's, nor what they define."""

_PYTEST_OPTIONS = frozenset({"file_or_dir", "importmode", "pyargs"})


class Place(NamedTuple):
    """An object that holds arguments, and where it was found, for the user to read."""

    value: Any
    source: str


def outwards(frame: FrameType) -> Iterator[FrameType]:
    """Yield the user's frames from `frame` to the script's `<module>`, the innermost first."""
    current: FrameType | None = frame
    while current is not None:
        if not is_library(current.f_code.co_filename):
            yield current
            if _is_script(current):
                return
        elif _top_module(current) in _RUNNERS:
            return
        current = current.f_back


def search(frames: list[FrameType]) -> Place | None:
    """Return what holds arguments: in the frames' variables, else in their modules' globals."""
    for frame in frames:
        place = _in(frame.f_locals, frame)
        if place is not None:
            return place
    for frame in frames:
        place = _in(frame.f_globals, frame)
        if place is not None:
            return place
    return None


@cache
def is_library(filename: str) -> bool:
    """Whether code of this file is the standard library's, an installed package's, or our own."""
    if filename.startswith("<frozen ") or filename == "<string>":
        return filename.startswith("<frozen ")
    path = os.path.abspath(filename)
    parts = path.split(os.sep)
    return (
        "site-packages" in parts
        or "dist-packages" in parts
        or any(path.startswith(root) for root in _library_roots())
    )


def is_program(value: Any) -> bool:
    """Whether an object may be the program's own, rather than a test runner's or debugger's."""
    module = type(value).__module__.partition(".")[0]
    # a user's own package may be called `code` or `profile`
    if module in _RUNNERS and is_library(
        getattr(sys.modules.get(module), "__file__", None) or "<>"
    ):
        return False
    if is_of(value, "argparse", "Namespace"):
        return not vars(value).keys() >= _PYTEST_OPTIONS
    return True


@cache
def _library_roots() -> tuple[str, ...]:
    # as sysconfig has them, whose import takes longer than all the rest of the search
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = {os.path.dirname(os.__file__), os.path.join(sys.exec_prefix, sys.platlibdir, version)}
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    user = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
    return tuple(root.rstrip(os.sep) + os.sep for root in {*found, own, user} if root)


def _top_module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_script(frame: FrameType) -> bool:
    """Whether this is the script's top level; a notebook's cell is one too (`<cell line: 1>`)."""
    return frame.f_globals.get("__name__") == "__main__" and frame.f_locals is frame.f_globals


def _in(variables: Mapping[str, Any], frame: FrameType) -> Place | None:
    """Look through the variables of one frame: namespaces by type, then objects by name."""
    order = [name for name in NAMES if name in variables]
    spaces = [name for name, value in list(variables.items()) if _is_namespace(value)]
    by_type = [name for name in order if name in spaces] + [n for n in spaces if n not in order]
    by_name = [name for name in order if name not in spaces]
    for name in by_type + by_name:
        value = variables[name]
        if is_program(value) and fields_of(value):
            file = os.path.basename(frame.f_code.co_filename)
            return Place(value, f"{_kind(value)} {name!r} in {file}")
    return None


def _is_namespace(value: Any) -> bool:
    # what Hydra passes to the task has its own type, whatever the parameter is called
    return is_of(value, "argparse", "Namespace") or (
        is_of(value, "omegaconf", "DictConfig") and _hydra_runs()
    )


def _hydra_runs() -> bool:
    hydra_config = sys.modules.get("hydra.core.hydra_config")
    return hydra_config is not None and bool(hydra_config.HydraConfig.initialized())


def _kind(value: Any) -> str:
    if is_of(value, "argparse", "Namespace"):
        return "argparse.Namespace"
    if type(value) is dict:
        return "dict"
    module = type(value).__module__.partition(".")[0]
    name = type(value).__qualname__
    return name if module in {"__main__", "builtins"} else f"{module}.{name}"
