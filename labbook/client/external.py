"""Checkpoints that other code writes: found by glob, digested and registered beside the training.

Invariant: nothing here raises into the training or holds it up; a file gets its sidecar when its
size and time have stood still from one look to the next, and a file that was there before
`watch()` is not taken for this run's.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from labbook.client.writing import touch_folder, write_json
from labbook.errors import MisuseError
from labbook.journal.writer import JournalWriter
from labbook.paths import FORMAT, RunPaths

__all__ = ["Registrar", "step_in_name"]

_LOOK_S: Final = 0.25
"""Time for digests in one look: at most a quarter of a core while there is something to digest."""

_LAST_LOOK_S: Final = 0.5

_CHUNK: Final = 4 << 20

_KINDS: Final = {
    ".pt": "torch",
    ".pth": "torch",
    ".ckpt": "torch",
    ".bin": "torch",
    ".safetensors": "safetensors",
}

_STEP = re.compile(r"(?:step|iteration|iter)s?[-_=.]?0*(\d+)", re.IGNORECASE)
_ONLY_NUMBER = re.compile(r"(?:ckpt|checkpoint|model)s?[-_=.]?0*(\d+)", re.IGNORECASE)

_Mark = tuple[int, int, int]  # inode, size, mtime_ns


def step_in_name(name: str) -> int | None:
    """Read the step out of a file name; None when it does not say one (an epoch is no step).

    >>> [step_in_name(n) for n in ("step-0100.pt", "epoch=3-step=70.ckpt", "epoch-3.pt", "last.pt")]
    [100, 70, None, None]
    """
    match = _STEP.search(name) or _ONLY_NUMBER.match(name)
    return int(match[1]) if match else None


@dataclass
class _Digesting:
    """A file that is digested a little at each look."""

    mark: _Mark
    offset: int = 0
    sha256: Any = field(default_factory=hashlib.sha256)


class Registrar:
    """Writes sidecars for the files that match the patterns. `scan` is for a background thread."""

    def __init__(self, paths: RunPaths, journal: JournalWriter) -> None:
        self._paths = paths
        self._journal = journal
        self._book = os.path.realpath(paths.root.parent.parent)
        self._patterns: list[str] = []
        self._known: dict[str, _Mark] = {}
        self._seen: dict[str, _Mark] = {}
        self._digesting: dict[str, _Digesting] = {}
        self._lock = threading.Lock()

    def watch(self, pattern: str) -> None:
        """Register files that match `pattern` and come or change from now on.

        The pattern is a glob (`**` goes into folders), relative to the working directory. The book
        gets it too, so that the watcher finds the files by itself.
        """
        if not pattern:
            raise MisuseError('watch() wants a pattern such as "checkpoints/*.pt"')
        absolute = os.path.realpath(pattern)
        self._known.update(self._matches(absolute))
        self._patterns.append(absolute)
        path = self._paths.meta / f"watch-{self._journal.writer}-{secrets.token_hex(4)}.json"
        relative = os.path.relpath(absolute, self._book)
        fact = {"fact": "watch", "time_ns": time.time_ns(), "pattern": relative}
        try:
            self._paths.meta.mkdir(parents=True, exist_ok=True)
            write_json(path, fact)
        except OSError as error:
            self._journal.fault("watch", f"cannot record the pattern {pattern}: {error}")
        touch_folder(self._paths.root)

    def folders(self) -> list[str]:
        """Return the folders the patterns begin in."""
        fixed = (re.split(r"[*?\[]", pattern, maxsplit=1)[0] for pattern in tuple(self._patterns))
        return [os.path.dirname(start) for start in fixed]

    def scan(self, *, final: bool = False) -> None:
        """Look once. With `final`, files that came just now are taken as they are."""
        if not self._patterns or not self._lock.acquire(timeout=_LAST_LOOK_S if final else 0):
            return
        try:
            self._scan(time.monotonic() + (_LAST_LOOK_S if final else _LOOK_S), final)
        except OSError as error:
            self._journal.fault("register", f"cannot register checkpoints: {error}")
        finally:
            self._lock.release()

    def _scan(self, deadline: float, final: bool) -> None:
        for pattern in tuple(self._patterns):
            for path, mark in self._matches(pattern).items():
                if self._known.get(path) == mark:
                    continue
                if self._seen.get(path) != mark and not final:
                    self._seen[path] = mark
                    continue
                self._register(path, mark, deadline)

    def _matches(self, pattern: str) -> dict[str, _Mark]:
        own = os.path.realpath(self._paths.root) + os.sep
        found = {}
        for path in glob.iglob(pattern, recursive=True):
            if path.startswith(own) or os.path.isdir(path):
                continue
            try:
                found[path] = _mark(os.stat(path))
            except OSError:
                continue  # gone since: a checkpoint that was rotated away
        return found

    def _register(self, path: str, mark: _Mark, deadline: float) -> None:
        work = self._digesting.get(path)
        if work is None or work.mark != mark:
            work = self._digesting[path] = _Digesting(mark)
        try:
            finished = _digest(path, work, deadline)
        except FileNotFoundError:
            finished = False  # rotated away while it was read
        if not finished:
            return
        del self._digesting[path]
        self._seen.pop(path, None)
        self._write(Path(path), mark, f"sha256:{work.sha256.hexdigest()}")
        self._known[path] = mark

    def _write(self, path: Path, mark: _Mark, digest: str) -> None:
        file = os.path.relpath(path, self._book)
        step = step_in_name(path.name)
        facts = {"file": file, "size": mark[1], "digest": digest, "external": True}
        kind = _KINDS.get(path.suffix, "unknown")
        body = {"format": FORMAT, **facts, "step": step, "time_ns": mark[2], "kind": kind}
        place = hashlib.sha256(file.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        self._paths.checkpoints.mkdir(parents=True, exist_ok=True)
        stem = re.sub(r"[^\w.=+-]", "_", path.name.lstrip("."))[:100]
        write_json(self._paths.checkpoints / f"{stem}.{place}.json", body)
        touch_folder(self._paths.root)
        self._journal.event("checkpoint", f"found {file}", step, replaced=False, **facts)


def _mark(stat: os.stat_result) -> _Mark:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _digest(path: str, work: _Digesting, deadline: float) -> bool:
    """Digest on until the deadline; True when all is read and the file is still the same."""
    with open(path, "rb", buffering=0) as file:
        file.seek(work.offset)
        while chunk := file.read(_CHUNK):
            work.sha256.update(chunk)
            work.offset += len(chunk)
            if time.monotonic() > deadline:
                break
        return work.offset == work.mark[1] and _mark(os.fstat(file.fileno())) == work.mark
