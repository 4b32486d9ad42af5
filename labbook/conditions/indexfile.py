"""Reads the entries of a git index: the file's size when git last looked, and its blob.

Format: https://git-scm.com/docs/index-format, versions 2 to 4, SHA-1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["IndexEntry", "read"]

_FIXED = struct.Struct(">24xI8xI20sH")
"""62 bytes before the name: times, dev, ino, MODE, uid, gid, SIZE, ID, FLAGS."""
_NAME, _EXTENDED, _STAGE = 0xFFF, 0x4000, 0x3000


class IndexEntry(NamedTuple):
    """One tracked file; `size` is that of the working tree's file, 0 when git is not sure."""

    path: bytes
    mode: int
    size: int
    oid: str


def read(data: bytes) -> Iterator[IndexEntry]:
    """Yield the entries without conflict; an index of another version or hash yields nothing."""
    if data[:4] != b"DIRC":
        return
    version, count = struct.unpack_from(">II", data, 4)
    if version not in {2, 3, 4}:
        return
    at, path = 12, b""
    for _ in range(count):
        mode, size, oid, flags = _FIXED.unpack_from(data, at)
        name = at + (64 if flags & _EXTENDED else 62)
        if version == 4:
            strip, name = _varint(data, name)
            end = data.index(b"\0", name)
            path = path[: len(path) - strip] + data[name:end]
            after = end + 1
        else:
            end = data.index(b"\0", name + (flags & _NAME))
            path = data[name:end]
            after = at + (end - at + 8) // 8 * 8
        if not flags & _STAGE:
            yield IndexEntry(path, mode, size, oid.hex())
        at = after


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """git's offset encoding (varint.c), where each further byte adds one."""
    byte = data[at]
    value = byte & 127
    while byte & 128:
        at += 1
        byte = data[at]
        value = ((value + 1) << 7) | (byte & 127)
    return value, at + 1
