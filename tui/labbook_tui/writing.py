"""What the terminal program writes into a book: notes and tags, as `labbook note` and `tag` do.

Called in a thread of its own: a book on a dead file system must not stop the keys.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

__all__ = ["add_note", "change_tags", "edited", "editor", "notes_of", "replace_notes"]


def editor() -> list[str]:
    """The user's editor as words; empty when none is set."""
    text = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        return shlex.split(text)
    except ValueError:
        return []


def edited(words: list[str], text: str) -> str | None:
    """The text after the user has edited it; None when the editor failed or nothing changed."""
    with tempfile.TemporaryDirectory(prefix="labbook-notes-") as folder:
        path = Path(folder, "notes.md")
        path.write_text(text, encoding="utf-8")
        done = subprocess.run([*words, str(path)], check=False)
        after = path.read_text(encoding="utf-8", errors="replace")
    return after if done.returncode == 0 and after != text else None


def notes_of(book: Path, run_id: str) -> str:
    """The run's notes as they are; "" when it has none."""
    from labbook.paths import open_book

    path = open_book(book).run(run_id).notes
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def replace_notes(book: Path, run_id: str, text: str) -> None:
    """Write the notes; raises `LabbookError`."""
    from labbook.book.reading import open_book
    from labbook.upkeep import marks

    marks.note(open_book(book).run(run_id), text)


def add_note(book: Path, run_id: str, line: str) -> None:
    """Add a line to the notes; raises `LabbookError`."""
    before = notes_of(book, run_id).rstrip("\n")
    replace_notes(book, run_id, f"{before}\n{line}" if before else line)


def change_tags(book: Path, run_id: str, text: str) -> None:
    """Add the tags of `text`, commas between; one with `-` before it is removed.

    Raises `LabbookError`.
    """
    from labbook.book.reading import open_book
    from labbook.upkeep import marks

    words = [word.strip() for word in text.split(",") if word.strip()]
    gone = [word[1:].strip() for word in words if word.startswith("-")]
    marks.tag(open_book(book).run(run_id), [w for w in words if not w.startswith("-")], gone)
