"""Installed packages and their versions, from the names of the metadata folders alone.

Listing `sys.path` is a few milliseconds; importing `importlib.metadata` and opening each
METADATA file would be a hundred times that. Only development `.egg-info` folders, whose name has
no version, are opened.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from urllib.parse import unquote

__all__ = ["editable", "installed"]

_METADATA = re.compile(r"(?P<name>[^~-][^-]*)(?:-(?P<version>[^-]+))?(?:-.*)?\.(?:dist|egg)-info")
_RUNS = re.compile(r"[-_.]+")


def installed(path: Iterable[str] | None = None) -> dict[str, str]:
    """Return {normalised name: version} of what could be imported; the first on the path wins."""
    found: dict[str, str] = {}
    for folder in dict.fromkeys(sys.path if path is None else path):
        for entry in _metadata_folders(folder or os.curdir):
            match = _METADATA.fullmatch(entry.name)
            if match is None:
                continue
            name = _RUNS.sub("-", match["name"]).lower()
            if name not in found:
                found[name] = match["version"] or _version_inside(entry.path)
    return dict(sorted(found.items()))


def editable(path: Iterable[str] | None = None) -> dict[str, str]:
    """Return {normalised name: folder} of what is installed in editable mode (PEP 660)."""
    found: dict[str, str] = {}
    for folder in dict.fromkeys(sys.path if path is None else path):
        for entry in _metadata_folders(folder or os.curdir):
            match = _METADATA.fullmatch(entry.name)
            place = _editable_folder(os.path.join(entry.path, "direct_url.json"))
            if match is not None and place is not None:
                found.setdefault(_RUNS.sub("-", match["name"]).lower(), place)
    return dict(sorted(found.items()))


def _editable_folder(direct_url: str) -> str | None:
    try:
        with open(direct_url, "rb") as file:
            found = json.load(file)
        url, is_editable = found["url"], found["dir_info"].get("editable", False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if not is_editable or not url.startswith("file://"):
        return None
    place = unquote(url.removeprefix("file://"))
    return place if os.path.isdir(place) else None


def _metadata_folders(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as scan:
            return [entry for entry in scan if entry.name.endswith("-info")]
    except OSError:  # zip files, folders that are gone, folders closed to us
        return []


def _version_inside(folder: str) -> str:
    """Version in PKG-INFO; `unknown` when there is none."""
    inside = os.path.join(folder, "PKG-INFO") if os.path.isdir(folder) else folder
    try:
        with open(inside, encoding="utf-8", errors="replace") as text:
            for line in text:
                if line.startswith("Version:"):
                    return line.partition(":")[2].strip()
                if not line.strip():
                    break
    except OSError:
        pass
    return "unknown"
