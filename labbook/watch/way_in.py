"""The way into a run's code: what is imported from where. Worker side.

The working directory stays the watcher's; `sys.path` leads to the copies instead of the folders
that they are copies of. What neither has comes from the evaluation file's own folder, searched
last, and is named in the result.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labbook.restore.command import map_path
from labbook.watch.materialise import Tree

__all__ = ["enter", "inside", "search_path"]


def enter(tree: Tree, files: list[Path], conditions: Mapping[str, Any]) -> list[Path]:
    """Let imports find the run's code; returns the evaluation files to import.

    That is the snapshot's own where it has the file, else the one that was named.
    """
    found = [inside(tree, file) or file for file in files]
    own = [str(file.parent) for file in found if file in files]
    front = [str(file.parent) for file in found if file not in files]
    front += search_path(tree, conditions, [*sys.path, *_editable()])
    rest = [word for word in sys.path if _mapped(word, tree.copies) is None]
    sys.path[:] = list(dict.fromkeys([*front, *rest, *own]))
    # for the processes that the evaluation may start
    os.environ["PYTHONPATH"] = os.pathsep.join(
        dict.fromkeys([*front, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    )
    return found


def inside(tree: Tree, file: Path) -> Path | None:
    """The snapshot's copy of a file; null when it has none, or only a link to it."""
    for place, copy in tree.copies.items():
        mapped = map_path(file, place, copy)
        if mapped is not None and mapped.is_file():
            is_link = os.path.realpath(mapped) == os.path.realpath(file)
            return None if is_link else mapped
    return None


def search_path(tree: Tree, conditions: Mapping[str, Any], installed: list[str]) -> list[str]:
    """Folders that come first: the script's, those of the run's PYTHONPATH, those installed."""
    environment, cwd = conditions.get("environment"), conditions.get("cwd")
    recorded = environment.get("PYTHONPATH") if isinstance(environment, dict) else None
    words = recorded.split(os.pathsep) if isinstance(recorded, str) and recorded else []
    folders = [str(tree.script_folder)]
    for word in words:
        # a relative one was relative to where the run was started
        place = os.path.normpath(os.path.join(str(cwd or ""), word))
        if os.path.isabs(place):
            folders.append(_mapped(place, tree.copies) or place)
    folders += filter(None, (_mapped(word, tree.copies) for word in installed))
    folders.append(str(tree.folder))
    return list(dict.fromkeys(folders))


def _editable() -> Iterator[str]:
    """Folders that editable installs of the repositories would import from."""
    from labbook.conditions import packages

    for place in packages.editable().values():
        yield place
        yield os.path.join(place, "src")


def _mapped(word: str, copies: Mapping[Path, Path]) -> str | None:
    """The copy of a folder; null when there is none, or it is but a link to it (environments)."""
    if not os.path.isabs(word):
        return None
    for place, copy in copies.items():
        mapped = map_path(word, place, copy)
        if mapped is not None and mapped.is_dir():
            return None if os.path.realpath(mapped) == os.path.realpath(word) else str(mapped)
    return None
