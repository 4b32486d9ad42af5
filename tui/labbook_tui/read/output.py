"""The end of a run's output: the last 256 KiB, progress bars as their last state."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from labbook.book.text import clean
from labbook_tui.models import OutputModel, Want

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["build", "screen_lines"]

TAIL_BYTES = 256 << 10


def build(reader: RunReader, want: Want) -> OutputModel:
    """The tail; an absent file is an empty one that says where it would be."""
    path = reader.paths.output_log
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - TAIL_BYTES))
            data = file.read(TAIL_BYTES)
    except OSError as error:
        why = "" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        return OutputModel(reader.summary(), (), 0, False, why)
    lines = screen_lines(data, size > TAIL_BYTES)
    return OutputModel(reader.summary(), tuple(lines), size, size > TAIL_BYTES, str(path.name))


def screen_lines(data: bytes, cut: bool) -> list[str]:
    """Lines as a terminal would have left them: what a carriage return overwrote is gone."""
    lines = data.decode("utf-8", "replace").split("\n")
    if cut:
        lines = lines[1:]  # its beginning is missing
    if lines and not lines[-1]:
        lines.pop()
    return [clean(line.rstrip("\r").rsplit("\r", 1)[-1]) for line in lines]
