"""The journal's format, version 1, byte by byte.

A writer's journal is a row of *segments*, files `<writer>-<n>.lbj` with n = 1, 2, 3 …, each
readable alone. All numbers are little-endian.

Segment = header, then records back to back:

    offset  size  header
         0     7  b"LABBOOK"
         7     1  u8   format version, 1
         8     4  u32  n, the segment's number
        12     4  u32  CRC-32 (zlib) of bytes 0..11

Record (every kind has the same 32-byte head and ends with its CRC):

    offset  size  record
         0     4  u32  length: of the whole record, head and CRC included
         4     1  u8   kind
         5     1  u8   flags, 0 in version 1
         6     2  u16  schema: id of the schema of a ROW or SCHEMA, else 0
         8     8  u64  seq: counts the calls of this writer, across its segments
        16     8  i64  step; the least i64 means "no step"
        24     8  i64  time: nanoseconds since 1970, UTC, by the writer's clock
        32     …  body, by kind
  length-4     4  u32  CRC-32 (zlib) of all bytes of the record before this word

    kind        body
    1 SCHEMA    UTF-8 JSON {"table": "series"|"gauges"|"model", "names": [text, …]}
    2 ROW       n × f64: the values, in the order of the schema's names. Two NaN bit patterns are
                not numbers: NULL (the value is null) and PENDING (it follows in a LATE record)
    3 EVENT     UTF-8 JSON object; "kind" and "text" are always there
    4 ARRAY     u32 h, then h bytes UTF-8 JSON header, then the columns' bytes one after another,
                C order. The header: {"table": …, "set": …, "columns": [{"name", "dtype", "shape"}]}
                Of rows of unequal length, "rows" is the number, "shape" begins with the sum of
                their lengths, and rows × u32 lengths precede the values; "dtype" may be "bytes"
    5 LATE      m × (u32 index, f64 value): cells of the ROW with the same seq, once copied from
                the device; a row's LATE may lie in a later segment

Rules. A segment defines a schema before its first row, so a schema id means something within one
segment only. A record is committed when it is there in full and its CRC is right; the committed
records of a segment are those before the first that is not. A kill leaves at most one torn record,
the last of the last segment. Order is by seq; a seq that is missing was lost to a fault, which the
writer counts. Nothing here says anything about power loss: the page cache must survive.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

__all__ = [
    "ARRAY",
    "CRC",
    "EVENT",
    "HEAD",
    "HEADER_SIZE",
    "HEAD_SIZE",
    "LATE",
    "LATE_CELL",
    "MAX_RECORD",
    "MIN_RECORD",
    "NO_STEP",
    "NULL",
    "NULL_BITS",
    "PENDING",
    "PENDING_BITS",
    "ROW",
    "SCHEMA",
    "VERSION",
    "bits_of",
    "closed",
    "row_struct",
    "segment_header",
]

VERSION: Final = 1
MAGIC: Final = b"LABBOOK"
HEADER_SIZE: Final = 16

SCHEMA: Final = 1
ROW: Final = 2
EVENT: Final = 3
ARRAY: Final = 4
LATE: Final = 5

HEAD: Final = struct.Struct("<IBBHQqq")
HEAD_SIZE: Final = HEAD.size
CRC: Final = struct.Struct("<I")
LATE_CELL: Final = struct.Struct("<Id")
_F64: Final = struct.Struct("<d")
_U64: Final = struct.Struct("<Q")

MIN_RECORD: Final = HEAD_SIZE + CRC.size
MAX_RECORD: Final = 1 << 30
"""No record is longer (1 GiB): a length beyond it is damage, not data."""

NO_STEP: Final = -(1 << 63)

# Quiet NaNs with payloads that no arithmetic makes: moving a double keeps its payload.
NULL_BITS: Final = 0x7FF8_6C62_6E75_6C6C
PENDING_BITS: Final = 0x7FF8_6C62_7065_6E64
NULL: Final[float] = _F64.unpack(_U64.pack(NULL_BITS))[0]
PENDING: Final[float] = _F64.unpack(_U64.pack(PENDING_BITS))[0]


def bits_of(value: float) -> int:
    """The 64 bits of a double, which tell NULL and PENDING from any other NaN."""
    bits: int = _U64.unpack(_F64.pack(value))[0]
    return bits


def closed(record: bytes) -> bytes:
    """Return the record with its CRC behind it."""
    return record + CRC.pack(zlib.crc32(record))


def row_struct(n_values: int) -> struct.Struct:
    """Head and values of a ROW, without its CRC."""
    return struct.Struct(f"<IBBHQqq{n_values}d")


def segment_header(number: int) -> bytes:
    """The first bytes of segment `number`."""
    head = MAGIC + bytes([VERSION]) + CRC.pack(number)
    return head + CRC.pack(zlib.crc32(head))
