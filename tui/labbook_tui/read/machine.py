"""Gauges of one run as arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from labbook.book.text import clean
from labbook.book.throughput import throughput
from labbook_tui.models import Gauge, GaugesModel, Want
from labbook_tui.read.arrays import floats, milliseconds
from labbook_tui.text import bytes_text, number

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["build"]


def build(reader: RunReader, want: Want) -> GaugesModel:
    """All gauges: GPUs first, then CPU, memory, disk and the rest."""
    table = reader.gauges()
    summary = reader.summary()
    if not table.num_rows:
        return GaugesModel(summary, (), tuple(_use(reader)))
    names = table.column("name").combine_chunks().dictionary_encode()
    if hasattr(names, "combine_chunks"):
        names = names.combine_chunks()
    code = floats(names.indices).astype(np.int64)
    seconds = milliseconds(table.column("time")) / 1e3 - (summary.created_ns or 0) / 1e9
    values = floats(table.column("value"))
    gauges = []
    for index, name in enumerate(names.dictionary.to_pylist()):
        mine = np.flatnonzero(code == index)
        mine = mine[np.argsort(seconds[mine], kind="stable")]
        gauges.append(Gauge(clean(name), seconds[mine], values[mine]))
    gauges.sort(key=lambda gauge: _place(gauge.name))
    return GaugesModel(summary, tuple(gauges), tuple(_use(reader)))


def _use(reader: RunReader) -> Iterator[str]:
    """What it came to over the run: one line for the host, one for each GPU."""
    words = []
    loaders = throughput(reader.facts)
    for loader in loaders:
        if loader["wait_percent"] is not None:
            name = f" of {clean(loader['name'])}" if len(loaders) > 1 else ""
            words.append(f"waiting for data{name} {loader['wait_percent']:.0f} %")
        if loader["steps_per_second"] is not None:
            words.append(f"{number(loader['steps_per_second'], 3)} steps/s")
    used = reader.machine_use()
    if used is not None:
        if used.mean_cpu_percent is not None:
            words.append(f"CPU {used.mean_cpu_percent:.0f} % of a core")
        if used.peak_rss_bytes is not None:
            words.append(f"memory at most {bytes_text(used.peak_rss_bytes)}")
        if used.energy_kwh is not None:
            words.append(f"{number(1000 * used.energy_kwh, 3)} Wh")
    if words:
        yield " · ".join(words)
    for gpu in used.gpus if used is not None else ():
        parts = [clean(gpu.name)]
        if gpu.mean_util_percent is not None:
            parts.append(f"busy {gpu.mean_util_percent:.0f} %")
        if gpu.idle_share is not None:
            parts.append(f"idle {100 * gpu.idle_share:.0f} % of the time")
        if gpu.peak_memory_bytes is not None:
            of = f" of {bytes_text(gpu.memory_total_bytes)}" if gpu.memory_total_bytes else ""
            parts.append(f"memory at most {bytes_text(gpu.peak_memory_bytes)}{of}")
        held = sorted(gpu.held_back, key=lambda why: -gpu.held_back[why])
        parts += [f"held back by {clean(why)} {100 * gpu.held_back[why]:.0f} %" for why in held[:1]]
        yield " · ".join(parts)


def _place(name: str) -> tuple[int, list[tuple[int, str]]]:
    order = ("gpu", "cpu", "process", "memory", "ram", "disk", "net")
    head = name.lower()
    place = next((i for i, word in enumerate(order) if head.startswith(word)), len(order))
    # gpu.2 comes before gpu.10
    words = re.split(r"([0-9]{1,9})", name)
    return place, [(int(word), "") if i % 2 else (-1, word) for i, word in enumerate(words)]
