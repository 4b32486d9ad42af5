"""Reads the *shape* of a pickle and runs nothing of it.

Every class or function a pickle names becomes an inert `Named` object: it is never imported and
never called. What is left is enough to see which tensor storages a checkpoint refers to, and where
the shards of a distributed checkpoint lie.
"""

from __future__ import annotations

import pickle
from typing import IO, Any

from labbook.errors import DamagedFile

__all__ = ["Named", "Storage", "read", "stand_in"]


class Named:
    """Stands for an object of a class that was not imported: its name, arguments and state."""

    name = ""

    def __new__(cls, *args: Any, **_more: Any) -> Named:
        """Keep the arguments; nothing is done with them."""
        made = super().__new__(cls)
        made.args = args
        made.state = None
        made.items = {}
        return made

    args: tuple[Any, ...]
    state: Any
    items: dict[Any, Any]

    def __init__(self, *_args: Any, **_more: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[_hashable(key)] = value

    def append(self, _value: Any) -> None:
        """Lists of a subclass: nothing here needs their members."""

    def extend(self, _values: Any) -> None:
        """As `append`."""

    def add(self, _value: Any) -> None:
        """Sets of a subclass: likewise."""


class Storage(tuple[Any, ...]):
    """A persistent id `("storage", type, key, location, numel)` as torch writes it."""

    __slots__ = ()


def read(file: IO[bytes], what: str) -> tuple[Any, list[Storage]]:
    """The inert object in `file` and the storages it refers to.

    Raises `DamagedFile`, naming `what`, when the bytes are no pickle or are cut short.
    """
    reader = _Reader(file)
    try:
        return reader.load(), reader.storages
    except _BROKEN as error:
        raise DamagedFile(f"{what} is damaged: {type(error).__name__}: {error}") from error


def stand_in(full: str) -> type[Named]:
    """A class that stands for the class or function `full`, and does nothing."""
    return type("Named", (Named,), {"name": full})


# what the C unpickler raises on arbitrary bytes; MemoryError comes from a forged memo index
_BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    ImportError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    MemoryError,
    OverflowError,
    RecursionError,
)


class _Reader(pickle.Unpickler):
    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="utf-8", errors="replace")
        self.storages: list[Storage] = []
        self._classes: dict[str, type[Named]] = {}

    def find_class(self, module: str, name: str, /) -> Any:
        full = f"{module}.{name}"
        if full not in self._classes:
            self._classes[full] = stand_in(full)
        return self._classes[full]

    def persistent_load(self, pid: Any, /) -> Storage:
        storage = Storage(pid) if isinstance(pid, tuple) else Storage((pid,))
        self.storages.append(storage)
        return storage


def _hashable(key: Any) -> Any:
    try:
        hash(key)
    except TypeError:
        return repr(key)
    return key
