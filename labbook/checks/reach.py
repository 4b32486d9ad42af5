"""What the user's functions hold: arguments of the subject, closures, and globals they name."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any

from labbook.checks.loaders import plain
from labbook.checks.place import is_users
from labbook.checks.subject import Subject

__all__ = ["functions_of", "reached"]

_DEPTH = 4


def reached(subject: Subject) -> list[Any]:
    """Modules, optimizers and loaders, each once: the subject's own and what its functions hold."""
    found: dict[int, Any] = {}
    seen: set[int] = set()
    for value in _parts(subject):
        for item in _walk(value, seen, _DEPTH):
            found.setdefault(id(item), item)
    return list(found.values())


def functions_of(subject: Subject) -> list[FunctionType]:
    """The user's own functions among the subject's parts, and those that they call by name."""
    found: dict[int, FunctionType] = {}
    waiting = [_function(value) for value in _parts(subject)]
    while waiting:
        function = waiting.pop()
        if function is None or id(function) in found or not is_users(function.__code__.co_filename):
            continue
        found[id(function)] = function
        waiting += [_function(value) for value in _held(function)]
    return list(found.values())


def _parts(subject: Subject) -> list[Any]:
    names = ("model", "loss", "loader", "val", "optimizer", "train", "evaluate", "split", "forward")
    return [value for name in names if (value := getattr(subject, name)) is not None]


def _function(value: Any) -> FunctionType | None:
    value = getattr(value, "func", value)  # functools.partial
    if isinstance(value, MethodType):
        value = value.__func__
    return value if isinstance(value, FunctionType) else None


def _held(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    names = function.__code__.co_names
    yield from (function.__globals__[name] for name in names if name in function.__globals__)
    yield from function.__defaults__ or ()


def _walk(value: Any, seen: set[int], depth: int) -> Iterator[Any]:
    import torch

    if depth < 0 or id(value) in seen:
        return
    seen.add(id(value))
    value = plain(value)
    if isinstance(value, (torch.nn.Module, torch.optim.Optimizer, torch.utils.data.DataLoader)):
        yield value
        return
    function = _function(value)
    if function is not None and is_users(function.__code__.co_filename):
        for held in _held(function):
            yield from _walk(held, seen, depth - 1)
    owner = getattr(value, "__self__", None)
    if owner is not None:
        yield from _walk(owner, seen, depth - 1)
    if isinstance(value, (list, tuple)) and len(value) < 100:
        for part in value:
            yield from _walk(part, seen, depth - 1)
    elif isinstance(value, dict) and len(value) < 100:
        for part in value.values():
            yield from _walk(part, seen, depth - 1)
