"""`labbook watch status` in words, and as the object that `--json` prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from labbook.book.text import clean
from labbook.book.watchers import Watcher, WorkerNow
from labbook.cli.wording import local_time, seconds_text

__all__ = ["watcher_lines", "watcher_object"]


def watcher_lines(watcher: Watcher) -> Iterator[str]:
    """A line for the watcher, then one a worker."""
    why = f" ({watcher.why})" if watcher.why else ""
    since = "" if watcher.started_ns is None else f", since {local_time(watcher.started_ns)}"
    yield clean(f"{watcher.host} {watcher.pid}  {watcher.state}{why}{since}")
    names = ", ".join(watcher.evaluations) or "no evaluation yet"
    words = [names]
    counts = (
        (watcher.n_pending, "to do"),
        (watcher.n_waiting, "waiting"),
        (watcher.n_failed, "failed"),
        (watcher.n_results, "done"),
    )
    words += [f"{count} {what}" for count, what in counts if count]
    if watcher.lag_s:
        words.append(f"behind {seconds_text(watcher.lag_s)}")
    yield clean(f"  {' · '.join(words)}")
    for worker in watcher.workers:
        yield clean(f"  {_worker_line(worker)}")


def watcher_object(watcher: Watcher) -> dict[str, Any]:
    """The watcher as JSON data."""
    return {**asdict(watcher), "is_stale": watcher.is_stale}


def _worker_line(worker: WorkerNow) -> str:
    if worker.state != "evaluating":
        return f"{worker.device}: {worker.state}"
    step = "no step" if worker.step is None else f"step {worker.step}"
    words = [f"{worker.device}: {worker.name} {step} {worker.evaluation}"]
    if worker.done is not None:
        of = f"/{worker.total}" if worker.total is not None else ""
        words.append(f"{worker.done}{of} examples")
    if worker.rate is not None:
        words.append(f"{worker.rate:,.0f} a second")
    if worker.seconds is not None:
        words.append(seconds_text(worker.seconds))
    return ", ".join(words)
