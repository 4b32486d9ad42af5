"""Gauges of one run as arrays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from labbook.book.text import clean
from labbook_tui.models import Gauge, GaugesModel, Want
from labbook_tui.read.arrays import floats, milliseconds

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["build"]


def build(reader: RunReader, want: Want) -> GaugesModel:
    """All gauges: GPUs first, then CPU, memory, disk and the rest."""
    table = reader.gauges()
    summary = reader.summary()
    if not table.num_rows:
        return GaugesModel(summary, ())
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
    return GaugesModel(summary, tuple(sorted(gauges, key=lambda g: _place(g.name))))


def _place(name: str) -> tuple[int, list[tuple[int, str]]]:
    order = ("gpu", "cpu", "process", "memory", "ram", "disk", "net")
    head = name.lower()
    place = next((i for i, word in enumerate(order) if head.startswith(word)), len(order))
    # gpu.2 comes before gpu.10
    words = re.split(r"([0-9]{1,9})", name)
    return place, [(int(word), "") if i % 2 else (-1, word) for i, word in enumerate(words)]
