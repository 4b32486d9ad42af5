"""Keeps the checkpoints that wait for their turn: what a training removes meanwhile is not lost.

In a run that is going on, each checkpoint that the policy chose is held as soon as it is known to
be whole: `watch/pins/held-<key>/` has it (a hard link, or a copy where its name is used again or
lies on another filesystem), and `held-<key>.json`, written last, says what it is. Both together are
enough to evaluate it when its name is gone, by this watcher or by one that comes later.

Nobody reads from a held pin: whoever evaluates makes a pin of its claim's own from it. So any
watcher may let it go once the key is settled (a result, or a reason that stands), whoever made it.

Only what nothing but pins keeps on the disk counts against the budget. Above it those whose turn
would come last are let go, with a reason. All of it happens in a thread: a copy may take minutes.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labbook.paths import RunPaths
from labbook.watch import pin as pins
from labbook.watch import reasons
from labbook.watch.clock import server_now_ns
from labbook.watch.complete import Whole
from labbook.watch.discover import Found
from labbook.watch.facts import read_json
from labbook.watch.identity import Identity
from labbook.watch.jobs import Job, describe
from labbook.watch.reasons import Reason

__all__ = ["BUDGET_BYTES", "Holder", "Kept", "kept_in", "let_go", "sweep"]

BUDGET_BYTES = 20 * 10**9
_PREFIX = "held-"
_STALE_NS = 120 * 10**9
"""A copy whose folder was not touched for so long is nobody's."""
_UNWANTED_NS = 7 * 86_400 * 10**9
_TOUCH_S = 3600.0
_BEAT_S = 5.0
_Id = tuple[str, str]
"""Run and key: a run that repeats another has checkpoints with the same keys."""
_END_S = 10.0
"""What is to be let go at the end takes milliseconds, but the machine may be busy."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint that is held for the result `key`: all that is known of it."""

    key: str
    path: Path
    found: Found
    whole: Whole
    evaluation: str
    subset: str
    position: int


def kept_in(paths: RunPaths) -> list[Kept]:
    """What is held of a run."""
    try:
        names = os.listdir(paths.pins)
    except OSError:
        return []
    files = (name for name in names if name.startswith(_PREFIX) and name.endswith(".json"))
    return [kept for name in files if (kept := _read(paths, paths.pins / name)) is not None]


def let_go(paths: RunPaths, key: str) -> None:
    """Hold `key` no more."""
    try:
        _record(paths, key).unlink(missing_ok=True)
    except OSError:
        return  # not ours to remove: with its record it stays whole
    pins.unpin(_folder(paths, key))


def sweep(paths: RunPaths) -> None:
    """Let go what no watcher has wanted for a week, with a reason; and what was never finished."""
    try:
        names = [name for name in os.listdir(paths.pins) if name.startswith(_PREFIX)]
    except OSError:
        return
    if not names:
        return
    now_ns = server_now_ns(paths.pins)
    for name in names:
        path = paths.pins / name
        key = name.removeprefix(_PREFIX).removesuffix(".json")
        age_ns = now_ns - _mtime_ns(path)
        if name.endswith(".json"):
            kept = _read(paths, path)
            if age_ns > _UNWANTED_NS and kept is not None:
                text = "it was kept for a watcher, and none wanted it for a week"
                reasons.write(paths.reasons, key, _reason(kept, text))
                let_go(paths, key)
        elif age_ns > _STALE_NS and not _record(paths, key).exists():
            pins.unpin(path)


