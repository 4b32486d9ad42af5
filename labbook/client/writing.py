"""Small JSON files, written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

__all__ = ["touch_folder", "write_json"]


def write_json(path: Path, value: dict[str, Any], *, exclusive: bool = False) -> None:
    """Write `value` to a sibling and move it to `path`: a reader sees all of it or nothing.

    With `exclusive`, an existing file stays and `FileExistsError` is raised.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    data = json.dumps(value, ensure_ascii=False, default=repr, indent=1).encode("utf-8", "replace")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            os.link(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def touch_folder(folder: Path) -> None:
    """Set a run folder's time: the catalogue notices by it that a file deeper down is new."""
    try:
        os.utime(folder)
    except OSError:
        pass  # a folder that is not ours to touch: readers then see the change a little later
