"""Reading the pictures of a chosen set: PNG files as labbook writes them, and no others.

A book is not trusted: what is damaged, too large or of another kind is no picture (None).
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MOST_SIDE", "picture_of"]

MOST_SIDE: Final = 1024
"""No picture is higher or wider: one that says so is not decoded."""

_CHANNELS: Final = {0: 1, 2: 3, 6: 4}  # colour type: grey, RGB, RGBA
_NONE, _SUB, _UP = 0, 1, 2  # row filters


def picture_of(png: bytes | None) -> NDArray[np.uint8] | None:
    """Decode a PNG file to (height, width, channels); None when it is not one of labbook's."""
    if not isinstance(png, bytes) or not png.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    try:
        head, packed = _chunks(png)
        width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", head)
        if depth != 8 or colour not in _CHANNELS or rest != [0, 0, 0]:
            return None
        if not (0 < width <= MOST_SIDE and 0 < height <= MOST_SIDE):
            return None
        return _unfiltered(packed, height, width, _CHANNELS[colour])
    except (struct.error, zlib.error, ValueError):
        return None


def _chunks(png: bytes) -> tuple[bytes, bytes]:
    """The header, and the compressed rows."""
    at, head, rows = 8, b"", []
    while at + 12 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        data = png[at + 8 : at + 8 + length]
        if png[at + 8 + length : at + 12 + length] != struct.pack(">I", zlib.crc32(kind + data)):
            raise ValueError("a chunk is damaged")
        if kind == b"IHDR":
            head = data
        elif kind == b"IDAT":
            rows.append(data)
        at += 12 + length
    return head, b"".join(rows)


def _unfiltered(packed: bytes, height: int, width: int, channels: int) -> NDArray[Any]:
    stride = 1 + width * channels
    # no more than the picture has: a small file can unpack to gigabytes
    raw = zlib.decompressobj().decompress(packed, height * stride)
    rows = np.frombuffer(raw, np.uint8).reshape(height, stride)
    picture = rows[:, 1:].reshape(height, width, channels).copy()
    for y, kind in enumerate(rows[:, 0].tolist()):
        if kind == _SUB:
            picture[y] = np.cumsum(picture[y], axis=0, dtype=np.uint8)
        elif kind == _UP and y:
            picture[y] += picture[y - 1]
        elif kind not in (_NONE, _UP):
            raise ValueError("a row filter that labbook does not use")
    return picture
