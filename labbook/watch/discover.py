"""Finds the checkpoints of a book's runs, again and again, cheaply.

A run is read anew only when one of its folders changed: a scan of an idle book is a few `stat`
calls a run. What is found is every registered checkpoint (its sidecar), every file in a run's
`checkpoints/` that has none because the training died in between, and every match of a pattern
that the run asked to be watched.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from labbook.paths import BookPaths, RunPaths
from labbook.watch.complete import is_folder_format
from labbook.watch.facts import RunFacts, read_facts, read_json, slim, step_of

__all__ = ["Found", "Scanner", "Scene"]

_RACY_NS = 3_000_000_000  # a folder changed this recently may change again within one clock tick
_ROUNDS = 5  # a run that is over is looked at in every fifth scan: nothing in it is urgent
_ADOPT_NS = 5_000_000_000  # run.save() writes the sidecar right after the file


@dataclass(frozen=True, slots=True)
class Found:
    """One checkpoint of one run. `file` is as results name it: relative to the run's folder, or,
    when `external`, to the book's root."""

    run: str
    file: str
    path: Path
    step: int | None
    size: int | None
    external: bool
    time_ns: int

    @property
    def rank(self) -> tuple[int, int, str]:
        """Orders the checkpoints of a run: by step, then time."""
        return (-1 if self.step is None else self.step, self.time_ns, self.file)


@dataclass(frozen=True)
class Scene:
    """A run and its checkpoints, by step."""

    facts: RunFacts
    paths: RunPaths
    checkpoints: tuple[Found, ...]


@dataclass
class _Seen:
    stamp: tuple[Any, ...]
    is_settled: bool
    facts: RunFacts
    own: tuple[Found, ...]
    scene: Scene | None = None


@dataclass
class Scanner:
    """Keeps what it saw: the next scan costs what changed. `only` is run ids, None for all."""

    book: BookPaths
    only: frozenset[str] | None = None
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _turn: int = 0
    _ids: list[str] = field(default_factory=list)
    _ids_stamp: int = 0

    def scan(self, now_ns: int) -> list[Scene]:
        """Every run that has an identity, newest first. `now_ns` is the file server's clock."""
        ids = self._run_ids(now_ns)
        for gone in self._seen.keys() - set(ids):
            del self._seen[gone]
        self._turn += 1
        for place, run_id in enumerate(ids):
            last = self._seen.get(run_id)
            is_quiet = last is not None and last.is_settled and last.facts.is_over
            if not is_quiet or place % _ROUNDS == self._turn % _ROUNDS:
                self._look(run_id, now_ns)
        seen = {run_id: self._seen[run_id] for run_id in ids if run_id in self._seen}
        watched = _assign(self.book.root, [entry.facts for entry in seen.values()])
        scenes = []
        for run_id, entry in seen.items():
            more = watched.get(run_id, [])
            if entry.scene is None or more or len(entry.scene.checkpoints) != len(entry.own):
                entry.scene = _scene(self.book.run(run_id), entry, more)
            scenes.append(entry.scene)
        return scenes

    def folders(self) -> list[Path]:
        """Folders in which a checkpoint may appear, newest run first; none holds a journal."""
        found: dict[Path, None] = {}
        for run_id in sorted(self._seen, reverse=True):
            if self._seen[run_id].facts.is_over:
                continue
            found[self.book.run(run_id).checkpoints] = None
            for pattern in self._seen[run_id].facts.patterns:
                folder = Path(os.path.normpath(self.book.root / pattern)).parent
                inside = folder.is_relative_to(self.book.root)
                if not glob.has_magic(str(folder)) and not inside:
                    found[folder] = None
        return [folder for folder in found if folder.is_dir()]

    def _run_ids(self, now_ns: int) -> list[str]:
        """Ids of the runs, listed anew when one was added or removed."""
        try:
            stamp = os.stat(self.book.runs).st_mtime_ns
        except OSError:
            return []
        if stamp != self._ids_stamp:
            found = self.book.run_ids()
            self._ids = [name for name in found if self.only is None or name in self.only]
            self._ids_stamp = stamp if now_ns - stamp > _RACY_NS else 0
        return self._ids

    def _look(self, run_id: str, now_ns: int) -> None:
        root = os.path.join(self.book.runs, run_id)
        seen = self._seen.get(run_id)
        stamp, newest = _stamp(root, seen.facts if seen is not None else None)
        if seen is not None and seen.is_settled and seen.stamp == stamp:
            return
        paths = self.book.run(run_id)
        facts = read_facts(paths)
        if facts is None:
            return
        facts = slim(facts)
        own, is_adopting = _own_checkpoints(paths, now_ns)
        is_settled = not is_adopting and now_ns - newest > _RACY_NS
        before = seen.scene if seen is not None else None
        if before is not None and before.facts == facts and seen is not None and seen.own == own:
            self._seen[run_id] = _Seen(stamp, is_settled, seen.facts, seen.own, before)
        else:
            self._seen[run_id] = _Seen(stamp, is_settled, facts, own)