class Holder:
    """Holds what is asked for, within `budget` bytes; `wake` is called when something was held.

    `is_newest_first` says which go first when there is too much: the oldest, else the newest.
    """

    def __init__(self, budget: int, is_newest_first: bool, wake: Callable[[], None]) -> None:
        self._budget = budget
        self._is_newest_first = is_newest_first
        self._wake = wake
        self._jobs: dict[_Id, Job] = {}
        """Asked for, and not settled."""
        self._states: dict[_Id, str] = {}
        self._faults: dict[_Id, str] = {}
        self._todo: queue.SimpleQueue[tuple[str, Job] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._touched = time.monotonic()

    def ask(self, job: Job, is_due: bool = False) -> None:
        """Hold the checkpoint of `job`, once; `is_due` asks again, whatever the budget."""
        if not is_due and _id(job) in self._states:
            return
        if is_due and self._states.get(_id(job)) in {"asked", "due"}:
            return
        self._put("due" if is_due else "asked", job)

    def fault(self, job: Job) -> str | None:
        """Why it could not be held when it was due; told once."""
        return self._faults.pop(_id(job), None)

    def is_held(self, job: Job) -> bool:
        """Whether it can be pinned from what is held."""
        return _record(job.paths, job.key).exists()

    def path(self, job: Job) -> Path | None:
        """Where it lies: held for this result, or for another of the same checkpoint."""
        if self.is_held(job):
            return _folder(job.paths, job.key) / job.found.path.name
        return _beside(job)

    def release(self, paths: RunPaths, key: str) -> None:
        """The key is settled. Removing gigabytes may take long, so the thread does it."""
        job = self._jobs.pop((paths.id, key), None)
        self._states.pop((paths.id, key), None)
        if job is not None:
            self._todo.put(("let go", job))
        elif _record(paths, key).exists() or _folder(paths, key).exists():
            let_go(paths, key)

    def close(self) -> None:
        """End. What is held and not settled stays: for other watchers, or for the next."""
        if self._thread is not None:
            self._todo.put(None)
            self._thread.join(_END_S)

    def _put(self, what: str, job: Job) -> None:
        self._states[_id(job)] = what
        self._jobs[_id(job)] = job
        self._start()
        self._todo.put((what, job))

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="labbook-hold", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                item = self._todo.get(timeout=_BEAT_S)
            except queue.Empty:
                self._tend()
                continue
            if item is None:
                return
            what, job = item
            if what == "let go":
                let_go(job.paths, job.key)
            else:
                self._hold(job, is_due=what == "due")

    def _hold(self, job: Job, is_due: bool) -> None:
        """One checkpoint; whatever goes wrong, its turn comes all the same."""
        if self.is_held(job):
            self._states[_id(job)] = "held"  # by another watcher, or by one before us
            return
        folder = _folder(job.paths, job.key)
        try:
            done = self._fill(job, folder, is_due)
        except (OSError, pins.Moved) as error:
            done = False  # if it changed, the next look says what became of it
            pins.unpin(folder)
            if is_due and not isinstance(error, pins.Moved):
                self._faults[_id(job)] = f"it cannot be pinned: {error}"
        self._states[_id(job)] = "held" if done else "not held"
        if done or is_due:
            self._wake()
        if done:
            self._fit()

    def _fill(self, job: Job, folder: Path, is_due: bool) -> bool:
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            age_ns = server_now_ns(folder.parent) - _mtime_ns(folder)
            if age_ns < _STALE_NS:
                return False  # another watcher is at it
            pins.unpin(folder)
            folder.mkdir()
        source, identity = job.found.path, job.whole.identity
        other = _beside(job)
        is_reused = job.found.external and pins.is_reused_name(source.name)
        try:
            if other is not None:
                pins.link(other, identity, folder)
            elif is_reused:
                raise pins.NoLink(source.name)
            else:
                pins.link(source, identity, folder)
        except pins.NoLink:
            source = other or source
            # a full disk would harm the training's own saves
            room = min(self._budget - self._used(), shutil.disk_usage(folder).free // 2)
            if not is_due and identity.size > room:
                self._refuse(job)
                pins.unpin(folder)
                return False
            folder.mkdir(exist_ok=True)
            pins.copy(source, identity, folder, _Beat(folder))
        _write(job)
        return True

    def _refuse(self, job: Job) -> None:
        text = (
            f"pin budget: a copy would go beyond {_bytes(self._budget)} or half of the free disk, "
            "so it is evaluated only if it is still there when its turn comes (--pin-budget)"
        )
        reasons.write(job.paths.reasons, job.key, job.reason(text, "waiting"))

    def _tend(self) -> None:
        """Now and then: the budget, as the training removes names; and a sign of life."""
        self._fit()
        if time.monotonic() - self._touched > _TOUCH_S:
            self._touched = time.monotonic()
            for job in self._held():
                try:
                    os.utime(_record(job.paths, job.key))
                except OSError:
                    pass  # it is gone, or not ours: the worst is that it is let go in a week

    def _held(self) -> list[Job]:
        return [job for job in list(self._jobs.values()) if self._states.get(_id(job)) == "held"]

    def _fit(self) -> None:
        """Let go of what is above the budget, those whose turn comes last first."""
        held = self._held()
        used = _bytes_alone(held)
        total = sum(used.values())
        if total <= self._budget:
            return
        by_turn = sorted(held, key=lambda job: job.found.rank, reverse=not self._is_newest_first)
        for job in by_turn:
            if total <= self._budget:
                break
            if used.get(_id(job)):
                text = (
                    "pin budget: the training removed it before its turn came, and "
                    f"{_bytes(self._budget)} of such checkpoints are kept already (--pin-budget)"
                )
                reasons.write(job.paths.reasons, job.key, job.reason(text, "skipped"))
                total -= used[_id(job)]
                self._states[_id(job)] = "let go"
                let_go(job.paths, job.key)
        self._wake()

    def _used(self) -> int:
        return sum(_bytes_alone(self._held()).values())


class _Beat:
    """Touches a folder now and then while it is filled: others see that somebody is at it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._last > _BEAT_S:
            self._last = time.monotonic()
            os.utime(self._folder)


def _id(job: Job) -> _Id:
    return job.facts.id, job.key


def _folder(paths: RunPaths, key: str) -> Path:
    return paths.pins / f"{_PREFIX}{key}"


def _record(paths: RunPaths, key: str) -> Path:
    return paths.pins / f"{_PREFIX}{key}.json"


def _write(job: Job) -> None:
    row = {
        "format": 1,
        "key": job.key,
        "file": job.found.file,
        "step": job.found.step,
        "size": job.found.size,
        "external": job.found.external,
        "time_ns": job.found.time_ns,
        "kind": job.whole.kind,
        "digest": job.whole.digest,
        "completeness": job.whole.completeness,
        "identity": job.whole.identity.files,
        "evaluation": job.declared.name,
        "subset": job.subset,
        "position": job.ranked.position,
    }
    target = _record(job.paths, job.key)
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    aside.write_text(json.dumps(row))
    os.replace(aside, target)


def _read(paths: RunPaths, record: Path) -> Kept | None:
    row = read_json(record)
    try:
        return _kept(paths, row) if row is not None else None
    except (KeyError, TypeError, ValueError):
        return None  # not ours, or of another version


def _kept(paths: RunPaths, row: dict[str, Any]) -> Kept:
    file, is_external = str(row["file"]), bool(row["external"])
    root = paths.root.parent.parent if is_external else paths.root
    path = Path(os.path.normpath(root / file))
    identity = Identity(tuple((str(n), d, i, s, m) for n, d, i, s, m in row["identity"]))
    found = Found(paths.id, file, path, row["step"], row["size"], is_external, int(row["time_ns"]))
    whole = Whole(str(row["kind"]), str(row["digest"]), identity, str(row["completeness"]))
    held = _folder(paths, str(row["key"])) / path.name
    if not held.is_relative_to(paths.pins) or ".." in str(row["key"]):
        raise ValueError("a pin that lies elsewhere")
    return Kept(
        str(row["key"]), held, found, whole,
        str(row["evaluation"]), str(row["subset"]), int(row["position"]),
    )  # fmt: skip


def _reason(kept: Kept, text: str) -> Reason:
    return Reason(describe(kept.found, kept.whole), kept.evaluation, text, "skipped", kept.subset)


def _beside(job: Job) -> Path | None:
    """The same checkpoint, held for another result."""
    for kept in kept_in(job.paths):
        is_same = kept.whole.digest == job.whole.digest and kept.found.path == job.found.path
        if is_same and kept.whole.identity.content() == job.whole.identity.content():
            return kept.path
    return None


def _bytes_alone(held: list[Job]) -> dict[_Id, int]:
    """Bytes by run and key that nothing but our pins keeps on the disk; of one file, once."""
    links: dict[tuple[int, int], list[tuple[_Id, int, int]]] = {}
    for job in held:
        top = _folder(job.paths, job.key) / job.found.path.name
        for name, *_ in job.whole.identity.files:
            try:
                status = os.stat(top / name if name else top)
            except OSError:
                continue
            entry = (_id(job), status.st_size, status.st_nlink)
            links.setdefault((status.st_dev, status.st_ino), []).append(entry)
    used: dict[_Id, int] = {}
    for entries in links.values():
        key, size, n_links = entries[0]
        if n_links <= len(entries):
            used[key] = used.get(key, 0) + size
    return used


def _bytes(size: int) -> str:
    return f"{size / 10**9:g} GB"


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
