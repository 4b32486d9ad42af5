"""One function a format: Arrow table in, bytes out. pyarrow is imported when one is called."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, BinaryIO

from labbook.errors import MisuseError
from labbook.export.flat import flat
from labbook.export.printed import latex, markdown
from labbook.export.strict import strict

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["BINARY", "FORMATS", "format_of", "write"]

_ROWS = 10_000
"""Rows turned into Python objects at a time."""


def _parquet(table: pa.Table, stream: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()  # a pipe cannot tell() its position, and Parquet asks
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    stream.write(sink.getvalue())


def _arrow(table: pa.Table, stream: BinaryIO) -> None:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    stream.write(sink.getvalue())


def _csv(table: pa.Table, stream: BinaryIO) -> None:
    import pyarrow as pa
    from pyarrow import csv

    sink = pa.BufferOutputStream()
    csv.write_csv(flat(table), sink)
    stream.write(sink.getvalue())


def _jsonl(table: pa.Table, stream: BinaryIO) -> None:
    for start in range(0, table.num_rows, _ROWS):
        for row in table.slice(start, _ROWS).to_pylist():
            stream.write(json.dumps(strict(row), ensure_ascii=False).encode() + b"\n")


def _markdown(table: pa.Table, stream: BinaryIO) -> None:
    stream.write(markdown(flat(table)).encode())


def _latex(table: pa.Table, stream: BinaryIO) -> None:
    stream.write(latex(flat(table)).encode())


FORMATS: dict[str, Callable[[pa.Table, BinaryIO], None]] = {
    "csv": _csv,
    "parquet": _parquet,
    "arrow": _arrow,
    "jsonl": _jsonl,
    "markdown": _markdown,
    "latex": _latex,
}

BINARY = frozenset({"parquet", "arrow"})
"""Formats that do not belong on a terminal."""

_SUFFIXES = {
    ".feather": "arrow",
    ".ipc": "arrow",
    ".ndjson": "jsonl",
    ".md": "markdown",
    ".tex": "latex",
}


def format_of(path: str) -> str:
    """Return the format that a file's suffix names; raises `MisuseError` when it names none."""
    suffix = PurePath(path).suffix.lower()
    name = _SUFFIXES.get(suffix, suffix.removeprefix("."))
    if name not in FORMATS:
        raise MisuseError(
            f"the suffix of {path!r} names no format: "
            "use .csv, .parquet, .arrow, .jsonl, .md or .tex, or say --format"
        )
    return name


def write(table: pa.Table, stream: BinaryIO, format: str) -> None:
    """Write a table to a binary stream, which may be a pipe, in one of `FORMATS`."""
    FORMATS[format](table, stream)
