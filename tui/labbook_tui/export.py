"""Files of what a page shows: CSV always, an SVG and a PNG of its curves. Never into the book."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

from labbook_tui.shown import Shown

__all__ = ["as_csv", "export", "export_picture", "folder_for"]

_MOST = 10_000


def folder_for(book: Path) -> Path:
    """The working directory; beside the book when that is inside it."""
    here, book = Path.cwd().resolve(), book.resolve()
    return book.parent if here == book or book in here.parents else here


def export(shown: Shown, folder: Path) -> list[Path]:
    """Write the files under names that are not taken; OSError when that is impossible."""
    contents = {".csv": as_csv(shown).encode()}
    if shown.curves:
        from labbook_tui.svg import as_svg

        contents[".svg"] = as_svg(shown).encode()
    return _written(shown.name, contents, folder)


def export_picture(shown: Shown, folder: Path) -> Path:
    """Write the curves as a PNG. Raises ImportError without Pillow, OSError as `export` does."""
    from labbook_tui.png import as_png

    return _written(shown.name, {".png": as_png(shown)}, folder)[0]


def _written(name: str, contents: dict[str, bytes], folder: Path) -> list[Path]:
    stem = re.sub(r"[^\w.-]+", "-", name).strip(".-")[:100] or "labbook"
    for number in range(1, _MOST):
        name = stem if number == 1 else f"{stem}-{number}"
        paths = {folder / (name + suffix): content for suffix, content in contents.items()}
        if not any(os.path.lexists(path) for path in paths):
            for path, content in paths.items():
                with path.open("xb") as file:
                    file.write(content)
            return [*paths]
    raise FileExistsError(f"{stem} and {_MOST} numbers after it are taken in {folder}")


def as_csv(shown: Shown) -> str:
    """The table with all digits of its numbers; what is not known is an empty field."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(shown.columns)
    writer.writerows(_fields(row) for row in shown.rows)
    return out.getvalue()


def _fields(row: Sequence[object]) -> list[str]:
    return [
        "" if value is None else repr(float(value)) if isinstance(value, float) else str(value)
        for value in row
    ]
