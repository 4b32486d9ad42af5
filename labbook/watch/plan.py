"""What a watcher was asked to do, and the signals that end it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from labbook.paths import BookPaths
from labbook.watch.hold import BUDGET_BYTES
from labbook.watch.worker_process import WorkerOptions

__all__ = ["Plan", "stop_signals"]


@dataclass(frozen=True)
class Plan:
    """What `labbook watch` was asked to do. `runs`, `groups` and `files` None: all of them.

    `devices` has one entry a worker. `code` is `run` or `current`. `timeout_s` None: five times
    the median of the evaluations so far, at least a minute. `grace_s` is how long the work in hand
    may go on after a signal. `pin_budget` is in bytes (`labbook.watch.hold`), and so is
    `max_rss`, above which a worker is replaced between two evaluations; None: see `Desk.outgrown`.
    """

    book: BookPaths
    worker: WorkerOptions
    is_once: bool = False
    poll_s: float = 2.0
    policy: str = "newest"
    runs: frozenset[str] | None = None
    groups: frozenset[str] | None = None
    files: frozenset[Path] | None = None
    retry_failed: bool = False
    timeout_s: float | None = None
    devices: tuple[str, ...] = ("cpu",)
    code: str = "run"
    is_trusting: bool = False
    is_until_finished: bool = False
    is_dry: bool = False
    grace_s: float = 25.0
    pin_budget: int = BUDGET_BYTES
    max_rss: int | None = None


@contextmanager
def stop_signals(handler: Callable[[int, FrameType | None], None], wake: int) -> Iterator[None]:
    """Call `handler` on SIGINT and SIGTERM, and write a byte into `wake`, until the block ends."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    old = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(old)
        for number, previous in before.items():
            signal.signal(number, previous)
