"""Imports the user's evaluation file and finds what is in it. Worker side: this runs user code."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import os
import re
import site
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import labbook
from labbook.errors import EvaluationError
from labbook.watch.evaluation import Declaration, declaration
from labbook.watch.identity import canonical

__all__ = ["Program", "load_program", "user_error"]

_FRAME = re.compile(r'^(\s*File )"([^"\n]+)"', re.MULTILINE)
_OUTSIDE = "outside:"
_PACKAGES = {"site-packages", "dist-packages"}  # another environment's too, by a .pth file


@dataclass(frozen=True)
class Program:
    """Imported evaluation files: their evaluations by name, and what they were made of.

    `roots` are the folders of a run's code, by name, when they were imported in it; `content` is
    then the digest of that code.
    """

    files: tuple[Path, ...]
    modules: dict[str, ModuleType]
    evaluations: dict[str, tuple[Declaration, Any]]
    homes: dict[str, Path]
    """The file of each evaluation."""
    roots: dict[str, Path] = field(default_factory=dict)
    content: str | None = None

    @property
    def file(self) -> Path:
        """The first file: names of files are relative to its folder."""
        return self.files[0]

    def module_of(self, evaluation: str) -> ModuleType:
        """The module that an evaluation was found in."""
        return self.modules[evaluation]

    def code(self) -> dict[str, str]:
        """SHA-256 of every file of the user's that is imported now, by path.

        Paths are relative to the folder of the evaluation file; in a run's code to its top, and
        what was imported from elsewhere begins with `outside:`.
        """
        found = {}
        for path in _user_files(self.files):
            found[self._name(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        return dict(sorted(found.items()))

    def outside(self) -> dict[str, Path]:
        """Imported files that are not part of the run's code, by name; none without one."""
        names = {self._name(path): path for path in _user_files(self.files)}
        return {name: path for name, path in names.items() if name.startswith(_OUTSIDE)}

    def code_digest(self) -> str:
        """Digest of all of `code()`."""
        return _digest(self.code())

    def key_digest(self, evaluation: str) -> str:
        """What the key of a result holds of the code; the other evaluation files do not count."""
        others = {self._name(file) for file in self.files if file != self.homes[evaluation]}
        found = {name: digest for name, digest in self.code().items() if name not in others}
        if self.content is None:
            return _digest(found)
        own = self._name(self.homes[evaluation])
        outside = {name: found[name] for name in found if name.startswith(_OUTSIDE)}
        return _digest(["run", self.content, own, outside])

    def told(self, filename: str) -> str:
        """A file as a message names it: one of a run's code by its path there, for it lies in a
        cache of ours that means nothing to the user.
        """
        path = Path(filename)
        inside = any(path.is_relative_to(root) for root in self.roots.values())
        return self._name(path) if inside else filename

    def told_trace(self, text: str) -> str:
        """A traceback with its files named as in `told`."""
        return _FRAME.sub(lambda found: f'{found[1]}"{self.told(found[2])}"', text)

    def _name(self, path: Path) -> str:
        for label, root in self.roots.items():
            if path.is_relative_to(root):
                return label + path.relative_to(root).as_posix()
        name = os.path.relpath(path, self.file.parent)
        if not self.roots:
            return name
        inside = any(self.file.is_relative_to(root) for root in self.roots.values())
        return _OUTSIDE + (f"{path.parent.name}/{path.name}" if inside else name)


def load_program(
    file: Path,
    *more: Path,
    folders: Sequence[str] | None = None,
    roots: Mapping[str, Path] | None = None,
    content: str | None = None,
) -> Program:
    """Import evaluation files; raises `EvaluationError` naming file, line and exception.

    `folders` come first on `sys.path`: by default the working directory and those of the files.
    """
    files = tuple(each.absolute() for each in (file, *more))
    for each in files:
        if not each.is_file():
            raise EvaluationError(
                f"there is no file {each}; name the file that holds your evaluation"
            )
    if folders is None:
        folders = (*(str(each.parent) for each in files), os.getcwd())
    for folder in reversed(folders):
        if folder in sys.path:
            sys.path.remove(folder)
        sys.path.insert(0, folder)
    program = Program(files, {}, {}, {}, dict(roots or {}), content)
    for each in files:
        module = _import(program, each)
        for name, found in _evaluations(module, each).items():
            if name in program.evaluations:
                raise EvaluationError(
                    f"{program.homes[name].name} and {each.name} both have an evaluation called "
                    f"{name!r}; give one of them another name with @labbook.evaluation(name=…)"
                )
            program.evaluations[name] = found
            program.modules[name], program.homes[name] = module, each
    return program


def _import(program: Program, file: Path) -> ModuleType:
    taken = {module.__name__ for module in program.modules.values()}
    name = file.stem.replace("-", "_").replace(".", "_")
    while name in taken:  # the file of that name in another folder
        name += "_"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise EvaluationError(f"{file} cannot be imported: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        text = f"cannot import {file.name}: {user_error(error, program, file)}"
        raise EvaluationError(text) from error
    return module


def user_error(error: BaseException, program: Program, file: Path | None = None) -> str:
    """`path line N: Type: text`, at the last frame in the user's own code (that of `file`)."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        where = program.told(error.filename)
        return f"{where} line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_user_file(frame.filename, file or program.file)]
    if not own:
        return what
    return f"{program.told(own[-1].filename)} line {own[-1].lineno}: {what}"


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


def _digest(value: Any) -> str:
    return f"sha256:{hashlib.sha256(canonical(value)).hexdigest()}"


def _user_files(files: Sequence[Path]) -> Iterator[Path]:
    seen = set()
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if not isinstance(name, str) or name in seen or not name.endswith(".py"):
            continue
        seen.add(name)
        if any(_is_user_file(name, file) for file in files) and os.path.isfile(name):
            yield Path(name)


def _is_user_file(name: str, file: Path) -> bool:
    """True for code that belongs to the user, not to Python, a package or labbook."""
    if name == str(file):
        return True
    if not os.path.isabs(name) or not _PACKAGES.isdisjoint(name.split(os.sep)):
        return False
    return not name.startswith(_foreign())


@functools.cache
def _foreign() -> tuple[str, ...]:
    """Folders of code that is not the user's, each with a separator at its end."""
    folders = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages(), *labbook.__path__}
    # of the interpreter that an environment was made from, or that a .pth file adds
    folders |= {word for word in sys.path if os.path.basename(word) in _PACKAGES}
    return tuple(os.path.join(folder, "") for folder in folders if folder)
