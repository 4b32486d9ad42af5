"""Lines for people: folded to the width of a terminal, whole in a file or a pipe."""

from __future__ import annotations

import os
from typing import TextIO

__all__ = ["width_of", "wrapped"]

_NARROWEST = 20
_USUAL = 80


def width_of(stream: TextIO | None) -> int | None:
    """Columns of the terminal that `stream` is; null when it is none."""
    try:
        if stream is None or not stream.isatty():
            return None
        told = os.environ.get("COLUMNS", "")
        if told.isdecimal() and int(told):
            return int(told)
        return os.get_terminal_size(stream.fileno()).columns or _USUAL
    except (OSError, ValueError, AttributeError):
        return None


def wrapped(text: str, width: int | None, *, indent: int = 2) -> list[str]:
    """`text` as lines no wider than `width`, what is folded indented; as it is without a width.

    Only spaces are places to fold: a path or an id stays whole, and may be wider.
    """
    if width is None or len(text) <= width:
        return [text]
    import textwrap  # not for every training to import

    folder = textwrap.TextWrapper(
        max(_NARROWEST, width - indent), break_long_words=False, break_on_hyphens=False
    )
    found = []
    for line in text.split("\n"):
        # what stands before the indentation, a label, is not parted from a path too wide for both
        first, *rest = folder.wrap(line[indent:]) or [""]
        found += [line[:indent] + first, *(" " * indent + more for more in rest)]
    return found
