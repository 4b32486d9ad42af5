"""The kitty graphics protocol: a picture is sent once, then placed and taken away by its number.

Of https://sw.kovidgoyal.net/kitty/graphics-protocol: chunks of 4096 bytes of base64; `q=2` keeps
the terminal from answering, as its answers would be read as keys.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHUNK", "forgotten", "hidden", "placed", "png_of", "sent"]

CHUNK = 4096


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    """(rows, columns, 3) as a PNG file."""
    rows, columns = pixels.shape[:2]
    filtered = np.zeros((rows, 1 + 3 * columns), np.uint8)  # each row begins with its filter: none
    filtered[:, 1:] = pixels.reshape(rows, -1)
    head = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _command(keys: str, payload: str = "") -> str:
    return f"\x1b_G{keys};{payload}\x1b\\" if payload else f"\x1b_G{keys}\x1b\\"


def sent(number: int, png: bytes) -> str:
    """Give the terminal a picture under a number; nothing is shown yet."""
    text = base64.b64encode(png).decode()
    parts = [text[at : at + CHUNK] for at in range(0, len(text), CHUNK)]
    out = []
    for at, part in enumerate(parts):
        more = int(at < len(parts) - 1)
        first = f"a=t,f=100,i={number}," if at == 0 else ""
        out.append(_command(f"{first}q=2,m={more}", part))
    return "".join(out)


def placed(number: int, columns: int, rows: int) -> str:
    """Show it at the cursor, which stays, over so many cells."""
    return _command(f"a=p,i={number},p=1,c={columns},r={rows},C=1,q=2")


def hidden(number: int) -> str:
    """Take it off the screen; the terminal keeps it."""
    return _command(f"a=d,d=i,i={number},q=2")


def forgotten(number: int) -> str:
    """Take it off the screen and free it."""
    return _command(f"a=d,d=I,i={number},q=2")
