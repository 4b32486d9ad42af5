"""Are safetensors files whole, alone or as the shards of a Hugging Face folder?

The format has no checksum. Its length rule (header + last offset = file size) finds every file
that is written in order; a writer that sets the length first leaves a tail of zeros, which is
`has_blank_tail` here and then needs quiescence as well.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labbook.errors import DamagedFile

__all__ = ["INDEXES", "Header", "has_blank_tail", "index_of", "read_header", "read_index"]

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
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
    wait.
    """
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\0"


def index_of(folder: Path) -> Path | None:
    """The index file of a sharded Hugging Face folder."""
    for name in INDEXES:
        if (folder / name).is_file():
            return folder / name
    return None


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
