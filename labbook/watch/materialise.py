"""Makes the code of a run as files, once, in a folder of this user's: worker side.

Invariant: a folder of the cache is complete or absent. It is filled under another name, renamed in,
and checked against its own list of files whenever it is used. Restoring executes nothing; the
files are the recorded ones, byte for byte. What the snapshot lacks (data that git ignores) is
linked in from where the run had it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from labbook.conditions import packages, worktree
from labbook.errors import SnapshotError
from labbook.paths import BookPaths, RunPaths, component
from labbook.restore import recorded as records
from labbook.restore.linking import link_rest
from labbook.restore.original import bring_over
from labbook.restore.recorded import Recorded
from labbook.restore.tree import Missing, Restored, restore_tree
from labbook.watch.codes import content_of, folder_of
from labbook.watch.facts import RunFacts

__all__ = ["KEPT_S", "Tree", "clean", "codes", "is_code", "materialise", "unused"]

KEPT_S = 30 * 86_400.0
"""A folder that nobody used for so long is removed; it can be made again from the book."""

_MADE = "made.json"
_CODE = frozenset({
    ".py", ".pyi", ".pyx", ".pxd", ".so", ".pyd", ".c", ".cc", ".cpp", ".cxx", ".cu", ".cuh", ".h",
    ".hpp", ".pth", ".sh",
})  # fmt: skip
_YOUNG_S = 86_400.0


@dataclass(frozen=True)
class Tree:
    """The code of a run as files. `copies` lead from where its repositories are to their copies.

    `content` names the code wherever it lies. `linked` and `missing` are paths below `folder`.
    """

    entry: Path
    folder: Path
    script_folder: Path
    content: str
    tree: str
    top: Path | None
    copies: dict[Path, Path]
    editable: dict[str, Path]
    linked: list[str]
    missing: list[Missing]
    notes: list[str]

    def touch(self) -> None:
        """Say that it is in use: nobody removes it for its age."""
        try:
            os.utime(self.entry / _MADE)
        except OSError:
            pass  # removed by hand: what is imported stays imported


@dataclass(frozen=True)
class _Made:
    """What `made.json` says: written last, into a folder that is then renamed in."""

    folder: str
    code: dict[str, str]
    """SHA-256 of every file of code, by path below the entry."""
    editable: dict[str, str]
    linked: list[str] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def is_code(name: str) -> bool:
    """Whether a file can be part of a program; any other may be linked in, however new it is."""
    return os.path.splitext(name)[1].lower() in _CODE


def materialise(facts: RunFacts, paths: RunPaths, cache: Path, here: Path | None) -> Tree:
    """The run's code as files below `cache`, made unless it is there.

    `here` is the working tree that the watcher was started for: where the run's own folder is not
    on this machine, data is linked from it. Raises `SnapshotError` naming the path of code that
    is lacking, `DamagedFile` for conditions of another shape.
    """
    file = facts.file or paths.run_json
    recorded = records.from_conditions(facts.conditions, file, run_id=facts.id, name=facts.name)
    book = BookPaths(paths.root.parent.parent)
    original = recorded.top
    if original is None or not original.is_dir():
        original = here
        # data alone: which code of another checkout the run had, no time of a file can tell
        recorded = replace(recorded, conditions={**recorded.conditions, "started_ns": 0})
    entry = cache / folder_of(facts.conditions)
    made = _read(entry)
    if made is None:
        made = _make(recorded, book, entry, original)
    folder = entry / made.folder
    linked = list(made.linked)
    if original is not None and original.is_dir():
        linked += link_rest(
            original, folder, started_ns=_started_ns(recorded),
            without=(book.root, cache), late=lambda name: not is_code(name),
        ).links  # fmt: skip
    editable = {name: entry / place for name, place in made.editable.items()}
    missing = [Missing(**each) for each in made.missing]
    tree = Tree(
        entry=entry,
        folder=folder,
        script_folder=folder / recorded.snapshot.prefix,
        content=content_of(facts.conditions),
        tree=str(recorded.snapshot.tree),
        top=recorded.top,
        copies=_copies(recorded.top, original, folder, editable),
        editable=editable,
        linked=sorted({*linked} - {_below(book.root, original)}),
        missing=[each for each in missing if not os.path.lexists(folder / each.path)],
        notes=made.notes,
    )
    tree.touch()
    return tree


def clean(cache: Path, *, kept_s: float = KEPT_S) -> list[Path]:
    """Remove what was not used for `kept_s`, and what died half made; returns what went."""
    gone = unused(cache, kept_s=kept_s)
    for each in gone:
        _discard(each)
    return gone


def codes(cache: Path) -> list[Path]:
    """Folders of the cache that hold the code of a run."""
    return sorted(made.parent for made in cache.glob(f"*/{_MADE}"))


def unused(cache: Path, *, kept_s: float = KEPT_S) -> list[Path]:
    """Folders that nobody used for `kept_s`, and those that died half made. What a worker imported
    from is in use for as long as it lives.
    """
    found = []
    now = time.time()
    try:
        entries = list(os.scandir(cache))
    except OSError:
        return []
    for each in entries:
        is_aside = each.name.startswith(".")
        mark = Path(each.path) if is_aside else Path(each.path, _MADE)
        try:
            age_s = now - (mark if mark.exists() else Path(each.path)).stat().st_mtime
        except OSError:
            continue
        if each.is_dir(follow_symlinks=False) and age_s > (_YOUNG_S if is_aside else kept_s):
            found.append(Path(each.path))
    return found


def _make(recorded: Recorded, book: BookPaths, entry: Path, original: Path | None) -> _Made:
    """Fill a folder aside, and rename it in; another process that was first is as good."""
    if recorded.snapshot.kind == "none":
        raise SnapshotError(f"no code was recorded: {recorded.snapshot.reason}")
    entry.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    clean(entry.parent)
    aside = entry.parent / f".{entry.name}-{secrets.token_hex(6)}"
    aside.mkdir(mode=0o700)
    try:
        made = _fill(recorded, book, aside, original)
        (aside / _MADE).write_text(json.dumps(asdict(made)))
        for _ in range(2):
            try:
                os.rename(aside, entry)
                return made
            except OSError:
                theirs = _read(entry)
                if theirs is not None:
                    return theirs
                _discard(entry)  # damaged: what is run must be what was recorded
        raise SnapshotError(f"{entry} cannot be replaced: remove it")
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _fill(recorded: Recorded, book: BookPaths, aside: Path, original: Path | None) -> _Made:
    name = recorded.top.name if recorded.top is not None and recorded.top.name else "code"
    folder = aside / ("code" if name in {_MADE, "editable"} else name)
    restored = restore_tree(recorded.snapshot, book.code, folder, original)
    linked, missing, notes = bring_over(
        recorded, original, restored, None, book=book.root, late=lambda name: not is_code(name)
    )
    _require(recorded, missing)
    code = _digests(aside, restored)
    editable = {}
    for each, snapshot in recorded.editable.items():
        place = f"editable/{component(each, 'package')}"
        if snapshot.kind == "none":
            raise SnapshotError(f"the code of {each} was not recorded: {snapshot.reason}")
        other = restore_tree(snapshot, book.code, aside / place)
        _require(recorded, other.missing)
        code |= _digests(aside, other)
        editable[each] = place
    told = [*restored.notes, *notes]
    return _Made(
        folder.name, code, editable, linked.links, [asdict(each) for each in missing], told
    )


def _require(recorded: Recorded, missing: list[Missing]) -> None:
    """Raise `SnapshotError` naming the code that is lacking; data may lack, and is listed."""
    lacking = [each for each in missing if _is_vital(each)]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        # "./" stands for whatever was not looked at
        path = "a part of it" if lacking[0].path in {"", "./"} else lacking[0].path
        raise SnapshotError(
            f"the code of run {recorded.run_id} lacks {path}{more}: {lacking[0].why}"
        )


def _is_vital(item: Missing) -> bool:
    is_whole = item.path in {"", "./"} or item.path.endswith("/")
    return is_whole or is_code(item.path) or item.why.startswith("it was changed and not recorded")


def _digests(aside: Path, restored: Restored) -> dict[str, str]:
    names = [restored.folder / path for path in restored.files if is_code(path)]
    return {
        path.relative_to(aside).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in names
        if not path.is_symlink()
    }


def _read(entry: Path) -> _Made | None:
    """What is there, when all its code is as it was made; else null."""
    try:
        made = _Made(**json.loads((entry / _MADE).read_bytes()))
        for path, digest in made.code.items():
            if hashlib.sha256((entry / path).read_bytes()).hexdigest() != digest:
                return None
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return made


def _discard(folder: Path) -> None:
    """Remove a folder, out of everybody's way first."""
    aside = folder.parent / f".gone-{secrets.token_hex(6)}"
    try:
        os.rename(folder, aside)
    except OSError:
        return  # another process was first
    shutil.rmtree(aside, ignore_errors=True)


def _copies(
    top: Path | None, original: Path | None, folder: Path, editable: Mapping[str, Path]
) -> dict[Path, Path]:
    """Where the repositories are, or were → their copies."""
    found = {place: folder for place in (top, original) if place is not None}
    installed = packages.editable()
    for name, copy in editable.items():
        place = installed.get(name)
        if place is not None:
            tree = worktree.find(place)
            found[Path(os.path.realpath(place)) if tree is None else tree.top] = copy
    return found


def _below(path: Path, folder: Path | None) -> str | None:
    """The book is linked in too, for programs that name it themselves: no news to anybody."""
    if folder is None or not path.is_relative_to(folder):
        return None
    return path.relative_to(folder).as_posix()


def _started_ns(recorded: Recorded) -> int:
    started = recorded.conditions.get("started_ns")
    return started if isinstance(started, int) else 0
