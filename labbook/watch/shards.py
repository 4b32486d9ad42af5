"""Are safetensors files whole, alone or as the shards of a Hugging Face folder?

The format has no checksum. Its length rule (header + last offset = file size) finds every file
that is written in order; a writer that sets the length first leaves a tail of zeros, which is
`has_blank_tail` here and then needs quiescence as well.
"""

from __future__ import annotations

import errno
import json
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labbook.errors import DamagedFile

__all__ = [
    "INDEXES",
    "Header",
    "check_order",
    "has_blank_tail",
    "index_of",
    "read_header",
    "read_index",
    "shards_in",
]

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.(safetensors|bin)$")
_HEADER_LIMIT = 100_000_000  # the library's own limit


@dataclass(frozen=True)
class Header:
    """A safetensors header: each tensor's description, and where the data begin."""

    tensors: dict[str, dict[str, Any]]
    start: int

    @property
    def end(self) -> int:
        """The size the file must have."""
        ends = [int(entry["data_offsets"][1]) for entry in self.tensors.values()]
        return self.start + max(ends, default=0)


def read_header(path: Path) -> Header:
    """The header of a file whose length fits it; raises `DamagedFile` otherwise."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        first = file.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if not 2 <= length <= min(_HEADER_LIMIT, max(size - 8, 0)):
            raise DamagedFile(f"{path.name} has no complete safetensors header ({size} bytes)")
        raw = file.read(length)
    try:
        described = json.loads(raw)
        tensors = {name: entry for name, entry in described.items() if name != "__metadata__"}
        header = Header(tensors, 8 + length)
        end = header.end
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DamagedFile(f"the safetensors header of {path.name} is damaged: {error}") from error
    if end != size:
        raise DamagedFile(f"{path.name} has {size} of {end} bytes")
    return header


def has_blank_tail(path: Path) -> bool:
    """True when the last byte is zero: the length may have been set before the content.

    The last byte of a float is zero only for zeros and the tiniest numbers; an integer costs a
    wait. Raises `DamagedFile` when the filesystem says that the end was never written.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\0":
            return False
        start = _tail_hole(file.fileno(), size)
    if start < size:
        raise DamagedFile(
            f"{path.name} was never written from byte {start} to its end at {size}: its length was "
            "set first, and its writer is not done, or was broken off"
        )
    return True


def _tail_hole(fd: int, size: int) -> int:
    """Where the hole begins that reaches to the end; `size` where there is none or none is told."""
    at = 0
    while at < size:
        try:
            hole = os.lseek(fd, at, os.SEEK_HOLE)
            at = os.lseek(fd, hole, os.SEEK_DATA) if hole < size else size
        except OSError as error:
            return hole if error.errno == errno.ENXIO else size  # ENXIO: no more data
    return size


def index_of(folder: Path) -> Path | None:
    """The index file of a sharded Hugging Face folder."""
    for name in INDEXES:
        if (folder / name).is_file():
            return folder / name
    return None


def shards_in(folder: Path) -> list[str]:
    """Names of files that are shards of one model, index or not."""
    return sorted(name for name in os.listdir(folder) if _SHARD.search(name))


def check_order(index: Path, files: list[Path]) -> bool:
    """Whether the shards were written before their index; raises `DamagedFile` when some were.

    A save over an earlier one leaves an index newer than the shards it has not come to and older
    than the others; each of them alone looks whole.
    """
    written_ns = os.stat(index).st_mtime_ns
    newer = [file.name for file in files if os.stat(file).st_mtime_ns > written_ns]
    if newer and len(newer) < len(files):
        raise DamagedFile(
            f"{newer[0]} is newer than {index.name}, and other shards are not: a save over this "
            f"folder is going on or was broken off (after a copy without times, touch {index.name})"
        )
    return not newer


def read_index(index: Path) -> dict[str, str]:
    """Tensor name to shard name; raises `DamagedFile` when it does not parse or names a path."""
    try:
        shards = json.loads(index.read_text())["weight_map"]
        names = {str(tensor): str(shard) for tensor, shard in shards.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFile(f"{index.name} does not parse: {error}") from error
    for shard in names.values():
        if "/" in shard or shard.startswith("."):
            raise DamagedFile(f"{index.name} names a file outside its folder: {shard!r}")
    return names
