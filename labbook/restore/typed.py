"""The command line of a run again, as a shell takes it.

Invariant: whatever a run says is quoted, so that no word of it can be more than a word.
"""

from __future__ import annotations

import os
import shlex
from typing import Any

from labbook.restore.recorded import start_folder

__all__ = ["command_line", "quoted"]


def quoted(word: str) -> str:
    """Quote one word for a POSIX shell; what cannot be shown goes as `$'\\ooo'`."""
    if word.isprintable():
        return shlex.quote(word)
    bytes_ = word.encode("utf-8", "surrogateescape" if _is_name(word) else "replace")
    plain = (chr(b) if 32 <= b < 127 and b not in b"\\'" else f"\\{b:03o}" for b in bytes_)
    return f"$'{''.join(plain)}'"


def command_line(conditions: dict[str, Any]) -> str:
    """Return the command that started a run, to be run from here; "" when it was not recorded."""
    found = conditions.get("command")
    if not isinstance(found, list) or not found:
        return ""
    words = [str(word) for word in found]
    line = " ".join(map(quoted, words))
    script, cwd = conditions.get("script"), conditions.get("cwd")
    start = start_folder(
        tuple(words),
        script if isinstance(script, str) else None,
        cwd if isinstance(cwd, str) else None,
    )
    if start is None or os.path.realpath(start) == os.path.realpath(os.curdir):
        return line
    return f"cd {quoted(os.fspath(start))} && {line}"


def _is_name(word: str) -> bool:
    """Whether all halves of surrogate pairs in it are bytes that were no UTF-8."""
    return all("\udc80" <= c <= "\udcff" for c in word if "\ud800" <= c <= "\udfff")
