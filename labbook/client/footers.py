"""What the results of a run say, read in the training process: no pyarrow, no rows.

A result is a Parquet file whose footer holds one JSON object under the key `labbook`. The footer is
Thrift in the compact protocol (https://parquet.apache.org/docs/file-format/metadata/): a key-value
pair is the byte 0x18 (field 1, binary), the length as a varint, the key, then the same for the
value. JSON escapes control characters, so the pattern cannot lie inside it; the last one counts,
for statistics of the columns come before. Whatever looks otherwise is no result.
"""

from __future__ import annotations

import json
import os
from typing import Any, Final

__all__ = ["read_footer"]

_MAGIC: Final = b"PAR1"
_KEY: Final = b"\x18\x07labbook\x18"
_LIMIT: Final = 16 << 20


def read_footer(path: str) -> dict[str, Any] | None:
    """The JSON object of a result; None for a file that is none. Raises `OSError`."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        end = os.pread(fd, 8, max(0, size - 8))
        length = int.from_bytes(end[:4], "little")
        if len(end) != 8 or end[4:] != _MAGIC or length > min(_LIMIT, size - 8):
            return None
        footer = os.pread(fd, length, size - 8 - length)
    finally:
        os.close(fd)
    return _value(footer)


def _value(footer: bytes) -> dict[str, Any] | None:
    at = footer.rfind(_KEY)
    if at < 0:
        return None
    at += len(_KEY)
    length = shift = 0
    while at < len(footer):
        byte = footer[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            break
    try:
        found = json.loads(footer[at : at + length])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
