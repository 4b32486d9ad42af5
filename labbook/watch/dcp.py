"""Is a `torch.distributed.checkpoint` folder whole?

`.metadata` is renamed in last, and says the offset and length of every item. Saving over an
existing folder leaves the old `.metadata` in place while the shards are truncated and filled
again: sizes find most of that, and a shard newer than `.metadata` the rest.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labbook.errors import DamagedFile
from labbook.watch import inert

__all__ = ["METADATA", "SHARD", "Item", "check", "read_items"]

METADATA = ".metadata"
SHARD = ".distcp"


@dataclass(frozen=True)
class Item:
    """One stored piece: a whole object (`offsets` None), or the part of a tensor at `offsets`."""

    name: str
    offsets: tuple[int, ...] | None
    file: str
    start: int
    length: int
    is_transformed: bool


def check(folder: Path) -> list[str]:
    """The folder's files, `.metadata` first; raises `DamagedFile` saying which is short."""
    items, _ = read_items(folder)
    ends: dict[str, int] = {}
    for item in items:
        ends[item.file] = max(ends.get(item.file, 0), item.start + item.length)
    committed = os.stat(folder / METADATA).st_mtime_ns
    for name, end in sorted(ends.items()):
        try:
            status = os.stat(folder / name)
        except FileNotFoundError:
            raise DamagedFile(f"shard {name} is missing") from None
        if status.st_size < end:
            raise DamagedFile(f"shard {name} has {status.st_size} of {end} bytes")
        if status.st_mtime_ns > committed:
            raise DamagedFile(
                f"shard {name} is newer than .metadata: a save over this folder is going on or "
                "was broken off (after a copy without times, touch its .metadata)"
            )
    return [METADATA, *sorted(ends)]


def read_items(folder: Path) -> tuple[list[Item], dict[str, tuple[int, ...]]]:
    """Every stored item, and the full shape of every tensor by name; nothing is executed."""
    with open(folder / METADATA, "rb") as file:
        metadata, _ = inert.read(file, f"{METADATA} in {folder.name}")
    state = _state(metadata)
    try:
        items = [_item(index, stored) for index, stored in state["storage_data"].items()]
        shapes = {
            str(name): _numbers(_state(entry)["size"])
            for name, entry in state["state_dict_metadata"].items()
            if "size" in _state(entry)
        }
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise DamagedFile(f"{METADATA} in {folder.name} is not understood: {error!r}") from error
    return items, shapes


def _item(index: Any, stored: Any) -> Item:
    where, what = _state(index), _state(stored)
    file = str(what["relative_path"])
    if file.startswith("/") or ".." in Path(file).parts:
        raise ValueError(f"a shard outside the folder: {file!r}")
    offset = where.get("offset")
    return Item(
        name=str(where["fqn"]),
        offsets=None if offset is None else _numbers(offset),
        file=file,
        start=int(what["offset"]),
        length=int(what["length"]),
        is_transformed=bool(what.get("transform_descriptors")),
    )


def _state(thing: Any) -> dict[str, Any]:
    """The fields of a pickled dataclass: a dict, or (dict, slots) pairs, or plain arguments."""
    state = getattr(thing, "state", None)
    if isinstance(state, tuple):
        merged: dict[str, Any] = {}
        for part in state:
            merged.update(part or {})
        return merged
    return dict(state) if isinstance(state, dict) else {}


def _numbers(size: Any) -> tuple[int, ...]:
    """A `torch.Size`, pickled as a call with one tuple."""
    values = size.args[0] if isinstance(size, inert.Named) and size.args else size
    return tuple(int(value) for value in values) if isinstance(values, tuple | list) else ()
