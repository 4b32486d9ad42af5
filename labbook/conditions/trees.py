"""Git's trees as data: reads, writes and changes them, touching only the folders on the way.

The cost is that of the changed paths, not of the repository: a tree of 20,000 files with three
changes reads and writes a handful of objects. Pure data in, pure data out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from labbook.errors import SnapshotError

__all__ = [
    "EMPTY_TREE",
    "GITLINK_MODE",
    "LINK_MODE",
    "TREE_MODE",
    "Leaf",
    "TreeEntry",
    "edit",
    "encode",
    "object_id",
    "parse_tree",
]

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

TREE_MODE, LINK_MODE, GITLINK_MODE = "40000", "120000", "160000"

Leaf = tuple[str, str]
"""(mode, object id) of a file, a link or a submodule."""


class TreeEntry(NamedTuple):
    """One line of a tree; `mode` is git's octal text without leading zeros."""

    mode: str
    name: bytes
    oid: str


@dataclass
class _Folder:
    """Changes below one folder: leaves to set (None: to remove), and folders to enter."""

    leaves: dict[bytes, Leaf | None] = field(default_factory=dict)
    folders: dict[bytes, _Folder] = field(default_factory=dict)


def edit(
    read: Callable[[str], list[TreeEntry]],
    base: str | None,
    changes: Mapping[bytes, Leaf | None],
) -> tuple[str, dict[str, bytes]]:
    """Return the id of `base` with `changes`, and new tree objects {id: bytes}, children first.

    `read` gives the entries of a tree by id. None removes a path; folders that become empty go, as
    in git. A file that takes a folder's place, and the reverse, are changes like any other.
    """
    root = _Folder()
    for path, leaf in changes.items():
        _insert(root, path.split(b"/"), leaf)
    made: dict[str, bytes] = {}
    return _apply(read, base, root, made) or _keep(b"", made), made


def encode(entries: Mapping[bytes, Leaf]) -> bytes:
    """Return a tree object's bytes; git sorts a folder as if its name ended in a slash."""
    order = sorted(entries, key=lambda name: name + b"/" if entries[name][0] == TREE_MODE else name)
    return b"".join(
        b"%s %s\0%s" % (entries[name][0].encode(), name, bytes.fromhex(entries[name][1]))
        for name in order
    )


def _insert(folder: _Folder, parts: list[bytes], leaf: Leaf | None) -> None:
    for part in parts[:-1]:
        folder = folder.folders.setdefault(part, _Folder())
    folder.leaves[parts[-1]] = leaf


def _apply(
    read: Callable[[str], list[TreeEntry]],
    tree: str | None,
    folder: _Folder,
    made: dict[str, bytes],
) -> str | None:
    """Apply one folder's changes; None when nothing is left in it."""
    old = [] if tree in {None, EMPTY_TREE} else read(str(tree))
    entries: dict[bytes, Leaf] = {entry.name: (entry.mode, entry.oid) for entry in old}
    for name, leaf in folder.leaves.items():
        if leaf is None:
            entries.pop(name, None)
    for name, inner in folder.folders.items():
        mode, oid = entries.get(name, ("", ""))
        below = _apply(read, oid if mode == TREE_MODE else None, inner, made)
        if below is not None:
            entries[name] = (TREE_MODE, below)
        elif mode == TREE_MODE:
            del entries[name]
    # last: a file in the place of a folder whose files are gone
    entries.update({name: leaf for name, leaf in folder.leaves.items() if leaf is not None})
    return _keep(encode(entries), made) if entries else None


def _keep(data: bytes, made: dict[str, bytes]) -> str:
    oid = object_id("tree", data)
    made[oid] = data
    return oid


def object_id(kind: str, data: bytes) -> str:
    """Return the name git gives to an object."""
    return hashlib.sha1(
        b"%s %d\0" % (kind.encode(), len(data)) + data, usedforsecurity=False
    ).hexdigest()


def parse_tree(data: bytes) -> list[TreeEntry]:
    """Read a tree object; raises `SnapshotError` when it is none."""
    entries: list[TreeEntry] = []
    at = 0
    while at < len(data):
        space, zero = data.find(b" ", at), data.find(b"\0", at)
        if not at < space < zero or zero + 21 > len(data):
            raise SnapshotError("a tree object is damaged")
        mode = data[at:space].decode("ascii", "replace").lstrip("0")
        entries.append(TreeEntry(mode, data[space + 1 : zero], data[zero + 1 : zero + 21].hex()))
        at = zero + 21
    return entries
