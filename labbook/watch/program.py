"""Imports the user's evaluation file and finds what is in it. Worker side: this runs user code."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import os
import site
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import labbook
from labbook.errors import EvaluationError
from labbook.watch.evaluation import Declaration, declaration
from labbook.watch.identity import canonical

__all__ = ["Program", "load_program", "user_error"]

_INSTALLED = {"site-packages", "dist-packages"}  # another environment's too, by a .pth file


@dataclass(frozen=True)
class Program:
    """An imported evaluation file: its evaluations by name, and what it was made of."""

    file: Path
    module: ModuleType
    evaluations: dict[str, tuple[Declaration, Any]]

    def code(self) -> dict[str, str]:
        """SHA-256 of every file of the user's that is imported now, by path below the folder."""
        found = {}
        for path in _user_files(self.file):
            name = os.path.relpath(path, self.file.parent)
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return dict(sorted(found.items()))

    def code_digest(self) -> str:
        """Digest of all of `code()`."""
        return f"sha256:{hashlib.sha256(canonical(self.code())).hexdigest()}"


def load_program(file: Path) -> Program:
    """Import `file`; raises `EvaluationError` naming file, line and exception."""
    file = file.absolute()
    if not file.is_file():
        raise EvaluationError(f"there is no file {file}; name the file that holds your evaluation")
    for folder in (os.getcwd(), str(file.parent)):
        if folder in sys.path:
            sys.path.remove(folder)
        sys.path.insert(0, folder)
    name = file.stem.replace("-", "_").replace(".", "_")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise EvaluationError(f"{file} cannot be imported: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        text = f"cannot import {file.name}: {user_error(error, file)}"
        raise EvaluationError(text) from error
    return Program(file, module, _evaluations(module, file))


def user_error(error: BaseException, file: Path) -> str:
    """`path line N: Type: text`, at the last frame in the user's own code."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename} line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_user_file(frame.filename, file)]
    if not own:
        return what
    return f"{own[-1].filename} line {own[-1].lineno}: {what}"


def _evaluations(module: ModuleType, file: Path) -> dict[str, tuple[Declaration, Any]]:
    found: dict[str, tuple[Declaration, Any]] = {}
    for thing in vars(module).values():
        declared = declaration(thing)
        if declared is None:
            continue
        if declared.name in found and found[declared.name][1] is not thing:
            raise EvaluationError(
                f"{file.name} has two evaluations called {declared.name!r}; "
                "give one of them another name with @labbook.evaluation(name=…)"
            )
        found[declared.name] = (declared, thing)
    plain = vars(module).get("evaluate")
    if not found and inspect.isfunction(plain):
        found["evaluate"] = (Declaration("evaluate"), plain)
    if not found:
        raise EvaluationError(
            f"{file} has no evaluation: mark a class with @labbook.evaluation, "
            "or define a function evaluate(model, device)"
        )
    return found


def _user_files(file: Path) -> Iterator[Path]:
    seen = set()
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if not isinstance(name, str) or name in seen or not name.endswith(".py"):
            continue
        seen.add(name)
        if _is_user_file(name, file) and os.path.isfile(name):
            yield Path(name)


def _is_user_file(name: str, file: Path) -> bool:
    """True for code that belongs to the user, not to Python, a package or labbook."""
    if name == str(file):
        return True
    if not os.path.isabs(name) or not _INSTALLED.isdisjoint(name.split(os.sep)):
        return False
    return not name.startswith(_foreign())


@functools.cache
def _foreign() -> tuple[str, ...]:
    """Folders of code that is not the user's, each with a separator at its end."""
    folders = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages(), *labbook.__path__}
    return tuple(os.path.join(folder, "") for folder in folders if folder)
