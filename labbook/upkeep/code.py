"""The code objects of runs: which a run needs, taking them along, dropping those of no run.

Git runs under `ObjectReader`'s empty configuration; ids come from conditions files and are checked
to be ids before git sees them.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from labbook.conditions import gitcommand
from labbook.conditions.objects import ObjectReader
from labbook.conditions.store import ObjectStore
from labbook.errors import SnapshotError, StoreError

__all__ = ["Ref", "copy_code", "ids_of", "is_needed", "prune", "refs"]

_ID: Final = re.compile(r"\b[0-9a-f]{40}\b")
_REF_NAME: Final = re.compile(r"(trees|files|base)/[0-9a-f]{40}")
_LIMIT_S: Final = 600.0


@dataclass(frozen=True)
class Ref:
    """A ref that keeps objects: `trees/<tree>`, `files/<tree>` or `base/<tree>`."""

    name: str
    oid: str
    mtime: float


def ids_of(run_folder: Path) -> set[str]:
    """Every object id that the conditions of a run name: more than it needs, never less."""
    found: set[str] = set()
    for path in run_folder.glob("attempts/*/*.json"):
        try:
            found.update(_ID.findall(path.read_text(encoding="utf-8", errors="replace")))
        except OSError as error:
            raise StoreError(f"{path} cannot be read, so its code is unknown: {error}") from error
    return found


def refs(code_git: Path) -> Iterator[Ref]:
    """The refs of a store."""
    root = code_git / "refs" / "labbook"
    for kind in ("trees", "files", "base"):
        try:
            entries = sorted(os.scandir(root / kind), key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        for entry in entries:
            name = f"{kind}/{entry.name}"
            if _REF_NAME.fullmatch(name) and entry.is_file(follow_symlinks=False):
                oid = Path(entry.path).read_text().strip()
                if _ID.fullmatch(oid):
                    yield Ref(name, oid, entry.stat(follow_symlinks=False).st_mtime)
    yield from _packed(code_git)


def _packed(code_git: Path) -> Iterator[Ref]:
    """Refs that somebody's `git pack-refs` moved into one file: always young, so never dropped."""
    try:
        lines = (code_git / "packed-refs").read_text().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        oid, _, full = line.partition(" ")
        name = full.removeprefix("refs/labbook/")
        if _ID.fullmatch(oid) and _REF_NAME.fullmatch(name):
            yield Ref(name, oid, math.inf)


def is_needed(reader: ObjectReader, ref: Ref, ids: set[str]) -> bool:
    """Whether a ref keeps something of the runs that name these ids."""
    if ref.oid in ids or ref.name.partition("/")[2] in ids:
        return True
    if not ref.name.startswith("files/"):
        return False
    listed = reader.run("ls-tree", "-r", "-z", ref.oid)  # blobs kept beside a tree
    return any(oid in ids for oid in _ID.findall(listed.decode(errors="replace")))


def copy_code(source: Path, target: Path, ids: set[str]) -> int:
    """Copy everything that a run's ids lead to into another store; returns how many objects.

    A source without code copies nothing. Raises `SnapshotError`.
    """
    if not (source / "objects").is_dir():
        return 0
    store = ObjectStore(target)
    with ObjectReader(source) as reader:
        wanted = [ref for ref in refs(source) if is_needed(reader, ref, ids)]
        if not wanted:
            return 0
        store.create()
        roots = sorted({ref.oid for ref in wanted})
        listed = reader.run("rev-list", "--objects", "--no-object-names", *roots, limit_s=_LIMIT_S)
        pack = os.path.abspath(store.objects / "pack" / "pack")
        try:
            gitcommand.run(
                reader.environment()["GIT_DIR"],
                "pack-objects",
                "-q",
                pack,
                limit_s=_LIMIT_S,
                data=listed,
                extra=reader.environment(),
            )
        except gitcommand.GitFailed as error:
            raise SnapshotError(f"the code could not be copied to {target}: {error}") from error
        for ref in wanted:
            store.set_ref(ref.name, ref.oid)
    return len(listed.split())


def prune(code_git: Path, unused: Iterable[Ref], young_s: float) -> None:
    """Drop refs, pack the rest into one pack, and delete what nothing keeps.

    Loose objects and unreachable ones younger than `young_s` stay. Raises `SnapshotError`.
    """
    for ref in unused:
        (code_git / "refs" / "labbook" / ref.name).unlink(missing_ok=True)
    until = f"{int(time.time() - young_s)}"
    with ObjectReader(code_git) as reader:
        folder = Path(reader.environment()["GIT_DIR"])
        for ref in refs(code_git):
            path = folder / "refs" / "labbook" / ref.name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():  # a loose ref wins over a packed one
                path.write_text(ref.oid + "\n")
        expire = f"--unpack-unreachable={until}"
        reader.run("repack", "-q", "-A", "-d", expire, limit_s=_LIMIT_S)
        reader.run("prune", f"--expire={until}", limit_s=_LIMIT_S)
