"""This host at this moment, as one object: processors, memory, disks, GPUs, and its live runs."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook.book.runreader import RunReader

__all__ = ["host_now", "live_runs"]

RATE_S: Final = 0.5
"""Rates, and the use of the processors, are over this time."""

NO_DRIVER: Final = "no driver of an NVIDIA or AMD GPU is loaded"

DRIVER_S: Final = 5.0
"""A GPU driver that does not answer within this time is left out, and that is said."""


def host_now(book: Book | None) -> dict[str, Any]:
    """Return what `labbook top --once --json` prints."""
    from labbook.client.gauge_host import HostSource, TrafficSource

    sources = (HostSource(), TrafficSource())
    began_ns = time.time_ns()
    for source in sources:
        source.read()
    cards, reason = _gpus()
    time.sleep(max(0.0, RATE_S - (time.time_ns() - began_ns) / 1e9))
    gauges = {
        name: value
        for source in sources
        for name, value in zip(source.names, source.read(), strict=True)
    }
    return {
        "host": os.uname().nodename,
        "time_ns": time.time_ns(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gauges": gauges,
        "disks": list(_disks(book)),
        "gpus": cards,
        "gpu_reason": reason,
        "book": None if book is None else str(book.root),
        "runs": [_run(reader) for reader in live_runs(book)],
    }


def live_runs(book: Book | None) -> list[RunReader]:
    """The runs of the book that this host is recording now, newest first."""
    from labbook.book.states import is_own_host

    if book is None:
        return []
    running = [run.id for run in book.summaries() if run.state == "running"]
    readers = [book.run(run_id) for run_id in running]
    return [reader for reader in readers if is_own_host(reader.conditions)]


def _run(reader: RunReader) -> dict[str, Any]:
    summary = reader.summary()
    process = reader.facts.newest()
    writer = process.writer if process else ""
    last = {name: row for (who, name), row in reader.last_gauges().items() if who == writer}
    steps = [stat.step for stat in summary.stats.values() if stat.step is not None]
    return {
        "id": summary.id,
        "name": summary.name,
        "pid": reader.conditions.get("pid"),
        "created_ns": summary.created_ns,
        "step": max(steps, default=None),
        "gauges": {name: value for name, (_, value) in sorted(last.items())},
        "sampled_ms": max((at for at, _ in last.values()), default=None),
    }


def _disks(book: Book | None) -> Iterator[dict[str, Any]]:
    """Filesystems with a device behind them, each once, and that of the book."""
    from labbook.client.gauge_host import mounts

    home = None if book is None else str(book.root)
    seen: set[int] = set()
    book_device = None if home is None else os.stat(home).st_dev
    for place in ("/", *mounts(), *([home] if home else [])):
        try:
            device, stat = os.stat(place).st_dev, os.statvfs(place)
        except OSError:
            continue  # unmounted since, or not ours to look at
        if device not in seen and stat.f_blocks and not stat.f_flag & os.ST_RDONLY:
            seen.add(device)
            yield {
                "path": place,
                "total_bytes": stat.f_blocks * stat.f_frsize,
                "free_bytes": stat.f_bavail * stat.f_frsize,
                "has_book": device == book_device,
            }


def _gpus() -> tuple[list[dict[str, Any]], str | None]:
    """All GPUs of the host, whatever the environment hides, or the reason why there are none."""
    from labbook.client.gauge_gpu import GpuSource, any_driver

    driver = any_driver({})
    if driver is None:
        return [], NO_DRIVER
    told: dict[str, Any] = {}
    failed: list[str] = []
    read: dict[str, float | None] = {}
    source = GpuSource(
        driver,
        frozenset,
        lambda who, error: None if error is None else failed.append(f"{who}: {error}"),
        lambda fact, value: told.update(value),
    )

    def ask() -> None:
        try:
            values = source.read()
            read.update(zip(source.names, values, strict=True))
        except driver.errors as error:
            failed.append(f"the driver gave an error: {error}")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(DRIVER_S)
    if thread.is_alive():
        return [], f"the GPU driver has not answered for {DRIVER_S:.0f} s"
    return [_card(card, read) for card in told.get("gpus", [])], "; ".join(failed) or None


def _card(card: dict[str, Any], read: dict[str, float | None]) -> dict[str, Any]:
    start = f"{card['gauge']}."
    # of no process tree here, and of no time
    left_out = {"process_memory_bytes", "energy_joules"}
    gauges = {name.removeprefix(start): v for name, v in read.items() if name.startswith(start)}
    return {
        "index": int(card["gauge"].partition(".")[2]),
        "uuid": card["uuid"],
        "name": card["name"],
        **{name: _finite(value) for name, value in gauges.items() if name not in left_out},
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
