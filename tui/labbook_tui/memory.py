"""How the program was left, kept for the next time: one small JSON file a book.

It lies in the user's state folder, never in the book.
Invariant: nothing here fails. A damaged file reads as none, and one that cannot be written is none.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import traceback
from pathlib import Path
from typing import Any

__all__ = ["Memory", "state_folder", "write_log"]

FORMAT = 1
_MOST_BYTES = 1_000_000


def state_folder() -> Path:
    """`$XDG_STATE_HOME/labbook/tui`, by default below `~/.local/state`; nothing is made."""
    base = os.environ.get("XDG_STATE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~/.local/state"))
    return root / "labbook" / "tui"


def write_log(error: BaseException) -> Path | None:
    """Write a traceback to `crash.log` there, in place of the last one; None when impossible."""
    path = state_folder() / "crash.log"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:
        return None
    return path


class Memory:
    """What is remembered of one book, by key; a value is plain JSON.

    With `is_kept` false there is no file: nothing is known at first, nothing is written.
    """

    def __init__(self, book: Path, *, is_kept: bool = True) -> None:
        name = hashlib.sha256(os.fsencode(os.path.realpath(book))).hexdigest()[:16]
        self.path = state_folder() / f"{name}.json"
        self.is_kept = is_kept
        self.content = self._read() if is_kept else {}
        self._written = json.dumps(self.content)

    def _read(self) -> dict[str, Any]:
        try:
            with self.path.open("rb") as file:
                found = json.loads(file.read(_MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        is_ours = isinstance(found, dict) and found.get("format") == FORMAT
        return found if is_ours else {}

    def part(self, key: str) -> dict[str, Any]:
        """The mapping under a key; empty when there is none."""
        found = self.content.get(key)
        return found if isinstance(found, dict) else {}

    def keep(self) -> bool:
        """Write it when it changed, atomically; False when it cannot be written."""
        if not self.is_kept:
            return True
        try:
            text = json.dumps({**self.content, "format": FORMAT})
            if text == self._written:
                return True
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".", suffix=".new")
            try:
                with os.fdopen(handle, "w") as file:
                    file.write(text)
                os.replace(name, self.path)
            except OSError:
                os.unlink(name)
                raise
        except (OSError, TypeError, ValueError):
            return False
        self._written = text
        return True
