"""Tells the supervisor that a checkpoint may have come. A hint only: the rescan is the truth.

Watches are placed on single folders that receive checkpoints, never below them, and never on a
folder that holds a journal: that would make logging ten times slower.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

__all__ = ["Hints"]

_LIMIT = 256  # folders; inotify watches are shared by everything a user runs
_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
]


class Hints(FileSystemEventHandler):
    """Writes a byte into `wake` when something appears in a watched folder."""

    def __init__(self, wake: int) -> None:
        self._wake = wake
        self._watches: dict[Path, ObservedWatch] = {}
        self._refused: set[Path] = set()
        self.failure: str | None = None
        """Why events are not to be had, when they are not: the rescan still finds everything."""
        try:
            self._observer = Observer()
            self._observer.start()
        except OSError as error:
            self.failure = str(error)

    def watch(self, folders: Iterable[Path]) -> None:
        """Watch exactly these folders from now on (the first few hundred of them)."""
        if self.failure is not None:
            return
        wanted = [folder for folder in folders if folder not in self._refused][:_LIMIT]
        for gone in self._watches.keys() - set(wanted):
            self._observer.unschedule(self._watches.pop(gone))
        for folder in wanted:
            if folder in self._watches:
                continue
            if _holds_journal(folder):
                self._refused.add(folder)
                continue
            try:
                self._watches[folder] = self._observer.schedule(
                    self, str(folder), recursive=False, event_filter=_EVENTS
                )
            except OSError as error:
                if folder.is_dir():
                    self.failure = f"{error} while watching {folder}"
                return

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called by watchdog's thread."""
        try:
            os.write(self._wake, b"e")
        except (BlockingIOError, OSError):
            pass  # the pipe is full of hints already

    def close(self) -> None:
        """End the watching thread."""
        if self.failure is None:
            self._observer.stop()
            self._observer.join(2.0)


def _holds_journal(folder: Path) -> bool:
    try:
        return any(name.endswith((".lbj", ".lock")) for name in os.listdir(folder))
    except OSError:
        return False