def _scene(paths: RunPaths, entry: _Seen, watched: list[Found]) -> Scene:
    """The scene of before when nothing in it changed: what is known of it stays known."""
    fresh = {found.path: found for found in watched}
    # what is registered may be written again under its name: the file says when
    own = [
        replace(each, time_ns=fresh[each.path].time_ns)
        if each.external and each.path in fresh
        else each
        for each in entry.own
    ]
    known = {each.path for each in own}
    more = [each for each in watched if each.path not in known]
    found = tuple(sorted((*own, *more), key=lambda each: each.rank))
    scene = Scene(entry.facts, paths, found)
    return entry.scene if entry.scene == scene and entry.scene is not None else scene


def _stamp(root: str, facts: RunFacts | None) -> tuple[tuple[int, ...], int]:
    """Change times of the folders that matter, and the newest of them."""
    times = []
    names = ["", "/checkpoints", "/meta", "/attempts"]
    if facts is not None and not facts.is_over:
        names.append(f"/attempts/{facts.attempt}")  # where its end will be written
    for name in names:
        try:
            times.append(os.stat(root + name).st_mtime_ns)
        except OSError:
            times.append(0)
    return tuple(times), max(times)


def _own_checkpoints(paths: RunPaths, now_ns: int) -> tuple[tuple[Found, ...], bool]:
    """Sidecars, and files without one; True when some file is too young to be called orphaned."""
    try:
        entries = list(os.scandir(paths.checkpoints))
    except OSError:
        return (), False
    names = {entry.name for entry in entries}
    found: dict[Path, Found] = {}
    for entry in entries:
        if entry.name.endswith(".json") and not entry.name.startswith("."):
            sidecar = _from_sidecar(paths, Path(entry.path))
            if sidecar is not None:
                found[sidecar.path] = sidecar
    is_adopting = False
    for entry in entries:
        name = entry.name
        if name.startswith(".") or name.endswith((".json", ".tmp")) or f"{name}.json" in names:
            continue
        path = Path(entry.path)
        mtime_ns = _mtime_ns(path)
        if path in found or mtime_ns is None:
            continue
        if now_ns - mtime_ns < _ADOPT_NS:
            is_adopting = True
        elif entry.is_file() or is_folder_format(path):
            file = f"checkpoints/{name}"
            found[path] = Found(paths.id, file, path, step_of(name), None, False, mtime_ns)
    return tuple(found.values()), is_adopting


def _from_sidecar(paths: RunPaths, sidecar: Path) -> Found | None:
    fact = read_json(sidecar)
    if fact is None or not isinstance(fact.get("file"), str):
        return None
    external = bool(fact.get("external"))
    root = paths.root.parent.parent if external else paths.root
    path = Path(os.path.normpath(root / fact["file"]))
    if not external and not path.is_relative_to(paths.root):
        return None
    step, size = fact.get("step"), fact.get("size")
    return Found(
        run=paths.id,
        file=fact["file"],
        path=path,
        step=step if isinstance(step, int) else None,
        # an external file may be written again under its name; its sidecar says what it was once
        size=size if isinstance(size, int) and not external else None,
        external=external,
        time_ns=int(fact.get("time_ns") or 0),
    )


def _assign(root: Path, runs: list[RunFacts]) -> dict[str, list[Found]]:
    """Matches of watched patterns, each given to the run that was training when it was written."""
    askers: dict[str, list[RunFacts]] = {}
    for facts in runs:
        for pattern in facts.patterns:
            askers.setdefault(os.path.normpath(root / pattern), []).append(facts)
    found: dict[str, dict[Path, Found]] = {}
    for pattern, candidates in askers.items():
        candidates.sort(key=lambda facts: facts.created_ns)
        for name in glob.iglob(pattern):
            path = Path(name)
            mtime_ns = _mtime_ns(path)
            if mtime_ns is None or (path.is_dir() and not is_folder_format(path)):
                continue
            owner = _owner(candidates, mtime_ns)
            if owner is not None:
                file = os.path.relpath(path, root)
                each = Found(owner.id, file, path, step_of(path.name), None, True, mtime_ns)
                found.setdefault(owner.id, {})[path] = each
    return {run: list(files.values()) for run, files in found.items()}


def _owner(candidates: list[RunFacts], mtime_ns: int) -> RunFacts | None:
    """The last of the runs that had begun when the file was written (2 s of clock skew allowed)."""
    begun = [facts for facts in candidates if facts.created_ns <= mtime_ns + 2_000_000_000]
    return begun[-1] if begun else None


def _mtime_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
