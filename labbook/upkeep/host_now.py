"""This host at this moment, as one object: processors, memory, disks, GPUs, and its live runs."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from labbook.book.facts import as_text
from labbook.book.states import is_own_host
from labbook.book.throughput import throughput

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook.book.runreader import RunReader
    from labbook.client.gauge_gpu import GpuSource

__all__ = ["Host", "host_now"]

RATE_S: Final = 0.5
"""Rates, and the use of the processors, are over this time."""

NO_DRIVER: Final = "no driver of an NVIDIA or AMD GPU is loaded"

DRIVER_S: Final = 5.0
"""A GPU driver that does not answer within this time is left out, and that is said."""


class Host:
    """This host, asked again and again: rates are over the time since the question before."""

    def __init__(self, book: Book | None) -> None:
        from labbook.client.gauge_host import HostSource, TrafficSource

        self.book = book
        self._sources = (HostSource(), TrafficSource())
        for source in self._sources:
            source.read()
        self._gpus = _Gpus()
        self._readers: dict[str, RunReader] = {}

    def now(self) -> dict[str, Any]:
        """Return what `labbook top --once --json` prints; None is "not measured" throughout."""
        gauges = {
            name: value
            for source in self._sources
            for name, value in zip(source.names, source.read(), strict=True)
        }
        cards, reason = self._gpus.read()
        return {
            "host": os.uname().nodename,
            "time_ns": time.time_ns(),
            "cores": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "gauges": gauges,
            "disks": list(_disks(self.book)),
            "gpus": cards,
            "gpu_reason": reason,
            "book": None if self.book is None else str(self.book.root),
            "runs": [_run(reader) for reader in self._live()],
        }

    def _live(self) -> list[RunReader]:
        """The runs of the book that this host is recording now, newest first."""
        if self.book is None:
            return []
        running = [run.id for run in self.book.summaries() if run.state == "running"]
        kept = {run_id: reader for run_id, reader in self._readers.items() if run_id in running}
        for run_id in running:
            if run_id in kept:
                kept[run_id].refresh()
            else:
                kept[run_id] = self.book.run(run_id)
        self._readers = kept
        return [kept[run_id] for run_id in running if is_own_host(kept[run_id].conditions)]


def host_now(book: Book | None) -> dict[str, Any]:
    """Return this host as it is now, with rates over `RATE_S`."""
    host = Host(book)
    time.sleep(RATE_S)
    return host.now()


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
        "steps_per_second": _rate(reader),
        "gpus": sorted(_uuids(reader, writer)),
        "gauges": {name: value for name, (_, value) in sorted(last.items())},
        "sampled_ms": max((at for at, _ in last.values()), default=None),
    }


def _rate(reader: RunReader) -> float | None:
    """Steps a second over the whole of the first loop that tells."""
    rates = [loader["steps_per_second"] for loader in throughput(reader.facts)]
    return next((rate for rate in rates if rate is not None), None)


def _uuids(reader: RunReader, writer: str) -> set[str]:
    """The GPUs that a process said it uses."""
    listed = [r.get("gpus") for r in reader.facts.facts("gpus") if r.get("writer") == writer]
    cards = listed[-1] if listed and isinstance(listed[-1], list) else []
    return {
        uuid for card in cards if isinstance(card, dict) and (uuid := as_text(card.get("uuid")))
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


class _Gpus:
    """All GPUs of the host, whatever the environment hides."""

    def __init__(self) -> None:
        self._driver: Any = None
        self._source: GpuSource | None = None
        self._asking: threading.Thread | None = None
        self._told: dict[str, Any] = {}
        self._failed: list[str] = []
        self._read: dict[str, float | None] = {}

    def read(self) -> tuple[list[dict[str, Any]], str | None]:
        """Return the GPUs, or the reason why there are none."""
        from labbook.client.gauge_gpu import GpuSource, any_driver

        if self._source is None:
            self._driver = any_driver({})
            if self._driver is None:
                return [], NO_DRIVER
            self._source = GpuSource(
                self._driver,
                frozenset,
                lambda who, error: None if error is None else self._say(f"{who}: {error}"),
                lambda fact, value: self._told.update(value),
            )
        if self._asking is None or not self._asking.is_alive():
            self._failed, self._read = [], {}
            self._asking = threading.Thread(target=self._ask, args=(self._source,), daemon=True)
            self._asking.start()
        self._asking.join(DRIVER_S)
        if self._asking.is_alive():
            return [], f"the GPU driver has not answered for {DRIVER_S:.0f} s"
        cards = [_card(card, self._read) for card in self._told.get("gpus", [])]
        return cards, "; ".join(self._failed) or None

    def _say(self, text: str) -> None:
        self._failed.append(text)

    def _ask(self, source: GpuSource) -> None:
        try:
            values = source.read()  # the names are known after it
            self._read.update(zip(source.names, values, strict=True))
        except self._driver.errors as error:
            self._say(f"the driver gave an error: {error}")


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
