"""Copies the committed tree into the book's store, so that the user's repository may forget it.

One pack, made by the user's own git from the objects it has: nothing is read from the working
tree or compressed anew, and from the second commit on only what is new goes in. The pack and the
ref that says it is complete appear by renames. A copy that outlasts the time limit goes on at the
lowest priority, and the next start finds it done.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import subprocess
import time
from pathlib import Path

from labbook.conditions import gitcommand
from labbook.conditions.gitcommand import GitFailed
from labbook.conditions.job import Job
from labbook.conditions.limits import Deadline
from labbook.conditions.trees import EMPTY_TREE

__all__ = ["BaseCopy"]

_DAY_S = 86400

_BACKGROUND: list[subprocess.Popen[bytes]] = []
"""Copies that go on after their start: kept so that they are reaped."""


class BaseCopy:
    """The copying of one committed tree; `start`, do something else, then `finish`."""

    def __init__(self, job: Job, objects: Path, tree: str | None) -> None:
        self._top, self._store, self._folder = job.top, job.store, job.cache.folder
        self._objects, self._tree = objects, tree
        self._child: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._known: str | None = None
        self._slow = self._folder / "copy.slow"
        self.failure: str | None = None

    def is_complete(self) -> bool:
        """Whether the store has the whole tree (an unborn HEAD has nothing to copy)."""
        if self._tree is None or self._tree == EMPTY_TREE:
            return True
        return self._store.ref(f"base/{self._tree}") == self._tree

    def start(self, known: str | None, deadline: Deadline) -> None:
        """Begin to copy unless it is done; `known` is a tree that the store already has."""
        _BACKGROUND[:] = [child for child in _BACKGROUND if child.poll() is None]
        self._known = known
        if not self.is_complete() and self._take_lock():
            self._begin(deadline)

    def finish(self, deadline: Deadline) -> bool:
        """Wait until the copy is complete or time is up; returns whether it is complete."""
        while self._lock is None and not self.is_complete() and not deadline.passed():
            # another start copies this tree; should it die, the lock is free and it is our turn
            if self._take_lock():
                self._begin(deadline)
            elif os.path.exists(self._slow):
                break  # it takes longer than any start can wait for
            else:
                time.sleep(0.005)
        if self._child is not None:
            self._wait(self._child, deadline)
        if self._lock is not None:
            os.close(self._lock)  # a copy that goes on holds it through its own descriptor
            self._lock = None
        if self.is_complete():
            self.failure = None
            return True
        self.failure = self.failure or "git is still copying the commit for an earlier start"
        return False

    def _begin(self, deadline: Deadline) -> None:
        known = self._known
        if self.is_complete():  # while we took the lock
            return
        if known is not None and not self._is_known(known, deadline):
            known = None
        self._slow.unlink(missing_ok=True)
        self._sweep()
        try:
            self._child = self._spawn(known)
        except OSError as error:
            self.failure = f"the commit could not be copied: {error}"

    def _sweep(self) -> None:
        """Remove what copies left behind that were killed a day ago or more."""
        for folder, start in (
            (self._store.objects / "pack", "tmp_"),
            (self._store.root, "tmp_base_"),
        ):
            for path in folder.glob(f"{start}*"):
                try:
                    if path.stat().st_mtime < time.time() - _DAY_S:
                        path.unlink()
                except OSError:
                    pass  # its copy has just ended, or it is another user's

    def _wait(self, child: subprocess.Popen[bytes], deadline: Deadline) -> None:
        try:
            child.wait(timeout=max(deadline.left(), 0.001))
        except subprocess.TimeoutExpired:
            self.failure = "out of time: git goes on copying the commit"
            self._go_on_slowly(child)
        else:
            if child.returncode != 0:
                self.failure = f"the commit could not be copied: {self._error()}"

    def _spawn(self, known: str | None) -> subprocess.Popen[bytes]:
        """`git pack-objects` of the tree less a known one, then the ref: one detached command."""
        base = self._store.root / "refs/labbook/base"
        base.mkdir(parents=True, exist_ok=True)
        token = secrets.token_hex(6)  # one process copies several repositories at once
        aside = self._store.root / f"tmp_base_{token}"
        aside.write_text(f"{self._tree}\n")
        wanted = self._folder / f"wanted.{token}"
        wanted.write_text(f"{self._tree}\n" + (f"^{known}\n" if known else ""))
        pack = os.path.abspath(self._store.objects / "pack/pack")
        # what is packed is taken as it is; loose objects are packed fast rather than small
        git = ["git", *gitcommand.options(), "-c", "pack.compression=1", "pack-objects", "--revs"]
        git += ["-q", "--threads=1", "--window=0", "--delta-base-offset", pack]
        script = 'a=$1 b=$2; shift 2; "$@" >/dev/null && mv -f "$a" "$b" || { rm -f "$a"; exit 1; }'
        # the user's objects as an alternate: git makes its temporary files in the book
        extra = {
            "GIT_OBJECT_DIRECTORY": os.path.abspath(self._store.objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(self._objects),
            "GIT_NO_REPLACE_OBJECTS": "1",
        }
        try:
            with open(wanted, "rb") as revisions, open(self._folder / "copy.log", "wb") as log:
                return subprocess.Popen(
                    ["sh", "-c", script, "sh", str(aside), str(base / str(self._tree)), *git],
                    cwd=self._top, env=gitcommand.environment(extra),
                    stdin=revisions, stdout=subprocess.DEVNULL, stderr=log, process_group=0,
                    pass_fds=() if self._lock is None else (self._lock,),
                )  # fmt: skip
        finally:
            wanted.unlink()  # git has it open

    def _is_known(self, tree: str, deadline: Deadline) -> bool:
        """Whether both the store and the user's repository have a tree: it need not go along."""
        if self._store.ref(f"base/{tree}") != tree:
            return False
        try:
            gitcommand.run(str(self._top), "cat-file", "-e", tree, limit_s=deadline.left())
        except GitFailed:
            return False
        return True

    def _take_lock(self) -> bool:
        """One start copies, the others wait for it: eight at once would copy eight times."""
        lock = os.open(self._folder / "copy.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        except OSError:
            pass  # a file system without locks: copying twice does no harm
        self._lock = lock
        return True

    def _go_on_slowly(self, child: subprocess.Popen[bytes]) -> None:
        try:
            os.setpriority(os.PRIO_PGRP, child.pid, 19)
        except OSError:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return
        self._slow.touch()
        _BACKGROUND.append(child)

    def _error(self) -> str:
        lines = (self._folder / "copy.log").read_text(errors="replace").strip().splitlines()
        return lines[0].removeprefix("fatal: ") if lines else "git failed without a word"


def _quoted(path: Path) -> str:
    """A path as git reads it in a list of paths, where a colon would end it."""
    return '"' + os.path.abspath(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
